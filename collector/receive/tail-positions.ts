/**
 * What is remembered of the files of one source: up to where each is durable. A file is known by its first call and by
 * what stands before the position, so that it may have another name by now, or be a copy.
 */
import { hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { readState, writeState } from './state-file.ts'

/** Bytes before a position that tell whether it is still the same file. */
export const MARK_BYTES = 1024
/** After that a file is gone for good. */
const KEPT_MS = 30 * 86_400_000
const POSITIONS_MAX = 5000

const whole = (minimum = 0) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER })

const TailPosition = Type.Object(
  {
    /** Where it lay; for people. */
    file: Type.String(),
    /** Device and inode. */
    identity: Type.String(),
    /** SHA-256 of its first call. */
    fingerprint: Type.String(),
    offset: whole(),
    /** Of the line that begins there, from 1. */
    number: whole(1),
    /** SHA-256 of what stands before it. */
    mark: Type.String(),
    seenAtMs: whole(),
  },
  { additionalProperties: false },
)
export type TailPosition = Static<typeof TailPosition>

const TailState = Type.Object(
  {
    /** Life of the log that holds what was read. */
    logId: Type.String(),
    positions: Type.Array(TailPosition),
  },
  { additionalProperties: false },
)
export type TailState = Static<typeof TailState>

const tailState = Compile(TailState)

/** State that somebody damaged. */
class TailStateError extends Error {
  readonly code = 'TAIL_STATE_UNREADABLE'

  constructor(path: string) {
    super(`${path} is damaged; remove it to read the files of its source from the beginning`)
    this.name = 'TailStateError'
  }
}

/** `null` at the very first start. Throws `TailStateError`. */
export async function loadTailState(path: string): Promise<TailState | null> {
  const state = await readState(path)
  if (state === null || tailState.Check(state)) return state
  throw new TailStateError(path)
}

export const saveTailState = (path: string, state: TailState): Promise<void> => writeState(path, state)

/** Without what was not seen for a month; the last seen first. */
export const keptPositions = (positions: Iterable<TailPosition>, nowMs: number): TailPosition[] =>
  Array.from(positions)
    .filter(({ seenAtMs }) => nowMs - seenAtMs < KEPT_MS)
    .sort((one, other) => other.seenAtMs - one.seenAtMs)
    .slice(0, POSITIONS_MAX)

/** SHA-256 of the bytes before a position. */
export const markOf = (before: Buffer): string => hash('sha256', before, 'hex')

/** As many of the last bytes before `offset` as there are, at most `bytesMax`. */
export async function bytesBefore(file: FileHandle, offset: number, bytesMax: number): Promise<Buffer> {
  const begin = Math.max(0, offset - bytesMax)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(offset - begin), 0, offset - begin, begin)
  return buffer.subarray(0, bytesRead)
}

/** The position of a recording that is remembered under this identity, or of one that the file is a copy of. */
export async function findPosition(
  positions: Iterable<TailPosition>,
  file: FileHandle,
  { identity, fingerprint }: Pick<TailPosition, 'identity' | 'fingerprint'>,
): Promise<TailPosition | null> {
  const rank = (position: TailPosition) => (position.identity === identity ? Number.MAX_VALUE : position.offset)
  const same = Array.from(positions)
    .filter(position => position.fingerprint === fingerprint)
    .sort((one, other) => rank(other) - rank(one))
  for (const position of same) {
    if (markOf(await bytesBefore(file, position.offset, MARK_BYTES)) === position.mark) return position
  }
  return null
}
