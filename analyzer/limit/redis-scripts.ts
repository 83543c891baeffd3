/**
 * The scripts that run in Redis: their text, with the names of our keys and the constants that both sides share.
 *
 * | key | holds |
 * |---|---|
 * | `head` | epoch, last sequence, clock, buckets, next window, comparison, forgotten epoch |
 * | `life` | the format, the run id of the server that the epoch belongs to, the epoch that began with a loss last, the last one that is rebuilt |
 * | `windows`, `places`, `sizes`, `ends`, `ended` | place → window, window → end and place, its buckets, when it ends, what is to go |
 * | `buckets:<place>`, `names:<place>` | subject → bucket, index → subject; they expire with their window |
 * | `requests`, `request-order`, `held`, `held-ends`, `notes`, `noted`, `expired` | the ledger |
 * | `epochs`, `chunks`, `bits:<epoch>:<chunk>` | which decisions have been settled |
 * | `added:<id>` | that it has been added, for a day |
 * | `raised:<place>` | subject → when its bucket was raised, and by how much; expires with the window |
 * | `positions`, `positions-cut`, `compared` | the settler's positions, those of the comparison under way and of each window |
 * | `probe` | that writes are taken, for a minute |
 *
 * A place is a window's begin and its series.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { GATEWAYS_MAX } from './bucket.ts'
import { STEP_BACK_MS_MAX } from './clock.ts'
import { JOINED_CHARGES_MAX, NOTE_HORIZON_MS, REQUEST_HORIZON_MS, RESERVATIONS_MAX } from './ledger.ts'
import { CHUNK_SEQUENCES, CHUNKS_MAX, EPOCHS_MAX, SETTLE_HORIZON_MS } from './settled-bits.ts'

/** What a decision says of a request. */
export const DECIDED = { denied: 0, allowed: 1, noRoomForBuckets: 2, noRoomForReservations: 3, joined: 4 } as const
/** Subjects that one step of a correction takes: about two milliseconds. */
export const CORRECTED_MAX = 250
/** Written beside the counters; another one is not read. */
const FORMAT = '3'

const KEYS = {
  HEAD: 'head',
  LIFE: 'life',
  WINDOWS: 'windows',
  PLACES: 'places',
  SIZES: 'sizes',
  ENDS: 'ends',
  ENDED: 'ended',
  BUCKETS: 'buckets:',
  NAMES: 'names:',
  REQUESTS: 'requests',
  REQUEST_ORDER: 'request-order',
  HELD: 'held',
  HELD_ENDS: 'held-ends',
  NOTES: 'notes',
  NOTED: 'noted',
  EXPIRED: 'expired',
  EPOCHS: 'epochs',
  CHUNKS: 'chunks',
  BITS: 'bits:',
  POSITIONS: 'positions',
  POSITIONS_CUT: 'positions-cut',
  COMPARED: 'compared',
  ADDED: 'added:',
  RAISED: 'raised:',
} as const

const CONSTANTS = {
  GATEWAYS_MAX,
  STEP_BACK_MS_MAX,
  REQUEST_HORIZON_MS,
  NOTE_HORIZON_MS,
  RESERVATIONS_MAX,
  JOINED_CHARGES_MAX,
  CHUNK_SEQUENCES,
  CHUNKS_MAX,
  EPOCHS_MAX,
  SETTLE_HORIZON_MS,
  CORRECTED_MAX,
  DENIED: DECIDED.denied,
  ALLOWED: DECIDED.allowed,
  NO_ROOM_FOR_BUCKETS: DECIDED.noRoomForBuckets,
  NO_ROOM_FOR_RESERVATIONS: DECIDED.noRoomForReservations,
  JOINED: DECIDED.joined,
  /** Windows, reservations and requests that one sweep takes. */
  SWEPT_MAX: 200,
  /** How long the buckets of a window that has ended stay for decisions under way. */
  ENDED_MS: 5_000,
  /** After this they go by themselves, should nobody sweep. */
  EXPIRY_MS: 60_000,
  /** Who has not been told by then that something was added does not ask again. */
  ADDED_MS: 86_400_000,
  /** Numbers that are put on Lua's stack at once. */
  PIECE: 1_000,
} as const

const STATE = 'redis-state'
const STANDING = 'redis-standing'
const LEDGER = 'redis-ledger'
const PARTS = {
  open: ['open'],
  decide: [STATE, STANDING, 'decide'],
  settle: [STATE, STANDING, LEDGER, 'settle'],
  apply: [STATE, STANDING, LEDGER, 'apply'],
  add: [STATE, STANDING, 'add'],
  sweep: [STATE, STANDING, LEDGER, 'sweep'],
  reservations: [STATE, STANDING, LEDGER, 'reservations'],
  compare: [STATE, 'compare'],
} as const

export type ScriptName = keyof typeof PARTS

export interface Script {
  readonly text: string
  readonly sha: string
}

/** The hash in which the settler's positions are. */
export const positionsKey = (keyPrefix: string) => `${keyPrefix}${KEYS.POSITIONS}`

/** What is written where it is not known whether writes are taken. */
export const probeKey = (keyPrefix: string) => `${keyPrefix}probe`

/** Numbers that a part gives names of its own, in one line. */
const OWN_CONSTANTS = /^local ([A-Z_, ]+) = ([\d, ]+)$/gm

/**
 * The text that runs: without comments, and with what names in capitals stand for in their place. As locals of Lua they
 * would be set by every call, and looked up by every function that is made.
 */
function compact(parts: readonly string[], keyPrefix: string): string {
  const constants = new Map<string, string>([
    ...Object.entries(KEYS).map(([name, key]): [string, string] => [name, `'${keyPrefix}${key}'`]),
    ...Object.entries(CONSTANTS).map(([name, value]): [string, string] => [name, String(value)]),
    ['FORMAT', `'${FORMAT}'`],
  ])
  const code = parts
    .join('\n')
    .replaceAll(/ *--.*$/gm, '')
    .replaceAll(OWN_CONSTANTS, (_, names: string, values: string) => {
      const numbers = values.split(', ')
      for (const [index, name] of names.split(', ').entries()) constants.set(name, numbers[index] ?? '')
      return ''
    })
  const strings = /'[^']*'/
  const words = /\b[A-Z][A-Z_]+\b/
  return code
    .replaceAll(new RegExp(`${strings.source}|${words.source}`, 'g'), text => constants.get(text) ?? text)
    .replaceAll(/\n{2,}/g, '\n')
}

/** Reads all of them, for keys that begin with `keyPrefix`. */
export async function loadScripts(keyPrefix: string): Promise<Record<ScriptName, Script>> {
  const load = async (name: ScriptName): Promise<Script> => {
    const parts = await Promise.all(
      PARTS[name].map(part => readFile(new URL(`./${part}.lua`, import.meta.url), 'utf8')),
    )
    const text = compact(parts, keyPrefix)
    return { text, sha: createHash('sha1').update(text).digest('hex') }
  }
  const [open, decide, settle, apply, add, sweep, reservations, compare] = await Promise.all([
    load('open'),
    load('decide'),
    load('settle'),
    load('apply'),
    load('add'),
    load('sweep'),
    load('reservations'),
    load('compare'),
  ])
  return { open, decide, settle, apply, add, sweep, reservations, compare }
}
