import { expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { fitMix, mixPaths, SOURCES } from '../../../analyzer/forecast/mix.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const hourly = (hours: number, units: (hour: number) => number) =>
  toHistory(
    Float64Array.from({ length: hours }, (_, hour) => units(hour)),
    0,
    HOUR_MS,
    hours * HOUR_MS,
  )
const ask = (atMs: number) => ({ atMs, leftMs: 12 * HOUR_MS, windowMs: DAY_MS })

test('a series with a season trusts its analogs', () => {
  const seasonal = hourly(20 * 24 + 12, hour => (hour % 24 < 12 ? 1 : 100))
  const { weights, origins } = fitMix(seasonal, ask(seasonal.endMs))
  expect(origins).toBe(8)
  expect(weights[0]).toBeGreaterThan(0.9)
  expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1)
})

test('a series without past keeps the prior weights', () => {
  const young = hourly(20, () => 5)
  expect(fitMix(young, ask(young.endMs))).toEqual({ weights: SOURCES.map(source => source.priorWeight), origins: 0 })
})

test('paths of a source count as the mix says, whatever their number', () => {
  const history = hourly(10 * 24, () => 10)
  const paths = mixPaths(history, ask(history.endMs), { weights: [0.25, 0.75], origins: 0 })
  const analogs = SOURCES[0]?.paths(history, ask(history.endMs))?.weights.length ?? 0
  const share = paths?.weights.subarray(0, analogs).reduce((sum, weight) => sum + weight, 0)
  expect(share).toBeCloseTo(0.25)
})

test('a key too young for analogs is forecast by its rate alone', () => {
  const young = hourly(20, () => 5)
  const paths = mixPaths(young, ask(young.endMs), { weights: [0.7, 0.3], origins: 0 })
  const rate = SOURCES[1]?.paths(young, ask(young.endMs))
  expect(paths?.totals).toEqual(rate?.totals)
  expect(
    mixPaths(
      hourly(20, () => 0),
      ask(20 * HOUR_MS),
      { weights: [0.7, 0.3], origins: 0 },
    ),
  ).toBeNull()
})
