/**
 * Snapshots of what the changes in the topic `control` come to, kept in the topic itself: how one is cut into pieces,
 * and how the newest one is found again.
 */
import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CallLog, LogPartition } from './call-log.ts'
import { type HeldEntry, parseSnapshotPiece, SNAPSHOT_PARTS_MAX, type SnapshotPiece } from './control-change.ts'

/** `control` has only one. */
export const CONTROL_PARTITION = 0
/** A piece is closed before it exceeds this, but holds one entry at least: far below what brokers take at once. */
const PIECE_CHARACTERS_MAX = 2 ** 17
/** With its envelope, the only entry of a piece is no longer than the change that it comes from. */
const ID_BYTES = 9
/** Entries written as text in one turn of the event loop, which has requests to serve too. */
const TURN_ENTRIES = 2_000
/** Snapshots whose pieces are awaited at once; of those that nobody completes the oldest are forgotten. */
const OPEN_SNAPSHOTS_MAX = 16
/** How far one look back from the end goes: further each time. */
const LOOK_ENTRIES_MIN = 1_000
const LOOK_ENTRIES_MAX = 20_000

export interface ControlSnapshot {
  /** All changes below it are in the snapshot, no others. */
  asOfOffset: number
  held: readonly HeldEntry[]
}

/** The values to be appended, in any order and with anything between them. Throws when there are too many. */
export async function toSnapshotPieces(
  { asOfOffset, held }: ControlSnapshot,
  charactersMax = PIECE_CHARACTERS_MAX,
): Promise<string[]> {
  const bodies: string[] = []
  let texts: string[] = []
  let characters = 0
  for (const [index, entry] of held.entries()) {
    if (index > 0 && index % TURN_ENTRIES === 0) await nextTurn()
    const text = JSON.stringify(entry)
    if (texts.length > 0 && characters + text.length > charactersMax) {
      bodies.push(texts.join())
      texts = []
      characters = 0
    }
    texts.push(text)
    characters += text.length
  }
  bodies.push(texts.join())
  const parts = bodies.length
  if (parts > SNAPSHOT_PARTS_MAX) throw new Error(`a snapshot of ${held.length} entries has ${parts} pieces, too many`)
  const snapshotId = randomBytes(ID_BYTES).toString('base64url')
  return bodies.map((body, part) => {
    const head: Omit<SnapshotPiece, 'held'> = { snapshotId, asOfOffset, part, parts }
    return `${JSON.stringify(head).slice(0, -1)},"held":[${body}]}`
  })
}

/** Puts snapshots together from their pieces. */
export interface SnapshotPieces {
  /** Answers the snapshot that becomes complete by this piece, else `null`. */
  add(piece: SnapshotPiece): ControlSnapshot | null
}

export function createSnapshotPieces(): SnapshotPieces {
  const open = new Map<string, Map<number, SnapshotPiece>>()
  return {
    add(piece) {
      const { snapshotId, asOfOffset, part, parts } = piece
      const found = open.get(snapshotId) ?? new Map<number, SnapshotPiece>()
      found.set(part, piece)
      open.delete(snapshotId)
      if (found.size === parts) {
        const held = Array.from({ length: parts }, (_, index) => found.get(index)?.held ?? []).flat()
        return { asOfOffset, held }
      }
      open.set(snapshotId, found)
      const [oldest] = open.keys()
      if (open.size > OPEN_SNAPSHOTS_MAX && oldest !== undefined) open.delete(oldest)
      return null
    },
  }
}

/** A stretch of the topic, in one life of the log. */
type Stretch = Pick<LogPartition, 'logId'> & { beginOffset: number; endOffset: number }

/**
 * The newest snapshot that lies wholly within the stretch and needs nothing from before it; `null` where there is none.
 * Looks from the end backwards, so that what it costs does not grow with the log. Throws as `read` does.
 */
export async function findSnapshot(
  log: Pick<CallLog, 'read'>,
  stretch: Stretch,
  keep: (piece: SnapshotPiece) => SnapshotPiece = piece => piece,
): Promise<ControlSnapshot | null> {
  const pieces = createSnapshotPieces()
  let newest: ControlSnapshot | null = null
  let toOffset = stretch.endOffset
  for (let entries = LOOK_ENTRIES_MIN; newest === null && toOffset > stretch.beginOffset; ) {
    const fromOffset = Math.max(stretch.beginOffset, toOffset - entries)
    for await (const piece of piecesBetween(log, stretch.logId, fromOffset, toOffset)) {
      const found = pieces.add(keep(piece))
      if (found === null || found.asOfOffset < stretch.beginOffset) continue
      if (newest === null || found.asOfOffset > newest.asOfOffset) newest = found
    }
    toOffset = fromOffset
    entries = Math.min(2 * entries, LOOK_ENTRIES_MAX)
  }
  return newest
}

/** Where that snapshot is as of, without keeping what it holds. */
export async function findSnapshotOffset(log: Pick<CallLog, 'read'>, stretch: Stretch): Promise<number | null> {
  return (await findSnapshot(log, stretch, withoutHeld))?.asOfOffset ?? null
}

export const withoutHeld = (piece: SnapshotPiece): SnapshotPiece => ({ ...piece, held: [] })

async function* piecesBetween(
  log: Pick<CallLog, 'read'>,
  logId: string,
  fromOffset: number,
  toOffset: number,
): AsyncGenerator<SnapshotPiece> {
  for (let offset = fromOffset; offset < toOffset; ) {
    const batch = await log.read('control', CONTROL_PARTITION, offset, toOffset - offset)
    // Another life of the log, or a hole up to its end.
    if (batch.logId !== logId || batch.nextOffset <= offset) return
    for (const entry of batch.entries) {
      const piece = entry.offset < toOffset ? parseSnapshotPiece(entry) : null
      if (piece !== null) yield piece
    }
    offset = batch.nextOffset
  }
}
