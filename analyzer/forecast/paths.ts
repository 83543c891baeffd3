/**
 * Simulated futures. A path is the running total of demand from now on, at equally spaced knots up to the end of the
 * stretch; its first crossing of what is left of a limit is an instant of exhaustion. One set serves every limit.
 */
import type { History } from './history.ts'

/** Knots of a path: finer than the minute hand of any window, and the bound of the work per path. */
export const KNOTS_MAX = 60
/** So few values are sorted by insertion. */
const INSERTED_MAX = 100

/** What a source is asked: continue `history` from `atMs` for `leftMs`, in windows of `windowMs`. */
export interface PathAsk {
  atMs: number
  leftMs: number
  windowMs: number
  /** Knots to draw; one a step, within bounds, when absent. */
  knots?: number
}

/** Continues a history from an instant; `null` when it is too short by then. */
export type Draw = (ask: PathAsk) => Paths | null

/**
 * One way to continue a history. It is fit to what was known at `ask.atMs`, and then asked for paths from there, or, to
 * be scored, from whole periods before. It answers the same to the same question.
 */
export interface PathSource {
  name: string
  /** Its paths are straight: they say nothing of how the steps differ. */
  isStraight: boolean
  fit(history: History, ask: PathAsk): Draw
}

export interface Paths {
  leftMs: number
  knots: number
  /** Path-major running totals: path `i` is `[i × knots, (i + 1) × knots)`, knot `k` is at `(k + 1) × leftMs / knots`. */
  totals: Float64Array
  /** How much each path counts, beside the others. */
  weights: Float64Array
}

/** How many knots a stretch deserves: one a step, within bounds. */
export const knotsOf = (leftMs: number, stepMs: number): number =>
  Math.max(1, Math.min(KNOTS_MAX, Math.ceil(leftMs / stepMs)))

/** Weighted quantiles of `values` at ascending `levels`, each value standing in the middle of its weight. */
export function weightedQuantiles(values: Float64Array, weights: Float64Array, levels: readonly number[]): number[] {
  return quantilesInOrder(values, weights, orderOf(values), levels)
}

/** Places of the values, ascending. */
export function orderOf(values: Float64Array): Uint32Array {
  const order = new Uint32Array(values.length)
  for (let place = 0; place < order.length; place++) order[place] = place
  if (order.length <= INSERTED_MAX) insertionSort(order, values)
  else order.sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  return order
}

/** Sorts places by their values: at once where they are few or almost sorted. */
export function insertionSort(order: Uint32Array, values: Float64Array): void {
  for (let i = 1; i < order.length; i++) {
    const one = order[i] ?? 0
    const value = values[one] ?? 0
    let at = i - 1
    for (; at >= 0 && (values[order[at] ?? 0] ?? 0) > value; at--) order[at + 1] = order[at] ?? 0
    order[at + 1] = one
  }
}

/** The same of values whose ascending order is known. */
export function quantilesInOrder(
  values: Float64Array,
  weights: Float64Array,
  order: Uint32Array,
  levels: readonly number[],
): number[] {
  let sum = 0
  for (const weight of weights) sum += weight
  const answers: number[] = []
  let at = 0
  let below = 0
  let lastValue = values[order[0] ?? 0] ?? 0
  let lastLevel = 0
  for (let place = 0; place < order.length && at < levels.length; place++) {
    const index = order[place] ?? 0
    const weight = (weights[index] ?? 0) / sum
    const level = below + weight / 2
    const value = values[index] ?? 0
    while (at < levels.length && (levels[at] ?? 0) <= level) {
      const share = level > lastLevel ? ((levels[at] ?? 0) - lastLevel) / (level - lastLevel) : 1
      answers.push(value === lastValue ? value : lastValue + share * (value - lastValue))
      at++
    }
    below += weight
    lastValue = value
    lastLevel = level
  }
  while (answers.length < levels.length) answers.push(lastValue)
  return answers
}
