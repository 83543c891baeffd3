import { expect, test } from 'vitest'
import {
  aheadOf,
  crossingMs,
  KNOTS_MAX,
  knotsOf,
  type Paths,
  totalOf,
  weightedQuantiles,
} from '../../../analyzer/forecast/paths.ts'

const paths: Paths = {
  leftMs: 400,
  knots: 4,
  totals: Float64Array.of(1, 1, 5, 9, 0, 0, 0, 0),
  weights: Float64Array.of(1, 1),
}

test('the first crossing lies between two knots', () => {
  expect(crossingMs(paths, 0, 0.5)).toBe(50)
  expect(crossingMs(paths, 0, 3)).toBe(250)
  expect(crossingMs(paths, 0, 9)).toBe(400)
  expect(crossingMs(paths, 0, 9.1)).toBe(Number.POSITIVE_INFINITY)
  expect(crossingMs(paths, 1, 1)).toBe(Number.POSITIVE_INFINITY)
  expect(crossingMs(paths, 1, 0)).toBe(0)
})

test('what expires gives room, and what was reached once was reached', () => {
  const { totals } = aheadOf(paths, sinceMs => sinceMs / 100)
  expect([...totals]).toEqual([0, 0, 2, 5, 0, 0, 0, 0])
  expect([...aheadOf(paths, sinceMs => (sinceMs > 300 ? 100 : 0)).totals.slice(0, 4)]).toEqual([1, 1, 5, 5])
})

test('a total is that of the last knot', () => {
  expect([totalOf(paths, 0), totalOf(paths, 1)]).toEqual([9, 0])
})

test('knots are one a step, within bounds', () => {
  expect([knotsOf(1, 60), knotsOf(601, 60), knotsOf(1e9, 60)]).toEqual([1, 11, KNOTS_MAX])
})

test('quantiles heed weights', () => {
  const values = Float64Array.of(30, 10, 20)
  expect(weightedQuantiles(values, Float64Array.of(1, 1, 1), [0.5])).toEqual([20])
  expect(weightedQuantiles(values, Float64Array.of(100, 1, 1), [0.1, 0.5, 0.9])[1]).toBeCloseTo(30, 0)
  expect(weightedQuantiles(Float64Array.of(7), Float64Array.of(2), [0.1, 0.5, 0.9])).toEqual([7, 7, 7])
})
