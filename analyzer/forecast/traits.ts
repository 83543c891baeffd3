/**
 * Traits of a series' past that say how its sources may be trusted: how often it is used, how it swings, how seasonal it
 * is. Shares, logarithms and correlations, so that series of all sizes compare.
 */
import { periodMsOf } from './analogs.ts'
import { firstUseMs, type History, totalBetween } from './history.ts'
import type { OutlookAsk } from './outlook.ts'

const DAY_MS = 86_400_000
/** Most earlier periods that are looked at. */
const PAST_MAX = 60
/** What stands for the share of all periods, in the share of those as idle as this one. */
const WAKES_PRIOR_COUNT = 2
/** Most steps that are looked at for how clumped calls are. */
const CHANCE_STEPS = 240

/** Their names, in their order. */
export const HISTORY_TRAITS = [
  /** Share of the earlier periods (days, or windows when shorter) in which anything was used. */
  'active share',
  /** Standard deviation of the logarithms of their totals, without the idle ones. */
  'spread',
  /** Logarithm of the mean of the last three of them over the mean of all. */
  'trend',
  /** Share of the recent parts of a period in which nothing was used, and the spread of the others. */
  'idle share',
  'part spread',
  /** Share of the earlier periods that went on to use anything, of those as idle as this one at the same time of it. */
  'wakes',
  /** Logarithm of how much chance alone spreads the rest of the window, if its calls come as clumped as the last ones. */
  'chance',
  /** Correlation of parts of consecutive days: how seasonal the series is. */
  'season',
] as const

/** The values of `HISTORY_TRAITS`. */
export function historyTraits(history: History, { atMs, untilMs, windowMs }: OutlookAsk): number[] {
  const periodMs = periodMsOf(windowMs)
  const beginMs = firstUseMs(history)
  const count = Math.min(PAST_MAX, Math.max(0, Math.floor((atMs - beginMs) / periodMs)))
  const totals = Float64Array.from({ length: count }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * periodMs, atMs - k * periodMs),
  )
  const active = totals.filter(total => total > 0)
  const recent = totals.subarray(0, 3)
  const partMs = Math.max(history.stepMs, periodMs / 24)
  const partCount = Math.min(24 * 14, Math.max(0, Math.floor((atMs - beginMs) / partMs)))
  const parts = Float64Array.from({ length: partCount }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * partMs, atMs - k * partMs),
  )
  const activeParts = parts.filter(total => total > 0)
  return [
    count > 0 ? active.length / count : 0,
    logSpread(active),
    recent.length > 0 ? Math.log((meanOf(recent) + 0.01 * meanOf(totals)) / (1.01 * meanOf(totals))) : 0,
    partCount > 0 ? 1 - activeParts.length / partCount : 1,
    logSpread(activeParts),
    wakes(history, { atMs, aheadMs: Math.min(periodMs, untilMs - atMs), periodMs, count }),
    chance(history, atMs, untilMs - atMs),
    correlation(parts, Math.round(Math.min(DAY_MS, periodMs) / partMs)),
  ]
}

/** A period is as idle as the last one when it was used for as long before, to a quarter of a period, or not at all. */
function wakes(
  history: History,
  { atMs, aheadMs, periodMs, count }: { atMs: number; aheadMs: number; periodMs: number; count: number },
): number {
  const idleOf = (untilMs: number) =>
    [1, 2, 3, 4].findIndex(quarters => totalBetween(history, untilMs - (quarters * periodMs) / 4, untilMs) > 0)
  const idle = idleOf(atMs)
  let [alike, alikeWoke, woke] = [0, 0, 0]
  for (let k = 1; k <= count; k++) {
    const fromMs = atMs - k * periodMs
    const isWoken = totalBetween(history, fromMs, fromMs + aheadMs) > 0 ? 1 : 0
    woke += isWoken
    if (idleOf(fromMs) !== idle) continue
    alike++
    alikeWoke += isWoken
  }
  return (alikeWoke + (WAKES_PRIOR_COUNT * (woke + 0.5)) / (count + 1)) / (alike + WAKES_PRIOR_COUNT)
}

/** The variance of a step is half of the mean square of the changes between steps: changes of the level are not in it. */
function chance({ startMs, stepMs, total }: History, atMs: number, aheadMs: number): number {
  const last = Math.min(total.length - 1, Math.floor((atMs - startMs) / stepMs + 1e-9))
  const first = Math.max(0, last - CHANCE_STEPS)
  let squares = 0
  for (let i = first + 2; i <= last; i++) {
    squares += ((total[i] ?? 0) - 2 * (total[i - 1] ?? 0) + (total[i - 2] ?? 0)) ** 2
  }
  const units = (total[last] ?? 0) - (total[first] ?? 0)
  if (units === 0) return Number.NaN
  const unitsAhead = (units * aheadMs) / ((last - first) * stepMs)
  return Math.log(squares / 2 / units / unitsAhead + Number.MIN_VALUE) / 2
}

/** NaN of none. */
export function meanOf(values: ArrayLike<number>): number {
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += values[at] ?? 0
  return sum / values.length
}

function logSpread(values: Float64Array): number {
  if (values.length < 2) return 0
  const logs = values.map(Math.log)
  const middle = meanOf(logs)
  return Math.sqrt(meanOf(logs.map(value => (value - middle) ** 2)))
}

/** Correlation of the values with those `lag` places on; 0 where there are too few. */
function correlation(values: Float64Array, lag: number): number {
  const count = values.length - lag
  if (count < lag || lag < 1) return 0
  const middle = meanOf(values)
  let across = 0
  let all = 0
  for (let i = 0; i < values.length; i++) {
    all += ((values[i] ?? 0) - middle) ** 2
    if (i < count) across += ((values[i] ?? 0) - middle) * ((values[i + lag] ?? 0) - middle)
  }
  return all > 0 ? across / all : 0
}
