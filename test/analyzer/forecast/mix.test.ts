import { expect, test } from 'vitest'
import { type History, toHistory } from '../../../analyzer/forecast/history.ts'
import { fitMix, mixPaths, priorWeights, SOURCES } from '../../../analyzer/forecast/mix.ts'

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
const drawn = (history: History) => SOURCES.map(source => source.fit(history, ask(history.endMs))(ask(history.endMs)))

test('a series with a season trusts those that know it', () => {
  const seasonal = hourly(20 * 24 + 12, hour => (hour % 24 < 12 ? 1 : 100))
  const { weights, origins } = fitMix(seasonal, ask(seasonal.endMs))
  expect(origins).toBe(8)
  // The recent rate, which does not, counts for little.
  expect(weights[1]).toBeLessThan(0.05)
  expect(weights[4]).toBeLessThan(0.05)
  expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1)
})

test('a series without past keeps the prior weights', () => {
  const young = hourly(20, () => 5)
  const { weights, origins } = fitMix(young, ask(young.endMs))
  expect(origins).toBe(0)
  const prior = priorWeights(ask(young.endMs))
  weights.forEach((weight, index) => {
    expect(weight).toBeCloseTo(prior[index] ?? 0)
  })
})

test.each([0.5, 1, 3, 7, 30])('%f days ahead the prior weights are a whole', days => {
  const prior = priorWeights({ atMs: 0, leftMs: days * DAY_MS, windowMs: 30 * DAY_MS })
  expect(prior.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1)
  // The recent rate is extended the further, the more it counts.
  expect(prior[1]).toBeGreaterThanOrEqual(priorWeights(ask(0))[1] ?? 1)
})

test('paths of a source count as the mix says, whatever their number', () => {
  const history = hourly(10 * 24, () => 10)
  const paths = mixPaths(drawn(history), [0.25, 0.3, 0.25, 0.1, 0.1])
  const analogs = drawn(history)[0]?.weights.length ?? 0
  const share = paths?.weights.subarray(0, analogs).reduce((sum, weight) => sum + weight, 0)
  expect(share).toBeCloseTo(0.25)
})

test('a key too young for analogs is forecast by its rates alone', () => {
  const young = hourly(20, () => 5)
  const [analogs, rate, autoregression, activity, counts] = drawn(young)
  expect([analogs, autoregression, activity]).toEqual([null, null, null])
  const totals = [...(rate?.totals ?? []), ...(counts?.totals ?? [])]
  expect(Array.from(mixPaths(drawn(young), [0.6, 0.2, 0.1, 0.05, 0.05])?.totals ?? [])).toEqual(totals)
  expect(mixPaths(drawn(hourly(20, () => 0)), [0.6, 0.2, 0.1, 0.05, 0.05])).toBeNull()
})
