/**
 * The entries of the topic `control`: changes at run time, which every role folds, in order, into memory, and pieces of
 * snapshots of what they come to, so that nobody needs the changes before.
 */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** What may change at run time; also a label of metrics and a column of the audit. */
const CONTROL_KINDS = [
  'token',
  'quota_config',
  'quota',
  'override',
  'grant',
  'reset',
  'block',
  'silence',
  // What the analyzer found: limits that providers state, rates that make a quota last, and what somebody should know.
  'upstream',
  'pace',
  'alert',
] as const
export type ControlKind = (typeof CONTROL_KINDS)[number]

const NAME_CHARACTERS_MAX = 256
const REASON_CHARACTERS_MAX = 2_048

export const ControlChange = Type.Object(
  {
    changeId: Type.String({
      minLength: 1,
      maxLength: NAME_CHARACTERS_MAX,
      description: 'Unique; finds the audit row.',
    }),
    atMs: Type.Integer({ minimum: 0, description: 'When it was asked for, Unix milliseconds.' }),
    by: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX, description: 'Name of the principal who asked.' }),
    kind: Type.Enum(CONTROL_KINDS, { description: 'What is changed.' }),
    key: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX, description: 'Which one of its kind.' }),
    expectedVersion: Type.Integer({
      minimum: 0,
      description:
        'Version that this change replaces, 0 where there is none. A change whose expectation does not hold when it is folded has lost and changes nothing.',
    }),
    version: Type.Integer({ minimum: 1, description: 'Version that this change makes.' }),
    value: Type.Unknown({ description: 'What holds from now on; `null` removes it.' }),
    reason: Type.Union([Type.String({ maxLength: REASON_CHARACTERS_MAX }), Type.Null()], {
      description: 'Why, in the words of whoever asked.',
    }),
  },
  { additionalProperties: false, $id: 'ControlChange' },
)
export type ControlChange = Static<typeof ControlChange>

/** Most pieces of one snapshot: with `PIECE_CHARACTERS_MAX` more than any role has memory for. */
export const SNAPSHOT_PARTS_MAX = 8_192

const HeldEntry = Type.Object(
  {
    // Also kinds of a later version, whose changes nobody here can read: what holds of them must not get lost.
    kind: Type.Unsafe<ControlKind>(Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX })),
    key: ControlChange.properties.key,
    version: ControlChange.properties.version,
    value: Type.Unknown({ description: '`null` for what was removed, whose version goes on.' }),
  },
  { additionalProperties: false },
)
/** What holds of one thing. */
export type HeldEntry = Static<typeof HeldEntry>

/** A piece of a snapshot. Its pieces lie behind changes that were made meanwhile, and between those of other snapshots. */
export const SnapshotPiece = Type.Object(
  {
    snapshotId: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX }),
    asOfOffset: Type.Integer({ minimum: 0, description: 'All changes below it are in the snapshot, no others.' }),
    part: Type.Integer({ minimum: 0 }),
    parts: Type.Integer({ minimum: 1, maximum: SNAPSHOT_PARTS_MAX }),
    held: Type.Array(HeldEntry, { description: 'Of each kind in the order of their last changes.' }),
  },
  { additionalProperties: false },
)
export type SnapshotPiece = Static<typeof SnapshotPiece>

const controlChange = Compile(ControlChange)
const snapshotPiece = Compile(SnapshotPiece)
/** Pieces are found by it without parsing what lies between them. */
const PIECE_START = '{"snapshotId":'

/**
 * Reads one value of the topic `control`. `null` for what is no change of this version of the program: such an entry
 * is stepped over and counted, it must not stop whoever folds.
 */
export function parseControlChange(value: string): ControlChange | null {
  const change = parseJson(value)
  return controlChange.Check(change) ? change : null
}

/** True for an entry that is a piece of a snapshot, whether or not this version can read it. */
export const isSnapshotPiece = (value: string): boolean => value.startsWith(PIECE_START)

/** Reads the piece at an offset; `null` for what is none, or cannot be one. */
export function parseSnapshotPiece({ offset, value }: { offset: number; value: string }): SnapshotPiece | null {
  if (!isSnapshotPiece(value)) return null
  const piece = parseJson(value)
  const isSound = snapshotPiece.Check(piece) && piece.part < piece.parts && piece.asOfOffset <= offset
  return isSound ? piece : null
}

/** True for a change that a later version has written: who cannot read it does not know all that holds. */
export function isChangeOfLaterVersion(value: string): boolean {
  const change = parseJson(value)
  return typeof change === 'object' && change !== null && 'changeId' in change && !controlChange.Check(change)
}

/** `undefined` for what is no JSON. */
function parseJson(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return undefined
  }
}
