import { expect, test } from 'vitest'
import { demandOf, exhaustionOf } from '../../../analyzer/forecast/exhaustion.ts'
import type { Paths } from '../../../analyzer/forecast/paths.ts'

/** Ten straight paths that end at 10, 20, … 100. */
const paths: Paths = {
  leftMs: 1000,
  knots: 2,
  totals: Float64Array.from({ length: 20 }, (_, index) => (Math.floor(index / 2) + 1) * (index % 2 ? 10 : 5)),
  weights: new Float64Array(10).fill(1),
}

test('the probability is the share of paths that cross, never certain', () => {
  expect(exhaustionOf(paths, 55, 0).probability).toBeCloseTo(0.5, 1)
  const sure = exhaustionOf(paths, 1, 0).probability
  expect(sure).toBeGreaterThan(0.98)
  expect(sure).toBeLessThan(1)
  expect(exhaustionOf(paths, 1000, 0).probability).toBeGreaterThan(0)
})

test('an instant after the reset is null', () => {
  const { exhaustionAtMs } = exhaustionOf(paths, 55, 5000)
  expect(exhaustionAtMs.p10).toBeGreaterThan(5500)
  expect(exhaustionAtMs.p10).toBeLessThan(5700)
  expect(exhaustionAtMs.p90).toBeNull()
})

test('demand has the quantiles of the totals', () => {
  expect(demandOf(paths).p50).toBeCloseTo(55)
})
