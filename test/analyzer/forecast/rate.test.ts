import { expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { SOURCES } from '../../../analyzer/forecast/mix.ts'
import { weightedQuantiles } from '../../../analyzer/forecast/paths.ts'
import { ratePaths } from '../../../analyzer/forecast/rate.ts'
import { describePathSource, totalOf } from '../../contract/forecaster.ts'

for (const source of SOURCES) if (source.name === 'rate') describePathSource(source)

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

function totals(values: readonly number[], leftMs: number): number[] {
  const history = toHistory(values, 0, MINUTE_MS, values.length * MINUTE_MS)
  const paths = ratePaths(history, { atMs: history.endMs, leftMs, windowMs: HOUR_MS })
  if (!paths) return []
  const all = Float64Array.from(paths.weights, (_, index) => totalOf(paths, index))
  return weightedQuantiles(all, paths.weights, [0.1, 0.5, 0.9])
}

test('a steady rate goes on', () => {
  const [, p50] = totals(new Array(120).fill(10), 30 * MINUTE_MS)
  expect(p50).toBeCloseTo(300, -1)
})

test('a series that never kept its rate has the wider band', () => {
  const steady = totals(new Array(240).fill(10), 30 * MINUTE_MS)
  const restless = totals(
    Array.from({ length: 240 }, (_, minute) => (Math.floor(minute / 40) % 2 ? 1 : 20)),
    30 * MINUTE_MS,
  )
  const width = ([low = 0, middle = 1, high = 0]: number[]) => (high - low) / middle
  expect(width(restless)).toBeGreaterThan(2 * width(steady))
})

test('nothing used, nothing said', () => {
  expect(totals(new Array(60).fill(0), HOUR_MS)).toEqual([])
})
