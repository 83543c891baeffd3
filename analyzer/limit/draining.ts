/**
 * What drains: a generic cell rate algorithm (ITU-T I.371) as a leaky bucket. The level rises by what is spent and falls
 * by `amount` units in each period, never below nothing. It is reckoned in units times milliseconds of the period, which
 * are whole numbers for whole units: no instant is ever rounded, so a wait that was told is exact.
 */
import { type Bucket, usedOf } from './bucket.ts'
import type { Drain } from './limit-store.ts'

/** A bucket that drains. */
export type Draining = Bucket & { rate: Drain }

export const isDraining = (bucket: Bucket): bucket is Draining => bucket.rate !== null

/** Makes the bucket one of which nothing has drained yet. */
export function beginDraining(bucket: Bucket, rate: Drain, nowMs: number): asserts bucket is Draining {
  bucket.rate = rate
  bucket.rest = 0
  bucket.drainedMs = small(nowMs - bucket.window.startMs)
}

/** The level now, in units times milliseconds, where `by` is told now of how it drains. */
export function levelAt(bucket: Draining, by: Drain, nowMs: number): number {
  const { rate, rest, drainedMs, window } = bucket
  const atMs = window.startMs + drainedMs
  const drained = by.steps === undefined ? Math.max(0, nowMs - atMs) * by.amount : drainedIn(rate, by, { atMs, nowMs })
  return Math.max(0, usedOf(bucket) * rate.periodMs - rest - drained)
}

/** What was told before holds until the first step of what is told now. */
function drainedIn(before: Drain, by: Drain, { atMs, nowMs }: { atMs: number; nowMs: number }): number {
  if (nowMs <= atMs) return 0
  const toldMs = Math.min(nowMs, Math.max(atMs, by.steps?.[0]?.[0] ?? atMs))
  return drainedBetween(before, atMs, toldMs) + drainedBetween(by, toldMs, nowMs)
}

function drainedBetween({ amount, steps = [] }: Drain, fromMs: number, toMs: number): number {
  let drained = 0
  let endMs = toMs
  for (let index = steps.length - 1; index > 0; index -= 1) {
    const [stepMs, stepAmount] = steps[index] ?? [endMs, 0]
    const beginMs = Math.min(endMs, Math.max(fromMs, stepMs))
    drained += (endMs - beginMs) * stepAmount
    endMs = beginMs
  }
  return drained + (endMs - fromMs) * (steps[0]?.[1] ?? amount)
}

/**
 * Takes what has drained out of the bucket. To be done before anything else is taken out of it or spent in it; when both
 * are done, `floor` is due.
 */
export function drain(bucket: Draining, by: Drain, nowMs: number): void {
  const { startMs } = bucket.window
  // An estimate that was taken out a moment ago may have drained: the true cost comes before the floor.
  if (startMs + bucket.drainedMs < nowMs) {
    const { periodMs } = bucket.rate
    const gone = usedOf(bucket) * periodMs - levelAt(bucket, by, nowMs)
    const whole = Math.floor(gone / periodMs)
    bucket.settled -= whole
    bucket.rest = small(gone - whole * periodMs)
    bucket.drainedMs = small(nowMs - startMs)
  }
  bucket.rate = by
}

/** The same at the rate that was told last. */
export const drainOn = (bucket: Draining, nowMs: number): void => drain(bucket, bucket.rate, nowMs)

/** The same number. A difference of large ones is kept in 16 bytes of its own, even where it would fit into its field. */
const small = (number: number): number => (number === (number | 0) ? number | 0 : number)

/** What was taken out and had drained already makes no room for others: a level is never below nothing. */
export function floor(bucket: Bucket): void {
  if (!isDraining(bucket)) return
  const used = usedOf(bucket)
  if (used * bucket.rate.periodMs >= bucket.rest) return
  bucket.settled -= used
  bucket.rest = 0
}

/** How long a level has to drain until a cost fits beside it and what is held; null when it never will. */
export function drainMs(
  level: number,
  { amount, periodMs }: Pick<Drain, 'amount' | 'periodMs'>,
  claim: { reserved: number; cost: number; limit: number },
): number | null {
  const { reserved, cost, limit } = claim
  const over = level + (reserved + cost - limit) * periodMs
  if (amount === 0) return null
  if (cost > 0) return reserved + cost <= limit ? Math.ceil(over / amount) : null
  // Of an unknown cost anything has to be left.
  return reserved < limit ? Math.floor(over / amount) + 1 : null
}
