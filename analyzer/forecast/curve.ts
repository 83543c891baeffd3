/**
 * What a set of paths says, in little space: quantiles of the running total at equally spaced knots. A running total only
 * rises, so the chance that a need is reached by an instant is the chance that the total at that instant is not below it:
 * the curve answers every limit, and every reset within its reach, as the paths themselves would.
 */
import { normalQuantile } from './normal.ts'
import { insertionSort, orderOf, type Paths, quantilesInOrder } from './paths.ts'

/** Levels of the quantiles that are kept. */
export const CURVE_LEVELS = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975] as const
/** Their normal scores. */
const CURVE_SCORES = Float64Array.from(CURVE_LEVELS, normalQuantile)
/** Index of the median. */
export const CURVE_MEDIAN = 3
/** Scores are held within this: five in a hundred thousand. */
const SCORE_MAX = 4
/** Logits per normal score at which the logistic curve is nearest to the normal one (within 0.01). */
const LOGITS_PER_SCORE = 1.702
/** Beyond the outer quantiles, and where they are equal, a standard deviation is taken to be at least this, in logs. */
const DEVIATION_MIN = 0.02

export interface Curve {
  fromMs: number
  /** Time between knots; knot `k` is at `fromMs + (k + 1) × knotMs`. */
  knotMs: number
  /** Knot-major: quantile `l` of the running total at knot `k` is at `k × CURVE_LEVELS.length + l`. */
  totals: Float64Array | Float16Array
  /** What a total of 1 stands for. */
  unit: number
}

/** Makes the curve of paths that begin at `fromMs`, of every so-many-th of their knots, which divides their number. */
export function toCurve({ leftMs, knots, totals, weights }: Paths, fromMs: number, every = 1): Curve {
  const levels = CURVE_LEVELS.length
  const kept = new Float64Array((knots / every) * levels)
  const column = new Float64Array(weights.length)
  let order: Uint32Array | null = null
  for (let knot = 0; knot < knots / every; knot++) {
    const last = (knot + 1) * every - 1
    for (let path = 0; path < column.length; path++) column[path] = totals[path * knots + last] ?? 0
    // From one knot to the next few paths change places: what is almost sorted is sorted by insertion at once.
    if (order) insertionSort(order, column)
    else order = orderOf(column)
    kept.set(quantilesInOrder(column, weights, order, CURVE_LEVELS), knot * levels)
  }
  return { fromMs, knotMs: (leftMs / knots) * every, totals: kept, unit: 1 }
}

/** Writes the quantiles of what is asked for in `[fromMs, toMs)`, both within the curve's reach. */
export function quantilesBetween(curve: Curve, fromMs: number, toMs: number, out: Float64Array): void {
  addTotalsAt(curve, toMs, 1, out.fill(0))
  if (fromMs > curve.fromMs) addTotalsAt(curve, fromMs, -1, out)
  // Differences of quantiles may cross where a path has its share of the whole early.
  for (let level = 1; level < out.length; level++) out[level] = Math.max(out[level] ?? 0, out[level - 1] ?? 0)
}

function addTotalsAt({ fromMs, knotMs, totals, unit }: Curve, atMs: number, sign: number, out: Float64Array): void {
  const levels = CURVE_LEVELS.length
  const knots = totals.length / levels
  const at = Math.max(0, (atMs - fromMs) / knotMs)
  const knot = Math.min(knots - 1, Math.floor(at))
  const share = Math.min(1, at - knot)
  for (let level = 0; level < levels; level++) {
    const before = knot > 0 ? (totals[(knot - 1) * levels + level] ?? 0) : 0
    const after = totals[knot * levels + level] ?? 0
    out[level] = (out[level] ?? 0) + sign * unit * (before + share * (after - before))
  }
}

/**
 * How many standard deviations above the median a value lies among quantiles at `CURVE_LEVELS`: linear in the logarithm
 * between them, and beyond them. Rises with the value, and falls as quantiles rise.
 */
export function scoreOf(quantiles: ArrayLike<number>, value: number, floor: number): number {
  const last = CURVE_SCORES.length - 1
  const x = Math.log(value + floor)
  let above = 0
  while (above <= last && (quantiles[above] ?? 0) < value) above++
  const lower = Math.max(0, Math.min(last - 1, above - 1))
  const lowerX = Math.log((quantiles[lower] ?? 0) + floor)
  const upperX = Math.log((quantiles[lower + 1] ?? 0) + floor)
  const lowerScore = CURVE_SCORES[lower] ?? 0
  const scores = (CURVE_SCORES[lower + 1] ?? 0) - lowerScore
  const perScore = Math.max(DEVIATION_MIN, (upperX - lowerX) / scores)
  const score = above > last ? lowerScore + scores + (x - upperX) / perScore : lowerScore + (x - lowerX) / perScore
  return Math.max(-SCORE_MAX, Math.min(SCORE_MAX, score))
}

/** The chance of a value or more, among quantiles at `CURVE_LEVELS`. */
export const chanceAbove = (quantiles: ArrayLike<number>, value: number, floor: number): number =>
  1 / (1 + Math.exp(LOGITS_PER_SCORE * scoreOf(quantiles, value, floor)))

/** The value that stands so many standard deviations above the median among quantiles at `CURVE_LEVELS`. */
export function valueAt(quantiles: ArrayLike<number>, score: number, floor: number): number {
  const last = CURVE_SCORES.length - 1
  let above = 0
  while (above <= last && (CURVE_SCORES[above] ?? 0) < score) above++
  const lower = Math.max(0, Math.min(last - 1, above - 1))
  const lowerX = Math.log((quantiles[lower] ?? 0) + floor)
  const upperX = Math.log((quantiles[lower + 1] ?? 0) + floor)
  const lowerScore = CURVE_SCORES[lower] ?? 0
  const perScore = (upperX - lowerX) / ((CURVE_SCORES[lower + 1] ?? 0) - lowerScore)
  return Math.max(0, Math.exp(lowerX + (score - lowerScore) * perScore) - floor)
}
