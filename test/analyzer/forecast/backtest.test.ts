import { expect, test } from 'vitest'
import { backtest } from '../../../analyzer/forecast/backtest.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { SOURCES } from '../../../analyzer/forecast/mix.ts'
import type { Draw } from '../../../analyzer/forecast/paths.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const steady = (hours: number) => toHistory(new Array(hours).fill(5), 0, HOUR_MS, hours * HOUR_MS)
const ask = (atMs: number) => ({ atMs, leftMs: 12 * HOUR_MS, windowMs: DAY_MS })

/** Always says the same total. */
const says =
  (units: number): Draw =>
  ({ leftMs }) => ({ leftMs, knots: 1, totals: Float64Array.of(units), weights: Float64Array.of(1) })

test('losses are pinball losses of the totals that came', () => {
  // 60 came each time: exactly right costs nothing, 10 short costs (0.1 + 0.5 + 0.9) × 10 at each of 8 instants.
  const { origins, records } = backtest([says(60), says(50), says(70)], steady(20 * 24), ask(20 * DAY_MS))
  expect(origins).toBe(8)
  expect(records[0]?.loss).toBeCloseTo(0)
  expect(records[1]?.loss).toBeCloseTo(8 * 15)
  expect(records[2]?.loss).toBeCloseTo(8 * 15)
})

test('nobody is asked where nothing was known', () => {
  const draws = SOURCES.map(source => source.fit(steady(36), ask(36 * HOUR_MS)))
  expect(backtest(draws, steady(36), ask(36 * HOUR_MS))).toEqual({
    origins: 0,
    records: SOURCES.map(() => ({ loss: 0, bias: 0, width: 1 })),
  })
})

test('a source that had nothing to say is as bad as the worst that had', () => {
  const { records } = backtest([says(60), says(50), () => null], steady(20 * 24), ask(20 * DAY_MS))
  expect(records[2]?.loss).toBe(records[1]?.loss)
})

test('every instant is one at which all of the rest has come', () => {
  const asked: number[] = []
  const spy: Draw = asking => {
    asked.push(asking.atMs)
    return says(1)(asking)
  }
  const nowMs = 30 * DAY_MS
  backtest([spy], steady(30 * 24), { atMs: nowMs, leftMs: 5 * DAY_MS, windowMs: 7 * DAY_MS })
  expect(Math.max(...asked)).toBe(nowMs - 5 * DAY_MS)
})

test('a source that says too much has a bias below 0, one that is too sure a width above 1', () => {
  const { records } = backtest([says(60), says(120)], steady(20 * 24), ask(20 * DAY_MS))
  expect(records[0]?.bias).toBeCloseTo(0)
  expect(records[0]?.width).toBeCloseTo(0)
  expect(records[1]?.bias).toBeLessThan(-2)
  expect(records[1]?.width).toBeGreaterThan(2)
})
