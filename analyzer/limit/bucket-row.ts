/** A bucket as the embedded limit store writes it. */
import { furtherOf, nextOf, type Share, shareOf } from './bucket.ts'
import type { Drain } from './limit-store.ts'
import type { Forgetting, StoredBucket } from './open-windows.ts'

interface LevelRow extends Drain {
  rest: number
  atMs: number
}

type ShareRow = [gateway: string, pending: number, unlinked: number, recorded: number, compared: number]

export type BucketRow = [
  subject: string,
  settled: number,
  reserved: number,
  level: LevelRow | null,
  ...parts: (ShareRow | Forgetting)[],
]

export function toRow(bucket: StoredBucket): BucketRow {
  const { subject, settled, reserved, rate, rest, drainedMs, window } = bucket
  const atMs = window.startMs + drainedMs
  const level = rate && { rest, atMs, ...rate }
  const forgetting = window.forgettings.get(bucket.index)
  return [subject, settled, reserved, level, ...shareRows(bucket), ...(forgetting === undefined ? [] : [forgetting])]
}

/** Puts what was written into a bucket of which nobody has spent. `rateOf` answers one object for equal rates. */
export function fromRow(
  [, settled, reserved, level, ...parts]: BucketRow,
  bucket: StoredBucket,
  rateOf: (rate: Drain) => Drain,
): void {
  bucket.settled = settled
  bucket.reserved = reserved
  if (level !== null) {
    bucket.rate = rateOf(level)
    bucket.rest = level.rest
    bucket.drainedMs = level.atMs - bucket.window.startMs
  }
  for (const part of parts) {
    if ('sinceMs' in part) {
      bucket.window.forgettings.set(bucket.index, part)
      continue
    }
    const [gateway, pending, unlinked, recorded, compared] = part
    const share = shareOf(bucket, gateway)
    share.pending = pending
    if (unlinked !== 0 || recorded !== 0 || compared !== 0)
      Object.assign(furtherOf(share), { unlinked, recorded, compared })
  }
}

function shareRows(bucket: Share): ShareRow[] {
  const rows: ShareRow[] = []
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
    const { gateway, pending, further } = share
    if (gateway !== null)
      rows.push([gateway, pending, further?.unlinked ?? 0, further?.recorded ?? 0, further?.compared ?? 0])
  }
  return rows
}

/** Answers the rate that was asked for before where it is equal. */
export function createRates(): (rate: Drain) => Drain {
  const known = new Map<string, Drain>()
  return ({ amount, periodMs, keptMs, stretches, steps }) => {
    const key = `${amount}/${periodMs}/${keptMs}/${stretches}/${steps}`
    const rate = known.get(key) ?? {
      amount,
      periodMs,
      keptMs,
      ...(stretches && { stretches }),
      ...(steps && { steps }),
    }
    known.set(key, rate)
    return rate
  }
}
