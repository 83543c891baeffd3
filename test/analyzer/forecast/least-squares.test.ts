import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addLagged, laggedProducts, solveSymmetric } from '../../../analyzer/forecast/least-squares.ts'

const number = fc.double({ min: -10, max: 10, noNaN: true })

test('products of a series with its past are those of the plain double loop', () => {
  fc.assert(
    fc.property(fc.array(number, { minLength: 12, maxLength: 60 }), values => {
      const series = Float64Array.from(values)
      const lags = [0, 1, 2, 5, 7]
      const products = laggedProducts(series, lags, 7)
      lags.forEach((one, i) => {
        lags.forEach((other, j) => {
          let sum = 0
          for (let t = 7; t < series.length; t++) sum += (series[t - one] ?? 0) * (series[t - other] ?? 0)
          expect(products[i * lags.length + j]).toBeCloseTo(sum, 6)
        })
      })
    }),
  )
})

test('a solution solves', () => {
  fc.assert(
    fc.property(
      fc.array(number, { minLength: 9, maxLength: 9 }),
      fc.array(number, { minLength: 3, maxLength: 3 }),
      (root, right) => {
        // A matrix times its transpose, and something on the diagonal: positive definite.
        const matrix = new Float64Array(9)
        for (let i = 0; i < 3; i++) {
          for (let j = 0; j < 3; j++) {
            for (let k = 0; k < 3; k++)
              matrix[i * 3 + j] = (matrix[i * 3 + j] ?? 0) + (root[i * 3 + k] ?? 0) * (root[j * 3 + k] ?? 0)
          }
          matrix[i * 3 + i] = (matrix[i * 3 + i] ?? 0) + 1
        }
        const x = solveSymmetric(Float64Array.from(matrix), Float64Array.from(right))
        for (let i = 0; i < 3; i++) {
          const product = [0, 1, 2].reduce((sum, j) => sum + (matrix[i * 3 + j] ?? 0) * (x[j] ?? 0), 0)
          expect(product).toBeCloseTo(right[i] ?? 0, 6)
        }
      },
    ),
  )
})

test('weighted lags are added as a plain double loop adds them, whatever their number', () => {
  const number = fc.integer({ min: -100, max: 100 })
  fc.assert(
    fc.property(
      fc.array(number, { minLength: 40, maxLength: 60 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 10 }),
      fc.array(number, { minLength: 10, maxLength: 10 }),
      fc.integer({ min: 1, max: 3 }),
      (values, lags, coefficients, stride) => {
        const out = new Float64Array(5).fill(1)
        addLagged(out, {
          values: Float64Array.from(values),
          from: 30,
          stride,
          coefficients: Float64Array.from(coefficients),
          lags: Int32Array.from(lags),
          count: lags.length,
        })
        out.forEach((sum, k) => {
          const plain = lags.reduce(
            (total, lag, at) => total + (coefficients[at] ?? 0) * (values[30 + k - lag * stride] ?? 0),
            1,
          )
          expect(sum).toBe(plain)
        })
      },
    ),
  )
})
