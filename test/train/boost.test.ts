import { expect, test } from 'vitest'
import { uniform } from '../../analyzer/forecast/random.ts'
import { sumOfLeaves, toForest } from '../../analyzer/forecast/trees.ts'
import { type BoostOptions, boost, type Rows, toForestJson } from './boost.ts'

const OPTIONS: BoostOptions = {
  trees: 40,
  depth: 3,
  learningRate: 0.2,
  first: { trees: 4, learningRate: 0.3 },
  lambda: 1,
  leafMin: 5,
  rowShare: 0.8,
  featureShare: 1,
  gainMin: 0.01,
  seed: 1,
}

/** Rises with the first feature but for a dent, falls where the second is unknown; the third is noise. */
function rows(count: number): Rows {
  const random = uniform(3)
  const values = new Float32Array(count * 3)
  const labels = new Uint8Array(count)
  for (let row = 0; row < count; row++) {
    const x = random()
    const isKnown = random() < 0.7
    values.set([x, isKnown ? random() : Number.NaN, random()], row * 3)
    const dent = x > 0.5 && x < 0.6 ? -0.4 : 0
    labels[row] = random() < 0.1 + 0.7 * x + dent - (isKnown ? 0 : 0.1) ? 1 : 0
  }
  return {
    count,
    features: 3,
    values,
    labels,
    weights: new Float32Array(count).fill(1),
    offsets: new Float32Array(count),
  }
}

const probability = (forest: ReturnType<typeof toForest>, features: number[]) =>
  1 / (1 + Math.exp(-sumOfLeaves(forest, Float64Array.from(features))))

test('what is learnt is near the truth, and never falls where it must not', () => {
  const forest = toForest(toForestJson(boost(rows(4000), [1, 0, 0], OPTIONS)))
  // 0.17 and 0.73 in truth.
  expect(probability(forest, [0.1, 0.5, 0.5])).toBeLessThan(0.25)
  expect(probability(forest, [0.9, 0.5, 0.5])).toBeGreaterThan(0.6)
  expect(probability(forest, [0.4, Number.NaN, 0.5])).toBeLessThan(probability(forest, [0.4, 0.5, 0.5]))
  for (let x = 0; x < 1; x += 0.01) {
    expect(probability(forest, [x + 0.01, 0.5, 0.5])).toBeGreaterThanOrEqual(probability(forest, [x, 0.5, 0.5]))
  }
})

test('without the direction the dent is seen', () => {
  const forest = toForest(toForestJson(boost(rows(4000), [0, 0, 0], OPTIONS)))
  expect(probability(forest, [0.55, 0.5, 0.5])).toBeLessThan(probability(forest, [0.45, 0.5, 0.5]))
})

test('equal rows and seed make equal trees', () => {
  expect(toForestJson(boost(rows(500), [1, 0, 0], OPTIONS))).toEqual(toForestJson(boost(rows(500), [1, 0, 0], OPTIONS)))
})

test('the first trees learn more', () => {
  const leavesOf = (learningRate: number) =>
    boost(rows(500), [0, 0, 0], { ...OPTIONS, trees: 2, first: { trees: 1, learningRate } }).map(
      ({ feature, threshold }) =>
        threshold
          .filter((_, node) => feature[node] === -1)
          .map(Math.abs)
          .reduce((most, one) => Math.max(most, one)),
    )
  const [slow = 0, slowNext] = leavesOf(0.2)
  const [fast, fastNext] = leavesOf(0.4)
  expect(fast).toBeCloseTo(2 * slow, 5)
  expect(fastNext).toBeLessThan(slowNext ?? 0)
})
