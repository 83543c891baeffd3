/** Ridge regression of a series on its own past, solved by normal equations. Row-major square matrices. */

/**
 * Sums of products of a series with itself, for ascending lags: entry (i, j) is the sum over `t` in [from, values.length) of
 * `values[t - lags[i]] × values[t - lags[j]]`. Pairs of lags that are equally far apart share their products, so that
 * this takes a third of the time of the plain double loop.
 */
export function laggedProducts(values: Float64Array, lags: readonly number[], from: number): Float64Array {
  const { length } = values
  const size = lags.length
  const products = new Float64Array(size * size)
  const running = new Float64Array(length + 1)
  // Pairs by how far they are apart, as linked lists: the first of each, and the next of each pair.
  const firsts = new Int32Array(Math.max(...lags) - Math.min(...lags) + 1).fill(-1)
  const nexts = new Int32Array(size * size)
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const apart = (lags[j] ?? 0) - (lags[i] ?? 0)
      nexts[i * size + j] = firsts[apart] ?? -1
      firsts[apart] = i * size + j
    }
  }
  for (let apart = 0; apart < firsts.length; apart++) {
    const first = firsts[apart] ?? -1
    if (first < 0) continue
    let sum = 0
    for (let at = apart; at < length; at++) {
      running[at] = sum
      sum += (values[at] ?? 0) * (values[at - apart] ?? 0)
    }
    running[length] = sum
    for (let pair = first; pair >= 0; pair = nexts[pair] ?? -1) {
      const i = Math.floor(pair / size)
      const j = pair % size
      const lag = lags[i] ?? 0
      const product = (running[length - lag] ?? 0) - (running[from - lag] ?? 0)
      products[i * size + j] = product
      products[j * size + i] = product
    }
  }
  return products
}

/** Solves `matrix × x = right` for a symmetric, positive definite matrix, by Cholesky. Overwrites the matrix. */
export function solveSymmetric(matrix: Float64Array, right: Float64Array): Float64Array {
  const size = right.length
  const at = (row: number, column: number) => matrix[row * size + column] ?? 0
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = at(row, column)
      for (let k = 0; k < column; k++) sum -= at(row, k) * at(column, k)
      matrix[row * size + column] = row === column ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at(column, column)
    }
  }
  const x = Float64Array.from(right)
  for (let row = 0; row < size; row++) {
    let sum = x[row] ?? 0
    for (let k = 0; k < row; k++) sum -= at(row, k) * (x[k] ?? 0)
    x[row] = sum / at(row, row)
  }
  for (let row = size - 1; row >= 0; row--) {
    let sum = x[row] ?? 0
    for (let k = row + 1; k < size; k++) sum -= at(k, row) * (x[k] ?? 0)
    x[row] = sum / at(row, row)
  }
  return x
}

export interface Lagged {
  values: Float64Array
  /** Where a lag of 0 begins, and how many values a lag is long. */
  from: number
  stride: number
  coefficients: Float64Array
  lags: Int32Array
  /** So many of the lags count. */
  count: number
}

/** Adds the weighted values that lie each lag before; four lags at a time, as most of the time of a fit goes into this. */
export function addLagged(out: Float64Array, { values, from, stride, coefficients, lags, count }: Lagged): void {
  const { length } = out
  const at = (index: number) => from - (lags[index] ?? 0) * stride
  let index = 0
  for (; index + 3 < count; index += 4) {
    const [atA, atB, atC, atD] = [at(index), at(index + 1), at(index + 2), at(index + 3)]
    const a = coefficients[index] ?? 0
    const b = coefficients[index + 1] ?? 0
    const c = coefficients[index + 2] ?? 0
    const d = coefficients[index + 3] ?? 0
    for (let k = 0; k < length; k++) {
      out[k] =
        (out[k] ?? 0) +
        a * (values[atA + k] ?? 0) +
        b * (values[atB + k] ?? 0) +
        c * (values[atC + k] ?? 0) +
        d * (values[atD + k] ?? 0)
    }
  }
  for (; index < count; index++) {
    const coefficient = coefficients[index] ?? 0
    const begin = at(index)
    for (let k = 0; k < length; k++) out[k] = (out[k] ?? 0) + coefficient * (values[begin + k] ?? 0)
  }
}
