import { expect, test } from 'vitest'
import { normalQuantile, normalScores, SLICES_MAX } from '../../../analyzer/forecast/normal.ts'

test('quantiles are those of the tables', () => {
  for (const [level, score] of [
    [0.5, 0],
    [0.9, 1.2815515655],
    [0.975, 1.9599639845],
    [0.001, -3.0902323062],
  ] as const) {
    expect(normalQuantile(level)).toBeCloseTo(score, 7)
  }
})

test('scores are symmetric, ascending and bounded in number', () => {
  const scores = normalScores(5)
  expect(scores).toHaveLength(5)
  expect(scores[2]).toBeCloseTo(0)
  expect(scores[0]).toBeCloseTo(-(scores[4] ?? 0))
  expect(normalScores(1)).toEqual(Float64Array.of(normalQuantile(0.5)))
  expect(normalScores(1e6)).toHaveLength(SLICES_MAX)
})
