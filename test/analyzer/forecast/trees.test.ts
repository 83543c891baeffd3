import { expect, test } from 'vitest'
import { look, sumOfLeaves, sumOfReached, toForest } from '../../../analyzer/forecast/trees.ts'

/** Two stumps: of feature 0 at 5, unknown to the left; of feature 1 at 0, unknown to the right. */
const forest = toForest({
  roots: [0, 3],
  feature: [0, -1, -1, 1, -1, -1],
  threshold: [5, 1, 2, 0, 10, 20],
  isMissingLeft: [1, 0, 0, 0, 0, 0],
})

test('the leaves that features lead to are summed; a value at the threshold goes left, unknown where it was told', () => {
  expect(sumOfLeaves(forest, Float64Array.of(5, 0))).toBe(11)
  expect(sumOfLeaves(forest, Float64Array.of(6, 0.1))).toBe(22)
  expect(sumOfLeaves(forest, Float64Array.of(Number.NaN, Number.NaN))).toBe(21)
})

test('no trees say nothing', () => {
  const none = toForest({ roots: [], feature: [], threshold: [], isMissingLeft: [] })
  expect(sumOfLeaves(none, Float64Array.of(1))).toBe(0)
})

test('trees of different depths are each walked to a leaf, however many there are', () => {
  const stump = { feature: [0, -1, -1], threshold: [0, 1, 2] }
  // Left of 0: 10; right of it, by the other feature, 20 or, where that is unknown or above 3, 30.
  const deeper = { feature: [0, -1, 1, -1, -1], threshold: [0, 10, 3, 20, 30] }
  const trees = [stump, deeper, stump, stump, deeper, stump, stump, stump, deeper, stump]
  const feature = trees.flatMap(tree => tree.feature)
  const of = toForest({
    roots: [0, 3, 8, 11, 14, 19, 22, 25, 28, 33],
    feature,
    threshold: trees.flatMap(tree => tree.threshold),
    isMissingLeft: feature.map(() => 0),
  })
  expect(sumOfLeaves(of, Float64Array.of(-1, 9))).toBe(7 * 1 + 3 * 10)
  expect(sumOfLeaves(of, Float64Array.of(1, 3))).toBe(7 * 2 + 3 * 20)
  expect(sumOfLeaves(of, Float64Array.of(1, Number.NaN))).toBe(7 * 2 + 3 * 30)
  // The first eight, and the last two.
  look(of, Float64Array.of(1, 3))
  expect(sumOfReached(of, 0, 8)).toBe(6 * 2 + 2 * 20)
  expect(sumOfReached(of, 8)).toBe(2 + 20)
  // The second feature is as it was.
  look(of, Float64Array.of(-1, 9), 1)
  expect(sumOfReached(of)).toBe(7 * 1 + 3 * 10)
  look(of, Float64Array.of(1, 9), 1)
  expect(sumOfReached(of)).toBe(7 * 2 + 3 * 20)
})
