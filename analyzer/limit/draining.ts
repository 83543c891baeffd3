/**
 * What drains: a generic cell rate algorithm (ITU-T I.371) as a leaky bucket. The level rises by what is spent and falls
 * by `amount` units in each period, never below nothing. It is reckoned in units times milliseconds of the period, which
 * are whole numbers for whole units: no instant is ever rounded, so a wait that was told is exact.
 */
import { type Bucket, type Level, usedOf } from './bucket.ts'
import type { Drain } from './limit-store.ts'

/** The level of a bucket of which nothing has drained yet. */
export const newLevel = ({ amount, periodMs, keptMs }: Drain, nowMs: number): Level => ({
  rest: 0,
  atMs: nowMs,
  amount,
  periodMs,
  keptMs,
})

/** The level now, in units times milliseconds. The rate that holds now is taken for all of the time since it was reckoned. */
export function levelAt(
  bucket: Bucket,
  level: Level,
  { amount, sinceMs }: Pick<Drain, 'amount' | 'sinceMs'>,
  nowMs: number,
): number {
  if (level.atMs <= sinceMs) return 0
  const drained = Math.max(0, nowMs - level.atMs) * amount
  return Math.max(0, usedOf(bucket) * level.periodMs - level.rest - drained)
}

/**
 * Takes what has drained out of the bucket. To be done before anything else is taken out of it or spent in it; when both
 * are done, `floor` is due.
 */
export function drain(bucket: Bucket, level: Level, by: Pick<Drain, 'amount' | 'sinceMs'>, nowMs: number): void {
  level.amount = by.amount
  // An estimate that was taken out a moment ago may have drained: the true cost comes before the floor.
  if (level.atMs >= nowMs && level.atMs > by.sinceMs) return
  const { periodMs } = level
  const gone = usedOf(bucket) * periodMs - levelAt(bucket, level, by, nowMs)
  const whole = Math.floor(gone / periodMs)
  bucket.settled -= whole
  level.rest = gone - whole * periodMs
  // What is spent in the same millisecond, after the reset, counts.
  level.atMs = Math.max(level.atMs, nowMs, by.sinceMs + 1)
}

/** What was taken out and had drained already makes no room for others: a level is never below nothing. */
export function floor(bucket: Bucket): void {
  const { level } = bucket
  if (level === null) return
  const used = usedOf(bucket)
  if (used * level.periodMs >= level.rest) return
  bucket.settled -= used
  level.rest = 0
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
