import { expect, test } from 'vitest'
import { countPaths, counts } from '../../../analyzer/forecast/counts.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { weightedQuantiles } from '../../../analyzer/forecast/paths.ts'
import { uniform } from '../../../analyzer/forecast/random.ts'
import { describePathSource, totalOf } from '../../contract/forecaster.ts'

describePathSource(counts)

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

/** p10, p50 and p90 of the next minute. */
function nextMinute(values: readonly number[]): number[] {
  const history = toHistory(values, 0, SECOND_MS, values.length * SECOND_MS)
  const paths = countPaths(history, { atMs: history.endMs, leftMs: MINUTE_MS, windowMs: MINUTE_MS })
  if (!paths) return []
  const totals = Float64Array.from(paths.weights, (_, index) => totalOf(paths, index))
  return weightedQuantiles(totals, paths.weights, [0.1, 0.5, 0.9])
}

/** So many seconds of calls that come one by one. */
function calls(seconds: number, perSecond: number, seed: number): number[] {
  const random = uniform(seed)
  const gap = () => -Math.log(1 - random())
  return Array.from({ length: seconds }, () => {
    let count = 0
    for (let at = gap(); at < perSecond; at += gap()) count++
    return count
  })
}
const width = ([p10 = 0, p50 = 1, p90 = 0]: number[]) => (p90 - p10) / p50

test('calls that come one by one spread as the square root of their number', () => {
  const once = nextMinute(calls(1800, 1, 1))
  expect((once[1] ?? 0) / 60).toBeCloseTo(1, 0)
  // Ten to ninety per cent of a Poisson number of 60.
  expect(width(once)).toBeGreaterThan(0.25)
  expect(width(once)).toBeLessThan(0.5)
  expect(width(nextMinute(calls(1800, 25, 2))) / width(once)).toBeLessThan(0.35)
})

test('calls that come in clumps spread wider, a clock that is coarser than a step does not', () => {
  const once = calls(1800, 1, 3)
  const coarse = once.map((_, index) =>
    index % 3 === 2 ? once.slice(index - 2, index + 1).reduce((a, b) => a + b) : 0,
  )
  expect(width(nextMinute(coarse)) / width(nextMinute(once))).toBeLessThan(1.3)
  expect(width(nextMinute(once.map(count => 10 * count))) / width(nextMinute(once))).toBeCloseTo(1, 0)
  expect(width(nextMinute(calls(1800, 0.1, 4).map(count => 10 * count))) / width(nextMinute(once))).toBeGreaterThan(2)
})

test('the rate is that of as long as it was the same', () => {
  const [, p50 = 0] = nextMinute([...calls(1200, 1, 5), ...calls(400, 4, 6)])
  expect(p50 / 240).toBeGreaterThan(0.85)
  expect(p50 / 240).toBeLessThan(1.15)
})

test('nothing used, nothing said', () => {
  expect(nextMinute(new Array(120).fill(0))).toEqual([])
})
