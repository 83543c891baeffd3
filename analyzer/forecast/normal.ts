/**
 * The normal distribution, as equally likely slices of it: futures are drawn by their quantiles and never by chance, so
 * the same question always has the same answer.
 */

/** Most slices that are kept ready; also the bound of the paths of one source. */
export const SLICES_MAX = 128

const scoresByCount: (Float64Array | undefined)[] = []

/** Middle points of `count` equally likely slices of the standard normal distribution, ascending. */
export function normalScores(count: number): Float64Array {
  const slices = Math.max(1, Math.min(SLICES_MAX, count))
  const known = scoresByCount[slices]
  if (known) return known
  const scores = Float64Array.from({ length: slices }, (_, index) => normalQuantile((index + 0.5) / slices))
  scoresByCount[slices] = scores
  return scores
}

// Coefficients of Acklam's rational approximation (relative error below 1.2e-9), highest power first.
const CENTRE_ABOVE = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716]
const CENTRE_BELOW = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572]
const TAIL_ABOVE = [-7.784894002430293e-3, -0.3223964580411365, -2.400758277161838, -2.549732539343734]
const TAIL_BELOW = [7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416]
const TAIL = 0.02425

const polynomial = (coefficients: readonly number[], x: number): number =>
  coefficients.reduce((value, coefficient) => value * x + coefficient, 0)

/** The standard normal quantile of `level` in (0, 1). */
export function normalQuantile(level: number): number {
  if (level > 0.5) return -normalQuantile(1 - level)
  if (level < TAIL) {
    const q = Math.sqrt(-2 * Math.log(level))
    return polynomial([...TAIL_ABOVE, 4.374664141464968, 2.938163982698783], q) / polynomial([...TAIL_BELOW, 1], q)
  }
  const q = level - 0.5
  return (q * polynomial([...CENTRE_ABOVE, 2.506628277459239], q * q)) / polynomial([...CENTRE_BELOW, 1], q * q)
}
