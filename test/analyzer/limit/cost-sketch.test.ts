import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  callsOf,
  createSketch,
  learnCost,
  learnCosts,
  MEMORY_CALLS,
  quantileOf,
  shareUpTo,
} from '../../../analyzer/limit/cost-sketch.ts'

const amounts = fc.array(fc.oneof(fc.nat({ max: 20_000 }), fc.constant(0), fc.integer({ min: 1, max: 1e12 })), {
  minLength: 1,
  maxLength: 300,
})

const learned = (costs: readonly number[]) => {
  const sketch = createSketch()
  for (const cost of costs) learnCosts(sketch, cost, 1)
  return sketch
}

test('a quantile is that of the costs, to within a tenth', () => {
  fc.assert(
    fc.property(amounts, fc.double({ min: 0.01, max: 1, noNaN: true }), (costs, quantile) => {
      const sorted = costs.toSorted((one, other) => one - other)
      // The rank is a weight in single precision: of two neighbours either may be meant.
      const at = (rank: number) => sorted[Math.min(sorted.length, Math.max(1, Math.ceil(rank))) - 1] ?? 0
      const [low, high] = [at(quantile * costs.length - 1e-3), at(quantile * costs.length + 1e-3)]
      const answered = quantileOf(learned(costs), quantile)
      expect(answered).toBeGreaterThanOrEqual(Math.floor(low / 1.1))
      expect(answered).toBeLessThanOrEqual(Math.ceil(high * 1.1))
      expect(Number.isInteger(answered)).toBe(true)
    }),
  )
})

test('the share of calls up to an amount rises from nothing to all, and undoes the quantile', () => {
  fc.assert(
    fc.property(amounts, fc.nat({ max: 30_000 }), fc.nat({ max: 30_000 }), (costs, one, other) => {
      const sketch = learned(costs)
      const [low, high] = [Math.min(one, other), Math.max(one, other)]
      expect(shareUpTo(sketch, -1)).toBe(0)
      expect(shareUpTo(sketch, low)).toBeLessThanOrEqual(shareUpTo(sketch, high))
      expect(shareUpTo(sketch, 1.1 * Math.max(...costs))).toBeCloseTo(1, 5)
      expect(shareUpTo(sketch, quantileOf(sketch, 0.6))).toBeGreaterThan(0.6 - 1e-5)
    }),
  )
})

test('what is new outweighs what was long ago, however much that was', () => {
  const sketch = createSketch()
  learnCosts(sketch, 100, 1e6)
  for (let call = 0; call < 5 * MEMORY_CALLS; call += 1) learnCost(sketch, 1_000)
  expect(quantileOf(sketch, 0.1)).toBeGreaterThan(900)
  expect(callsOf(sketch)).toBeLessThan(2 * MEMORY_CALLS)
  for (let call = 0; call < 100 * MEMORY_CALLS; call += 1) learnCost(sketch, call % 2 === 0 ? 10 : 1_000)
  expect(shareUpTo(sketch, 500)).toBeCloseTo(0.5, 2)
})
