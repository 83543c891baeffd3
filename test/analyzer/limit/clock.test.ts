import { expect, test } from 'vitest'
import { createClock } from '../../../analyzer/limit/clock.ts'

test('stands still while the clock is set back, and goes on when it has caught up', () => {
  let nowMs = 10_000_000
  const clock = createClock(() => nowMs, 0)
  const seen = [0, -5_000, 4_000, 2_000].map(stepMs => {
    nowMs += stepMs
    return clock()
  })
  expect(seen).toEqual([10_000_000, 10_000_000, 10_000_000, 10_001_000])
})

test('does not wait for a clock that was wrong by far more than a correction', () => {
  const clock = createClock(() => 10_000_000, 10_000_000 + 3_600_001)
  expect(clock()).toBe(10_000_000)
  expect(createClock(() => 10_000_000, 10_000_000 + 3_600_000)()).toBe(13_600_000)
})
