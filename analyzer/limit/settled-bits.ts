/**
 * Which decisions have been settled. A decision is known by its epoch (one life of the limit store) and its sequence in
 * it; two bits for each sequence say who settled it, so that the call that settles and the log record of the same
 * decision together count once. Of earlier epochs it is known how far their counters became durable: what was charged
 * after that is gone with them.
 */

/** `caller`: through the limiter's verbs; `record`: by a call record; `forgotten`: too long ago to know. */
type SettledState = 'open' | 'caller' | 'record' | 'forgotten'

const CALLER_BIT = 1
const RECORD_BIT = 2
/** Sequences of one chunk of bits: 1 KiB. */
export const CHUNK_SEQUENCES = 4096
const CHUNK_BYTES = CHUNK_SEQUENCES / 4
/** 64 MiB of bits: 270 million settled decisions. */
export const CHUNKS_MAX = 65_536
/** Earlier lives that are remembered; a restart makes one. */
export const EPOCHS_MAX = 1_000
/** How long after its end the decisions of an epoch can still be settled. */
export const SETTLE_HORIZON_MS = 7 * 86_400_000

export interface Epoch {
  readonly epoch: number
  /** Last sequence whose charges are in the counters. */
  durableSequence: number
  /** Null for the current one. */
  endedAtMs: number | null
  /** Sequences below are forgotten. */
  floorSequence: number
  readonly chunks: Map<number, Uint8Array>
}

/** A chunk of bits, which may be gone. */
export interface ChunkName {
  readonly epoch: number
  readonly chunk: number
}

export interface SettledBits {
  readonly current: Epoch
  /** In the order of their beginning. */
  readonly epochs: ReadonlyMap<number, Epoch>
  /** Epochs up to here are forgotten. */
  forgottenEpoch(): number
  /** True when the decision's charges are in the counters. */
  isCharged(epoch: number, sequence: number): boolean
  stateOf(epoch: number, sequence: number): SettledState
  /** Marks the decision as settled; answers the chunks that changed or had to make room. */
  mark(epoch: number, sequence: number, by: 'caller' | 'record', nowMs: number): ChunkName[]
}

/** `earlier` in the order of their beginning, `current` begun after all of them. */
export function createSettledBits(
  earlier: readonly Epoch[],
  current: Epoch,
  options: { nowMs: number; forgottenEpoch: number; chunksMax?: number },
): SettledBits {
  const epochs = new Map<number, Epoch>()
  const { nowMs, chunksMax = CHUNKS_MAX } = options
  let { forgottenEpoch } = options
  let chunkCount = 0
  for (const epoch of [...earlier, current]) {
    epochs.set(epoch.epoch, epoch)
    chunkCount += epoch.chunks.size
  }
  const forget = (epoch: Epoch) => {
    epochs.delete(epoch.epoch)
    chunkCount -= epoch.chunks.size
    forgottenEpoch = Math.max(forgottenEpoch, epoch.epoch)
  }
  for (const epoch of earlier) {
    const isTooOld = epoch.endedAtMs !== null && epoch.endedAtMs + SETTLE_HORIZON_MS < nowMs
    if (epoch.epoch <= forgottenEpoch || isTooOld || epochs.size > EPOCHS_MAX) forget(epoch)
  }

  /** An epoch that these counters never had: its decisions were made on counters that are lost. */
  const lostEpoch = (epoch: number, nowMs: number): Epoch => {
    const lost = { epoch, durableSequence: -1, endedAtMs: nowMs, floorSequence: 0, chunks: new Map() }
    epochs.set(epoch, lost)
    return lost
  }
  /** Room for one more chunk, made at the oldest end. */
  const makeRoom = (made: ChunkName[]) => {
    const oldest = epochs.values().next().value
    if (oldest === undefined) return
    if (oldest !== current && oldest.chunks.size === 0) return forget(oldest)
    const chunk = smallest(oldest.chunks.keys())
    made.push({ epoch: oldest.epoch, chunk })
    oldest.chunks.delete(chunk)
    oldest.floorSequence = Math.max(oldest.floorSequence, (chunk + 1) * CHUNK_SEQUENCES)
    chunkCount -= 1
  }

  return {
    current,
    epochs,
    forgottenEpoch: () => forgottenEpoch,
    isCharged(epoch, sequence) {
      if (epoch === current.epoch) return true
      const known = epochs.get(epoch)
      return known !== undefined && sequence <= known.durableSequence
    },
    stateOf(epoch, sequence) {
      const known = epochs.get(epoch)
      if (known === undefined) return epoch <= forgottenEpoch ? 'forgotten' : 'open'
      if (sequence < known.floorSequence) return 'forgotten'
      const bits = bitsOf(known, sequence)
      if ((bits & RECORD_BIT) !== 0) return 'record'
      return (bits & CALLER_BIT) !== 0 ? 'caller' : 'open'
    },
    mark(epoch, sequence, by, nowMs) {
      const known = epochs.get(epoch) ?? lostEpoch(epoch, nowMs)
      const chunk = Math.floor(sequence / CHUNK_SEQUENCES)
      const changed: ChunkName[] = [{ epoch, chunk }]
      let bytes = known.chunks.get(chunk)
      if (bytes === undefined) {
        while (chunkCount >= chunksMax) makeRoom(changed)
        bytes = new Uint8Array(CHUNK_BYTES)
        known.chunks.set(chunk, bytes)
        chunkCount += 1
      }
      const index = sequence % CHUNK_SEQUENCES
      const bit = by === 'caller' ? CALLER_BIT : RECORD_BIT
      bytes[index >> 2] = (bytes[index >> 2] ?? 0) | (bit << ((index & 3) * 2))
      return changed
    },
  }
}

function smallest(numbers: Iterable<number>): number {
  let found = Number.POSITIVE_INFINITY
  for (const number of numbers) found = Math.min(found, number)
  return found
}

function bitsOf(epoch: Epoch, sequence: number): number {
  const bytes = epoch.chunks.get(Math.floor(sequence / CHUNK_SEQUENCES))
  if (bytes === undefined) return 0
  const index = sequence % CHUNK_SEQUENCES
  return ((bytes[index >> 2] ?? 0) >> ((index & 3) * 2)) & 3
}
