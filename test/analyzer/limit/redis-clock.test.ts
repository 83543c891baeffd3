import { expect, test } from 'vitest'
import { createRedisClock } from '../../../analyzer/limit/redis-clock.ts'

/** A busy machine may stall a test between two looks at a clock. */
const isNear = (one: number, other: number) => Math.abs(one - other) <= 1_500

test('before the first measurement it is our own', () => {
  expect(isNear(createRedisClock(undefined).nowMs(), Date.now())).toBe(true)
})

test('believes the measurement with the shortest way there and back', () => {
  const clock = createRedisClock(undefined)
  const ms = performance.now()
  const aheadMs = performance.timeOrigin + 10_000
  clock.note(aheadMs + ms, ms - 1, ms + 1)
  // The answer was slow to come back: taken in the middle, Redis would seem to be 10 s behind.
  clock.note(aheadMs + ms, ms, ms + 20_000)
  expect(isNear(clock.nowMs(), Date.now() + 10_000)).toBe(true)
})

test('a clock that was set is noticed at once, and does not go back meanwhile', () => {
  const clock = createRedisClock(undefined)
  const ms = performance.now()
  clock.note(performance.timeOrigin + ms, ms, ms)
  const before = clock.nowMs()
  clock.note(performance.timeOrigin + ms - 5_000, ms, ms)
  expect(clock.nowMs()).toBeGreaterThanOrEqual(before)
  clock.note(performance.timeOrigin + ms + 5_000, ms, ms)
  expect(isNear(clock.nowMs(), Date.now() + 5_000)).toBe(true)
})

test('goes on from where the counters have been', () => {
  const clock = createRedisClock(() => 1_000)
  clock.reach(7_000)
  expect(clock.nowMs()).toBe(7_000)
})
