import { expect, test } from 'vitest'
import { activity, activityPaths } from '../../../analyzer/forecast/activity.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { weightedQuantiles } from '../../../analyzer/forecast/paths.ts'
import { describePathSource, totalOf } from '../../contract/forecaster.ts'

describePathSource(activity)

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Totals of the paths of so many days after these days, each of which takes its units evenly. */
function totals(days: readonly number[], daysAhead: number): Float64Array {
  const values = days.flatMap(units => new Array<number>(24).fill(units / 24))
  const atMs = days.length * DAY_MS
  const ask = { atMs, leftMs: daysAhead * DAY_MS, windowMs: daysAhead * DAY_MS }
  const paths = activityPaths(toHistory(values, 0, HOUR_MS, atMs), ask)
  return Float64Array.from(paths?.weights ?? [], (_, index) => (paths ? totalOf(paths, index) : 0))
}
const shareOf = (all: Float64Array, isOne: (total: number) => boolean) => all.filter(isOne).length / all.length
const quantiles = (all: Float64Array) => weightedQuantiles(all, new Float64Array(all.length).fill(1), [0.1, 0.5, 0.9])

test('a key wakes as often as it did after days like the last one', () => {
  const everyOther = (index: number) => (index % 2 === 0 ? 240 : 0)
  const afterRest = totals(
    Array.from({ length: 40 }, (_, day) => everyOther(day)),
    1,
  )
  const afterWork = totals(
    Array.from({ length: 41 }, (_, day) => everyOther(day)),
    1,
  )
  expect(shareOf(afterRest, total => total > 0)).toBeGreaterThan(0.7)
  expect(shareOf(afterWork, total => total > 0)).toBeLessThan(0.3)
  // And then takes what it took when awake.
  expect(quantiles(afterRest)[1]).toBeCloseTo(240, -2)
})

test('idle days are drawn one by one: a week has as many as it had', () => {
  const [p10 = 0, p50 = 0, p90 = 0] = quantiles(
    totals(
      Array.from({ length: 42 }, (_, day) => (day % 3 === 0 ? 300 : 0)),
      9,
    ),
  )
  expect(p50 / 900).toBeGreaterThan(0.7)
  expect(p50 / 900).toBeLessThan(1.3)
  expect(p10).toBeLessThan(p50)
  expect(p90).toBeGreaterThan(p50)
})

test('what is known of few days is less sure', () => {
  const spread = (days: number) => {
    const [p10 = 0, , p90 = 0] = quantiles(totals(new Array(days).fill(100), 1))
    return p90 / p10
  }
  expect(spread(3)).toBeGreaterThan(1.3 * spread(30))
})

test('without two earlier periods nothing follows anything', () => {
  expect(totals([10], 1)).toHaveLength(0)
})
