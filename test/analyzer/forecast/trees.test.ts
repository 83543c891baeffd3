import { expect, test } from 'vitest'
import { sumOfLeaves, toForest } from '../../../analyzer/forecast/trees.ts'

/** Two stumps: of feature 0 at 5, unknown to the left; of feature 1 at 0, unknown to the right. */
const forest = toForest({
  roots: [0, 3],
  feature: [0, -1, -1, 1, -1, -1],
  threshold: [5, 1, 2, 0, 10, 20],
  left: [1, -1, -1, 4, -1, -1],
  isMissingLeft: [1, 0, 0, 0, 0, 0],
})

test('the leaves that features lead to are summed; a value at the threshold goes left, unknown where it was told', () => {
  expect(sumOfLeaves(forest, Float64Array.of(5, 0))).toBe(11)
  expect(sumOfLeaves(forest, Float64Array.of(6, 0.1))).toBe(22)
  expect(sumOfLeaves(forest, Float64Array.of(Number.NaN, Number.NaN))).toBe(21)
})

test('no trees say nothing', () => {
  const none = toForest({ roots: [], feature: [], threshold: [], left: [], isMissingLeft: [] })
  expect(sumOfLeaves(none, Float64Array.of(1))).toBe(0)
})
