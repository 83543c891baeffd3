/**
 * What a subject asked for, step by step, as a running total: totals of any stretch are two look-ups, whatever the
 * stretch's bounds, and an earlier "now" is just an earlier instant of the same array.
 */

/** The running total at the ends of equal steps; `endMs` may cut the last step short. */
export interface History {
  startMs: number
  stepMs: number
  /** How far it reaches: nothing is known at or after it. */
  endMs: number
  /** Entry `i` is the total of `[startMs, startMs + i × stepMs)`; the last one is the total up to `endMs`. */
  total: Float64Array
}

/** Builds the history from values per step, oldest first; the last value covers what there is of its step before `endMs`. */
export function toHistory(values: ArrayLike<number>, startMs: number, stepMs: number, endMs: number): History {
  const total = new Float64Array(values.length + 1)
  for (let i = 0; i < values.length; i++) total[i + 1] = (total[i] ?? 0) + (values[i] ?? 0)
  return { startMs, stepMs, endMs, total }
}

/** Everything before `atMs`, even inside of a step; clamped to what is known. */
export function totalBefore(history: History, atMs: number): number {
  const { startMs, stepMs, endMs, total } = history
  const last = total.length - 1
  if (atMs <= startMs || last < 1) return 0
  if (atMs >= endMs) return total[last] ?? 0
  const index = Math.min(last - 1, Math.floor((atMs - startMs) / stepMs))
  const fromMs = startMs + index * stepMs
  const toMs = index === last - 1 ? endMs : fromMs + stepMs
  const below = total[index] ?? 0
  const above = total[index + 1] ?? below
  return below + ((above - below) * (atMs - fromMs)) / (toMs - fromMs)
}

/** Units in `[fromMs, toMs)`. */
export const totalBetween = (history: History, fromMs: number, toMs: number): number =>
  totalBefore(history, toMs) - totalBefore(history, fromMs)

/** Start of the first step that holds anything, or `endMs` when nothing does. */
export function firstUseMs(history: History): number {
  const { startMs, stepMs, endMs, total } = history
  let low = 1
  let high = total.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((total[middle] ?? 0) > 0) high = middle
    else low = middle + 1
  }
  return low < total.length ? startMs + (low - 1) * stepMs : endMs
}

/** The first instant at which `units` had been asked for since `fromMs`, even inside of a step; `endMs` when never. */
export function reachedMs(history: History, fromMs: number, units: number): number {
  const { startMs, stepMs, endMs, total } = history
  const aim = totalBefore(history, fromMs) + units
  let low = 0
  let high = total.length - 1
  if ((total[high] ?? 0) < aim) return endMs
  while (low < high) {
    const middle = (low + high) >> 1
    if ((total[middle] ?? 0) >= aim) high = middle
    else low = middle + 1
  }
  if (low === 0) return Math.max(fromMs, startMs)
  const below = total[low - 1] ?? 0
  const share = (aim - below) / Math.max((total[low] ?? 0) - below, Number.MIN_VALUE)
  const atMs = startMs + (low - 1) * stepMs
  return Math.max(fromMs, atMs + share * Math.min(stepMs, endMs - atMs))
}
