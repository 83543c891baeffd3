/**
 * What the last periods (days, or windows when shorter) took, piece by piece, beside the mean of all: the course from which
 * a forecast goes on. Logarithms of ratios; unknown (NaN) before the first use.
 */
import { periodMsOf } from './analogs.ts'
import { type History, totalBefore, totalBetween } from './history.ts'

/** Pieces that follow each other back from now: how many of a kind, how many of them a period has, and the floor of their ratios. */
const PIECES = [
  { name: 'period', count: 14, perPeriod: 1, floor: 0.02 },
  { name: 'eighth', count: 8, perPeriod: 8, floor: 0.02 },
  { name: 'hour', count: 24, perPeriod: 24, floor: 0.05 },
] as const
/** The same in steps of the history. */
const STEPS = { count: 12, floor: 0.05 }
/** Parts of the period to come, as the mean of so many earlier ones had them. */
const COMING = { count: 6, periodsMax: 14, floor: 0.05 }
/** Earlier periods whose use at the same time of a window is compared with this one's. */
const USED_PERIODS_MAX = 14
const USED_FLOOR = 0.02
/** A ratio is held within this, in logs. */
const RATIO_MAX = 4

const numbered = (name: string, count: number) => Array.from({ length: count }, (_, at) => `${name} ${at + 1}`)

/** Their names, in their order. */
export const RECENT: readonly string[] = [
  ...PIECES.flatMap(({ name, count }) => numbered(`${name} back`, count)),
  ...numbered('step back', STEPS.count),
  ...numbered('coming sixth', COMING.count),
  'used to earlier used',
]

export interface RecentAsk {
  history: History
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  /** The first use, and the mean rate since then, in units a millisecond. */
  beginMs: number
  rateOfAll: number
}

/** The values of `RECENT`. */
export function recentFeatures(ask: RecentAsk): number[] {
  const { history, beginMs, windowStartMs, windowEndMs, rateOfAll } = ask
  const periodMs = periodMsOf(windowEndMs - windowStartMs)
  const values: number[] = []
  const pieces = (count: number, lengthMs: number, floor: number) => {
    const mean = rateOfAll * lengthMs
    let after = totalBefore(history, ask.nowMs)
    for (let k = 1; k <= count; k++) {
      const fromMs = ask.nowMs - k * lengthMs
      const before = totalBefore(history, fromMs)
      values.push(fromMs < beginMs - 1 ? Number.NaN : logRatio(after - before, mean, floor * mean))
      after = before
    }
  }
  for (const { count, perPeriod, floor } of PIECES) pieces(count, periodMs / perPeriod, floor)
  pieces(STEPS.count, history.stepMs, STEPS.floor)
  values.push(...coming(ask, periodMs), usedToEarlier(ask, periodMs))
  return values
}

function coming({ history, nowMs, beginMs, rateOfAll }: RecentAsk, periodMs: number): number[] {
  const periods = Math.min(COMING.periodsMax, Math.floor((nowMs - beginMs) / periodMs + 1e-9))
  const partMs = periodMs / COMING.count
  const mean = rateOfAll * partMs
  const sums = new Array<number>(COMING.count).fill(0)
  for (let k = 1; k <= periods; k++) {
    const fromMs = nowMs - k * periodMs
    let before = totalBefore(history, fromMs)
    for (let part = 0; part < COMING.count; part++) {
      const after = totalBefore(history, fromMs + (part + 1) * partMs)
      sums[part] = (sums[part] ?? 0) + (after - before)
      before = after
    }
  }
  return sums.map(sum => (periods < 1 ? Number.NaN : logRatio(sum / periods, mean, COMING.floor * mean)))
}

/** What the window has used, over the mean of as long a stretch that ended whole periods ago. */
function usedToEarlier({ history, nowMs, windowStartMs, beginMs, rateOfAll }: RecentAsk, periodMs: number): number {
  const elapsedMs = nowMs - windowStartMs
  let sum = 0
  let periods = 0
  for (let k = 1; k <= USED_PERIODS_MAX && windowStartMs - k * periodMs >= beginMs - 1; k++) {
    sum += totalBetween(history, windowStartMs - k * periodMs, nowMs - k * periodMs)
    periods++
  }
  if (periods === 0 || elapsedMs <= 0) return Number.NaN
  return logRatio(totalBetween(history, windowStartMs, nowMs), sum / periods, USED_FLOOR * rateOfAll * periodMs)
}

const logRatio = (value: number, other: number, floor: number): number =>
  held(Math.log((value + floor) / (other + floor + Number.MIN_VALUE)))

/** The logarithm of a ratio, within bounds. */
export const held = (log: number): number => Math.max(-RATIO_MAX, Math.min(RATIO_MAX, log))
