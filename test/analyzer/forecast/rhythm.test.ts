import { expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { RHYTHM_TRAITS, rhythmTraits } from '../../../analyzer/forecast/rhythm.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Of a day's window that has just begun, by hours of use. */
function traitsOf(hours: readonly number[]): Record<string, number> {
  const atMs = hours.length * HOUR_MS
  const history = toHistory(hours, 0, HOUR_MS, atMs)
  const values = rhythmTraits(history, { atMs, untilMs: atMs + DAY_MS, windowMs: DAY_MS })
  return Object.fromEntries(RHYTHM_TRAITS.map((name, index) => [name, values[index] ?? Number.NaN]))
}
const days = (totals: readonly number[]) => totals.flatMap(total => new Array<number>(24).fill(total / 24))

test('days that take turns are unlike the one before, and a use that doubles rises by its logarithm', () => {
  const turns = traitsOf(days(Array.from({ length: 28 }, (_, day) => (day % 2 === 0 ? 24 : 240))))
  expect(turns['likeness of 1 before']).toBeCloseTo(-27 / 28, 6)
  expect(turns['likeness of 7 before']).toBeCloseTo(-21 / 28, 6)
  expect(turns['slope of 10']).toBeGreaterThan(0)
  expect(turns['spread of rests']).toBeGreaterThan(1)

  const doubling = traitsOf(days(Array.from({ length: 12 }, (_, day) => 24 * 2 ** day)))
  // The floor of two hundredths of the mean flattens the first, small days.
  expect(doubling['slope of 5']).toBeCloseTo(Math.log(2), 1)
  expect(doubling['spread about slope of 5']).toBeLessThan(0.1)
  // Scaled by what was used before, every day took twice as much again.
  expect(doubling['spread of scaled rests']).toBeLessThan(doubling['spread of rests'] ?? 0)
})

test('a key that is used for two hours of six tells how long it is used and rests, and for how long it is idle by now', () => {
  const traits = traitsOf(Array.from({ length: 20 * 24 + 5 }, (_, hour) => (hour % 6 < 2 ? 50 : 0)))
  expect(traits.run).toBeCloseTo(-Math.log(1 + 3), 6)
  expect(traits['mean use']).toBeCloseTo(Math.log(2), 6)
  expect(traits['mean rest']).toBeCloseTo(Math.log(4), 1)
  // Of the last 48 hours' parts, eight uses of two hours: 100 of 800 units each.
  expect(traits['peak share']).toBeCloseTo(50 / 800, 6)
})

test('of steady use all periods are the same, and of too little nothing is said', () => {
  const steady = traitsOf(days(new Array(20).fill(48)))
  for (const name of ['most', 'middle', 'least']) expect(steady[`${name} of periods`]).toBeCloseTo(1, 6)
  expect(steady['spread of rests']).toBeCloseTo(0, 6)
  expect(steady.rests).toBe(19)

  const little = traitsOf(days([48, 48]))
  for (const name of ['likeness of 1 before', 'slope of 5', 'spread of rests']) expect(little[name]).toBeNaN()
})
