/**
 * What calls of one kind cost, in one unit: a histogram whose steps grow with the amount, so that every amount is known
 * to within a tenth, in which older calls weigh less and less. Pure.
 */

/** Steps in which an amount doubles. */
const STEPS_PER_DOUBLING = 8
/** Calls after which what was learned before weighs a third. */
export const MEMORY_CALLS = 1_000
/** What is learned in bulk weighs at most as much as so many calls, so that the stream can change it. */
const BULK_CALLS_MAX = 2 * MEMORY_CALLS
/** Weights grow with each call; before they are too large to be exact, all are made small again. */
const WEIGHT_MAX = 1e12

export interface CostSketch {
  /** Weight of each step, from `first` on. Step 0 are calls that cost nothing. No typed array: most hold a few steps. */
  counts: number[]
  first: number
  total: number
  /** Of the next call. */
  weight: number
}

export const createSketch = (): CostSketch => ({ counts: [], first: 0, total: 0, weight: 1 })

/** One call of the stream. */
export function learnCost(sketch: CostSketch, amount: number): void {
  sketch.weight *= 1 + 1 / MEMORY_CALLS
  add(sketch, amount, sketch.weight)
  const excess = sketch.total / (BULK_CALLS_MAX * sketch.weight)
  if (excess > 1) scale(sketch, 1 / excess)
  if (sketch.weight < WEIGHT_MAX) return
  scale(sketch, 1 / sketch.weight)
  sketch.weight = 1
}

/** So many calls at once, none of which is newer than another. */
export function learnCosts(sketch: CostSketch, amount: number, calls: number): void {
  add(sketch, amount, calls * sketch.weight)
}

/** Calls that the sketch stands on; older ones count in part. */
export const callsOf = ({ total, weight }: CostSketch): number => total / weight

/** The amount, a whole number, that the share `quantile` of calls does not exceed. */
export function quantileOf({ counts, first, total }: CostSketch, quantile: number): number {
  let rest = quantile * total
  for (let index = 0; index < counts.length; index += 1) {
    const count = counts[index] ?? 0
    if (count > 0 && rest <= count) return Math.ceil(amountAt(first + index, rest / count))
    rest -= count
  }
  return Math.ceil(amountAt(first + counts.length - 1, 1))
}

/** The share of calls that cost at most `amount`. */
export function shareUpTo({ counts, first, total }: CostSketch, amount: number): number {
  if (total === 0 || amount < 0) return 0
  const step = stepOf(amount)
  let sum = 0
  for (let index = 0; index < Math.min(counts.length, step - first); index += 1) sum += counts[index] ?? 0
  const low = amountAt(step, 0)
  const high = amountAt(step, 1)
  const part = high > low ? Math.min(1, (amount - low) / (high - low)) : 1
  return Math.min(1, (sum + (counts[step - first] ?? 0) * part) / total)
}

const stepOf = (amount: number) => (amount < 1 ? 0 : 1 + Math.floor(Math.log2(amount) * STEPS_PER_DOUBLING))

/** The amount at a share of the step's width; amounts are spread evenly over a step. */
function amountAt(step: number, share: number): number {
  if (step <= 0) return 0
  const low = 2 ** ((step - 1) / STEPS_PER_DOUBLING)
  return low + (2 ** (step / STEPS_PER_DOUBLING) - low) * share
}

function add(sketch: CostSketch, amount: number, weight: number): void {
  const step = stepOf(amount)
  const { counts } = sketch
  if (counts.length === 0) sketch.first = step
  if (step < sketch.first) {
    sketch.counts = new Array(sketch.first - step).fill(0).concat(counts)
    sketch.first = step
  }
  const at = step - sketch.first
  while (sketch.counts.length <= at) sketch.counts.push(0)
  sketch.counts[at] = (sketch.counts[at] ?? 0) + weight
  sketch.total += weight
}

function scale(sketch: CostSketch, factor: number): void {
  for (let index = 0; index < sketch.counts.length; index += 1) {
    sketch.counts[index] = (sketch.counts[index] ?? 0) * factor
  }
  sketch.total *= factor
}
