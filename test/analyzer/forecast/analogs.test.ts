import { expect, test } from 'vitest'
import { analogPaths, periodsKnown } from '../../../analyzer/forecast/analogs.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { SOURCES } from '../../../analyzer/forecast/mix.ts'
import { weightedQuantiles } from '../../../analyzer/forecast/paths.ts'
import { describePathSource, totalOf } from '../../contract/forecaster.ts'

for (const source of SOURCES) if (source.name === 'analogs') describePathSource(source)

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const hourly = (hours: number, units: (hour: number) => number) =>
  toHistory(
    Float64Array.from({ length: hours }, (_, hour) => units(hour)),
    0,
    HOUR_MS,
    hours * HOUR_MS,
  )

function medianTotal(history: ReturnType<typeof hourly>, leftMs: number, windowMs: number): number {
  const paths = analogPaths(history, { atMs: history.endMs, leftMs, windowMs })
  if (!paths) return Number.NaN
  const totals = Float64Array.from(paths.weights, (_, index) => totalOf(paths, index))
  return weightedQuantiles(totals, paths.weights, [0.5])[0] ?? Number.NaN
}

test('the same hours of earlier days are followed', () => {
  const history = hourly(10 * 24 + 6, hour => (hour % 24 === 20 ? 100 : 1))
  expect(medianTotal(history, 6 * HOUR_MS, DAY_MS)).toBeCloseTo(6, 0)
  expect(medianTotal(history, 18 * HOUR_MS, DAY_MS)).toBeCloseTo(117, -1)
})

test('a day on which the clock is put forward follows the same hours, too', () => {
  const history = hourly(10 * 24 + 6, hour => (hour % 24 === 20 ? 100 : 1))
  expect(medianTotal(history, 6 * HOUR_MS, 23 * HOUR_MS)).toBeCloseTo(6, 0)
  expect(medianTotal(history, 18 * HOUR_MS, 23.5 * HOUR_MS)).toBeCloseTo(117, -1)
})

test('a level that doubled is expected to stay by half, in logs', () => {
  const history = hourly(20 * 24, hour => (hour >= 19 * 24 ? 20 : 10))
  const expected = 10 * 24 * Math.SQRT2
  expect(medianTotal(history, DAY_MS, DAY_MS) / expected).toBeCloseTo(1, 0)
})

test('the weekday counts more than the days between', () => {
  // Every seventh day is ten times as busy, and the next one is such a day.
  const history = hourly(28 * 24, hour => (Math.floor(hour / 24) % 7 === 0 ? 100 : 10))
  const paths = analogPaths(history, { atMs: history.endMs, leftMs: DAY_MS, windowMs: DAY_MS })
  const busy = Array.from(paths?.weights ?? [], (weight, index) =>
    paths && totalOf(paths, index) > 1000 ? weight : 0,
  ).reduce((sum, weight) => sum + weight, 0)
  const all = paths?.weights.reduce((sum, weight) => sum + weight, 0) ?? 0
  expect(busy / all).toBeGreaterThan(0.3)
})

test('a week is forecast from two days by repeating them', () => {
  const history = hourly(48, () => 10)
  expect(medianTotal(history, 7 * DAY_MS, 7 * DAY_MS)).toBeCloseTo(7 * 240, -2)
})

test('without one earlier period there is no analog', () => {
  const history = hourly(20, () => 10)
  expect(periodsKnown(history, history.endMs, DAY_MS)).toBe(0)
  expect(analogPaths(history, { atMs: history.endMs, leftMs: HOUR_MS, windowMs: DAY_MS })).toBeNull()
})
