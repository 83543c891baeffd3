import { expect, test } from 'vitest'
import { KNOTS_MAX, knotsOf, weightedQuantiles } from '../../../analyzer/forecast/paths.ts'

test('knots are one a step, within bounds', () => {
  expect([knotsOf(1, 60), knotsOf(601, 60), knotsOf(1e9, 60)]).toEqual([1, 11, KNOTS_MAX])
})

test('quantiles heed weights', () => {
  const values = Float64Array.of(30, 10, 20)
  expect(weightedQuantiles(values, Float64Array.of(1, 1, 1), [0.5])).toEqual([20])
  expect(weightedQuantiles(values, Float64Array.of(100, 1, 1), [0.1, 0.5, 0.9])[1]).toBeCloseTo(30, 0)
  expect(weightedQuantiles(Float64Array.of(7), Float64Array.of(2), [0.1, 0.5, 0.9])).toEqual([7, 7, 7])
})
