import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CURVE_LEVELS, quantilesBetween, scoreOf, toCurve, valueAt } from '../../../analyzer/forecast/curve.ts'
import { type Paths, weightedQuantiles } from '../../../analyzer/forecast/paths.ts'

const KNOTS = 6
/** Paths as increments per knot. */
const paths = fc
  .array(fc.array(fc.nat(100), { minLength: KNOTS, maxLength: KNOTS }), { minLength: 3, maxLength: 30 })
  .map((steps): Paths => {
    const totals = new Float64Array(steps.length * KNOTS)
    steps.forEach((path, index) => {
      let total = 0
      path.forEach((units, knot) => {
        total += units
        totals[index * KNOTS + knot] = total
      })
    })
    return { leftMs: 60_000, knots: KNOTS, totals, weights: new Float64Array(steps.length).fill(1) }
  })

test('at its knots a curve holds the quantiles of the paths', () => {
  fc.assert(
    fc.property(paths, fc.integer({ min: 0, max: KNOTS - 1 }), (some, knot) => {
      const curve = toCurve(some, 1000)
      const quantiles = new Float64Array(CURVE_LEVELS.length)
      quantilesBetween(curve, 1000, 1000 + (knot + 1) * 10_000, quantiles)
      const column = Float64Array.from(some.weights, (_, path) => some.totals[path * KNOTS + knot] ?? 0)
      weightedQuantiles(column, some.weights, CURVE_LEVELS).forEach((value, level) => {
        expect(quantiles[level]).toBeCloseTo(value, 3)
      })
    }),
  )
})

test('what is left of a curve later on is less, and its quantiles stay ordered', () => {
  fc.assert(
    fc.property(paths, fc.integer({ min: 0, max: 60_000 }), (some, sinceMs) => {
      const curve = toCurve(some, 0)
      const whole = new Float64Array(CURVE_LEVELS.length)
      const rest = new Float64Array(CURVE_LEVELS.length)
      quantilesBetween(curve, 0, 60_000, whole)
      quantilesBetween(curve, sinceMs, 60_000, rest)
      rest.forEach((value, level) => {
        expect(value).toBeLessThanOrEqual((whole.at(-1) ?? 0) + 1e-6)
        expect(value).toBeGreaterThanOrEqual(level === 0 ? -1e-6 : (rest[level - 1] ?? 0))
      })
    }),
  )
})

const ascending = fc.array(fc.nat(1000), { minLength: 7, maxLength: 7 }).map(values => values.toSorted((a, b) => a - b))

test('a score rises with the value and falls as the quantiles rise', () => {
  fc.assert(
    fc.property(ascending, fc.nat(2000), fc.nat(500), (quantiles, value, more) => {
      const score = scoreOf(quantiles, value, 0.1)
      expect(scoreOf(quantiles, value + more, 0.1)).toBeGreaterThanOrEqual(score - 1e-9)
      expect(Math.abs(score)).toBeLessThanOrEqual(4)
    }),
  )
})

test('values and scores are each other turned round', () => {
  const quantiles = [10, 20, 30, 40, 50, 60, 80]
  for (const value of [12, 25, 40, 47, 70]) {
    expect(valueAt(quantiles, scoreOf(quantiles, value, 0.1), 0.1)).toBeCloseTo(value)
  }
  expect(scoreOf(quantiles, 40, 0.1)).toBeCloseTo(0)
  expect(scoreOf([0, 0, 0, 0, 0, 0, 0], 5, 0.1)).toBe(4)
})
