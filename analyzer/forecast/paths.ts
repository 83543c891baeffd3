/**
 * Simulated futures. A path is the running total of demand from now on, at equally spaced knots up to the end of the
 * stretch; its first crossing of what is left of a limit is an instant of exhaustion. One set serves every limit.
 */

import type { History } from './history.ts'

/** Knots of a path: finer than the minute hand of any window, and the bound of the work per path. */
export const KNOTS_MAX = 60

/** What a source is asked: continue `history` from `atMs` for `leftMs`, in windows of `windowMs`. */
export interface PathAsk {
  atMs: number
  leftMs: number
  windowMs: number
  /** Knots to draw; one a step, within bounds, when absent. */
  knots?: number
}

/** One way to continue a history. It sees nothing at or after `atMs`, and answers the same to the same question. */
export interface PathSource {
  name: string
  /** What it counts, beside the other sources, in a series of which nothing is known. */
  priorWeight: number
  /** `null` when the history is too short for it. */
  paths(history: History, ask: PathAsk): Paths | null
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

/**
 * When path `index` has asked for `need` units, in milliseconds from now; `Infinity` when not within the stretch.
 * Demand is taken as even between two knots.
 */
export function crossingMs(paths: Paths, index: number, need: number): number {
  if (need <= 0) return 0
  const { knots, totals, leftMs } = paths
  const from = index * knots
  if ((totals[from + knots - 1] ?? 0) < need) return Number.POSITIVE_INFINITY
  let low = 0
  let high = knots - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((totals[from + middle] ?? 0) >= need) high = middle
    else low = middle + 1
  }
  const before = low > 0 ? (totals[from + low - 1] ?? 0) : 0
  const at = totals[from + low] ?? 0
  return ((low + (need - before) / (at - before)) * leftMs) / knots
}

/**
 * The paths of what is used in a window that slides: by each knot, the most that demand has come to be ahead of what has
 * expired since. Rising, as what was reached once was reached.
 */
export function aheadOf(paths: Paths, expiredAfter: (sinceMs: number) => number): Paths {
  const { knots, leftMs, totals } = paths
  const expired = Float64Array.from({ length: knots }, (_, knot) => expiredAfter(((knot + 1) * leftMs) / knots))
  const ahead = totals.slice()
  for (let from = 0; from < ahead.length; from += knots) {
    let most = 0
    for (let knot = 0; knot < knots; knot++) {
      most = Math.max(most, (totals[from + knot] ?? 0) - (expired[knot] ?? 0))
      ahead[from + knot] = most
    }
  }
  return { ...paths, totals: ahead }
}

/** What path `index` asks for in the whole stretch. */
export const totalOf = (paths: Paths, index: number): number => paths.totals[(index + 1) * paths.knots - 1] ?? 0

/** Weighted quantiles of `values` at ascending `levels`, each value standing in the middle of its weight. */
export function weightedQuantiles(values: Float64Array, weights: Float64Array, levels: readonly number[]): number[] {
  const order = Uint32Array.from(values, (_, index) => index).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const answers: number[] = []
  let at = 0
  let below = 0
  let lastValue = values[order[0] ?? 0] ?? 0
  let lastLevel = 0
  for (const index of order) {
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
