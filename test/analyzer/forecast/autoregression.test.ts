import { expect, test } from 'vitest'
import { autoregression } from '../../../analyzer/forecast/autoregression.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { weightedQuantiles } from '../../../analyzer/forecast/paths.ts'
import { describePathSource, totalOf } from '../../contract/forecaster.ts'

describePathSource(autoregression)

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WEEK_HOURS = 168

const hourly = (hours: number, units: (hour: number) => number) =>
  toHistory(
    Float64Array.from({ length: hours }, (_, hour) => units(hour)),
    0,
    HOUR_MS,
    hours * HOUR_MS,
  )
const medianAhead = (hours: number, units: (hour: number) => number, aheadHours: number) => {
  const history = hourly(hours, units)
  const ask = { atMs: history.endMs, leftMs: aheadHours * HOUR_MS, windowMs: DAY_MS }
  const paths = autoregression.fit(history, ask)(ask)
  if (!paths) return Number.NaN
  const totals = Float64Array.from(paths.weights, (_, path) => totalOf(paths, path))
  return weightedQuantiles(totals, paths.weights, [0.5])[0] ?? Number.NaN
}

/** A quiet weekend, busy working hours, and a little noise that repeats nowhere. */
const office = (hour: number) => {
  const isBusy = hour % WEEK_HOURS < 120 && hour % 24 >= 8 && hour % 24 < 18
  return (isBusy ? 100 : 10) * (1 + 0.05 * Math.sin(hour * 12.9898))
}

test('hours of the day and days of the week are learnt from five weeks', () => {
  const weeks = 5 * WEEK_HOURS
  const truth = (from: number, hours: number) =>
    Array.from({ length: hours }, (_, hour) => office(from + hour)).reduce((sum, units) => sum + units, 0)
  // From Thursday's midnight a day of work is ahead, from Friday's a weekend.
  for (const days of [3, 5]) {
    const said = medianAhead(weeks + days * 24, office, 24)
    expect(said / truth(weeks + days * 24, 24)).toBeGreaterThan(0.85)
    expect(said / truth(weeks + days * 24, 24)).toBeLessThan(1.15)
  }
})

test.each([3, 5])('beyond three days, days of the week are told apart, from day %i on', day => {
  const hours = 5 * WEEK_HOURS + day * 24
  const truth = Array.from({ length: 100 }, (_, hour) => office(hours + hour)).reduce((sum, units) => sum + units, 0)
  expect(medianAhead(hours, office, 100) / truth).toBeGreaterThan(0.9)
  expect(medianAhead(hours, office, 100) / truth).toBeLessThan(1.1)
})

test('growth goes on for as long as the days said that it does', () => {
  const said = medianAhead(20 * 24, hour => 100 + hour, 24)
  expect(said).toBeGreaterThan(24 * 560)
  expect(said).toBeLessThan(24 * 620)
})

test('what is beyond the walk goes on at the level of its last week', () => {
  expect(medianAhead(30 * 24, office, 40 * 24) / medianAhead(30 * 24, office, 30 * 24)).toBeGreaterThan(1.2)
})

test('two days teach nothing of a season, a day nothing at all', () => {
  expect(medianAhead(24, office, 6)).toBeNaN()
})
