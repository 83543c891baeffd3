import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Bucket } from '../../../analyzer/limit/bucket.ts'
import { beginDraining, drain, drainMs, floor, levelAt } from '../../../analyzer/limit/draining.ts'
import { emptyBucket } from './buckets.ts'

const whole = (max: number) => fc.nat({ max })
const rates = fc.record({ amount: whole(1_000), periodMs: fc.integer({ min: 1, max: 100_000 }) })

function filled(settled: number, rate: { amount: number; periodMs: number }) {
  const bucket: Bucket = { ...emptyBucket(-7), settled }
  const by = { ...rate, keptMs: 3_600_000 }
  beginDraining(bucket, by, 1)
  return { bucket, by }
}

test('draining now and then is draining once, and leaves less than a unit beside whole ones', () => {
  fc.assert(
    fc.property(rates, whole(10_000), fc.array(whole(5_000), { maxLength: 6 }), (rate, settled, waits) => {
      const { bucket, by } = filled(settled, rate)
      const other = filled(settled, rate)
      let nowMs = 1
      for (const waitMs of waits) {
        nowMs += waitMs
        drain(bucket, by, nowMs)
        expect(Number.isInteger(bucket.settled) && bucket.rest >= 0 && bucket.rest < rate.periodMs).toBe(true)
      }
      expect(levelAt(bucket, by, nowMs)).toBe(levelAt(other.bucket, other.by, nowMs))
    }),
  )
})

test('a cost fits after the wait and not a millisecond before', () => {
  fc.assert(
    fc.property(rates, whole(500), whole(100), whole(50), whole(500), (rate, settled, cost, reserved, limit) => {
      const { bucket, by } = filled(settled, rate)
      const over = (atMs: number) => levelAt(bucket, by, atMs) + (reserved + cost - limit) * rate.periodMs
      const fits = (atMs: number) => (cost > 0 ? over(atMs) <= 0 : over(atMs) < 0)
      const waitMs = drainMs(levelAt(bucket, by, 1), by, { reserved, cost, limit })
      fc.pre(!fits(1))
      if (waitMs === null) expect(rate.amount === 0 || reserved + Math.max(1, cost) > limit).toBe(true)
      else expect([fits(waitMs), fits(1 + waitMs)]).toEqual([false, true])
    }),
  )
})

test('what is taken out after it has drained makes no room', () => {
  const { bucket, by } = filled(5, { amount: 1, periodMs: 10 })
  drain(bucket, by, 31)
  bucket.settled -= 4
  floor(bucket)
  expect(levelAt(bucket, by, 31)).toBe(0)
  bucket.settled += 2
  expect(levelAt(bucket, by, 31)).toBe(20)
})
