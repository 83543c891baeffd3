/**
 * What the pooled calibrator sees of a question "is the limit reached within this share of the time left": how the need
 * compares with what each source expects until then, and traits of the series. Nothing that is not comparable between
 * series: every amount is a ratio. Whatever depends on the limit rises or falls with it, never both, so that a model
 * that is monotone in these is monotone in the limit.
 */
import { periodMsOf } from './analogs.ts'
import { CURVE_MEDIAN, quantilesBetween, scoreOf } from './curve.ts'
import { firstUseMs, type History, totalBetween } from './history.ts'
import { SOURCES } from './mix.ts'
import {
  mixedCurve,
  type Outlook,
  pastQuantiles,
  periodQuantiles,
  sourceCurves,
  sourceWeights,
  TRAITS,
  traitValues,
} from './outlook.ts'
import { heldLog, RECENT, recentFeatures } from './recent.ts'

const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** Softens ratios, as a share of what a mean window asks for. */
const FLOOR_SHARE = 0.002
/** Parts of the window over which rates are taken. */
const RATE_PARTS = [24, 8, 3, 1, 0.4, 0.1] as const

/** Parts of a day (of a window, when shorter) whose use, beside that of the same time before, says the present level. */
const LEVEL_PARTS = [12, 4, 1] as const
/** Most earlier days or windows that are taken the mean of. */
const EARLIER_MAX = 7
/** Softens levels, as a share of the mean. */
const LEVEL_FLOOR = 0.05
/** Earlier stretches that are compared with the need one by one, and earlier windows that are with the limit. */
const STRETCHES = 8
const WINDOWS = 4
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1)

/** Name of each feature, and how the probability follows it: 1 rises, -1 falls, 0 either. */
export const FEATURES = [
  ['share', 1],
  ...['mixed', ...SOURCES.map(({ name }) => name)].flatMap(
    name =>
      [
        [`${name} score`, -1],
        [`${name} ratio`, -1],
        [`${name} spread`, 0],
      ] as const,
  ),
  ...RATE_PARTS.map(part => [`rate of 1/${part}`, -1] as const),
  ['rate since begin', -1],
  ['same time yesterday', -1],
  ['same time last week', -1],
  ['mean of earlier', -1],
  ...LEVEL_PARTS.map(part => [`mean of earlier at level of 1/${part}`, -1] as const),
  ['rate of all', -1],
  ...upTo(STRETCHES).map(k => [`stretch ${k} back`, -1] as const),
  ['limit among windows', -1],
  ['limit to window', -1],
  ...upTo(WINDOWS).map(k => [`limit to window ${k} back`, -1] as const),
  ['need among periods', -1],
  ['need by period among periods', -1],
  ['used share', 1],
  ['left share', 0],
  ['left', 0],
  ['window', 0],
  ['known', 0],
  ['known windows', 0],
  ['idle', 0],
  ...RECENT.map(name => [name, 0] as const),
  ...TRAITS.map(trait => [trait, 0] as const),
  ['weight of analogs', 0],
  ['weight of autoregression', 0],
] as const satisfies readonly (readonly [string, -1 | 0 | 1])[]

export interface Question {
  history: History
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  used: number
  limit: number
}

/** Writes the features of the question for a share of the time left; repeated calls differ only in what depends on it. */
export function featuresOf(question: Question, outlook: Outlook): (share: number, out: Float64Array) => void {
  const { history, nowMs, windowStartMs, windowEndMs, used, limit } = question
  const windowMs = windowEndMs - windowStartMs
  const leftMs = windowEndMs - nowMs
  const need = limit - used
  const beginMs = firstUseMs(history)
  const knownMs = Math.max(history.stepMs, nowMs - beginMs)
  const rateOf = (spanMs: number) => {
    const backMs = Math.min(knownMs, Math.max(history.stepMs, spanMs))
    return totalBetween(history, nowMs - backMs, nowMs) / backMs
  }
  const rateOfAll = totalBetween(history, beginMs, nowMs) / knownMs
  const periodMs = periodMsOf(windowMs)
  // Nothing here may depend on the limit but what is compared with it.
  const floor = FLOOR_SHARE * rateOfAll * windowMs + Number.MIN_VALUE
  const rates = [
    ...RATE_PARTS.map(part => rateOf(windowMs / part)),
    rateOf(Math.max(history.stepMs, nowMs - windowStartMs)),
  ]
  const earlier = earlierOf(question, knownMs)
  const quantiles = new Float64Array(7)
  const curves = [mixedCurve(outlook), ...sourceCurves(outlook)]
  const ratio = (value: number) => heldLog((need + floor) / (value + floor))
  const fixed = fixedFeatures(question, outlook, { floor, knownMs, beginMs, rateOfAll })
  return (share, out) => {
    const aheadMs = share * leftMs
    let at = 0
    out[at++] = share
    for (const curve of curves) {
      if (curve) {
        quantilesBetween(curve, nowMs, nowMs + aheadMs, quantiles)
        out[at++] = scoreOf(quantiles, need, floor)
        out[at++] = ratio(quantiles[CURVE_MEDIAN] ?? 0)
        out[at++] = Math.log(((quantiles[5] ?? 0) + floor) / ((quantiles[1] ?? 0) + floor))
      } else {
        out[at++] = Number.NaN
        out[at++] = Number.NaN
        out[at++] = Number.NaN
      }
    }
    for (const rate of rates) out[at++] = ratio(rate * aheadMs)
    out[at++] =
      knownMs >= DAY_MS && windowMs > DAY_MS / 24 ? ratio(repeated(history, nowMs, aheadMs, DAY_MS)) : Number.NaN
    out[at++] = knownMs >= WEEK_MS ? ratio(repeated(history, nowMs, aheadMs, WEEK_MS)) : Number.NaN
    const mean = earlier.meanOf(aheadMs)
    out[at++] = ratio(mean)
    for (const level of earlier.levels) out[at++] = ratio(level * mean)
    out[at++] = ratio(rateOfAll * aheadMs)
    const firstBack = Math.max(1, Math.ceil(aheadMs / periodMs - 1e-9))
    for (let k = 0; k < STRETCHES; k++) {
      const fromMs = nowMs - (firstBack + k) * periodMs
      out[at++] = fromMs < beginMs - 1 ? Number.NaN : ratio(totalBetween(history, fromMs, fromMs + aheadMs))
    }
    for (const value of fixed) out[at++] = value
  }
}

/** The features that are the same for every share of the time left. */
function fixedFeatures(
  question: Question,
  outlook: Outlook,
  { floor, knownMs, beginMs, rateOfAll }: { floor: number; knownMs: number; beginMs: number; rateOfAll: number },
): number[] {
  const { history, nowMs, windowStartMs, windowEndMs, used, limit } = question
  const windowMs = windowEndMs - windowStartMs
  const leftMs = windowEndMs - nowMs
  const past = pastQuantiles(outlook)
  const periods = periodQuantiles(outlook)
  const need = limit - used
  const weights = sourceWeights(outlook)
  return [
    past ? scoreOf(past, limit, floor) : Number.NaN,
    past ? heldLog((limit + floor) / ((past[CURVE_MEDIAN] ?? 0) + floor)) : Number.NaN,
    ...upTo(WINDOWS).map(k => {
      const fromMs = windowStartMs - k * windowMs
      if (fromMs < beginMs - 1) return Number.NaN
      return heldLog((limit + floor) / (totalBetween(history, fromMs, fromMs + windowMs) + floor))
    }),
    periods ? scoreOf(periods, need, floor) : Number.NaN,
    periods ? scoreOf(periods, need / Math.max(1, leftMs / periodMsOf(windowMs)), floor) : Number.NaN,
    used / limit,
    leftMs / windowMs,
    Math.log(leftMs),
    Math.log(windowMs),
    Math.log(knownMs),
    Math.log(knownMs / windowMs),
    idleMs(history, nowMs, windowMs) / windowMs,
    ...recentFeatures({ history, nowMs, windowStartMs, windowEndMs, beginMs, rateOfAll }),
    ...traitValues(outlook),
    weights[0] ?? 0,
    weights[2] ?? 0,
  ]
}

/** What the last periods took at the same time of them, and how the present level compares; unknown without one of them. */
function earlierOf({ history, nowMs, windowStartMs, windowEndMs }: Question, knownMs: number) {
  const periodMs = periodMsOf(windowEndMs - windowStartMs)
  const count = Math.min(EARLIER_MAX, Math.floor(knownMs / periodMs + 1e-9))
  const meanBetween = (fromMs: number, toMs: number) => {
    let sum = 0
    for (let k = 1; k <= count; k++) sum += totalBetween(history, fromMs - k * periodMs, toMs - k * periodMs)
    return sum / count
  }
  const levels = LEVEL_PARTS.map(part => {
    const partMs = Math.max(history.stepMs, periodMs / part)
    const recent = totalBetween(history, nowMs - partMs, nowMs)
    const before = meanBetween(nowMs - partMs, nowMs)
    const floor = LEVEL_FLOOR * (recent + before) + Number.MIN_VALUE
    return (recent + floor) / (before + floor)
  })
  const wholeMean = meanBetween(nowMs, nowMs + periodMs)
  const meanOf = (aheadMs: number) => {
    const laps = Math.floor(aheadMs / periodMs)
    const whole = laps > 0 ? laps * wholeMean : 0
    return whole + meanBetween(nowMs, nowMs + aheadMs - laps * periodMs)
  }
  return { levels, meanOf }
}

/** What a stretch takes if the last `periodMs` are repeated. */
function repeated(history: History, nowMs: number, aheadMs: number, periodMs: number): number {
  const laps = Math.floor(aheadMs / periodMs)
  const fromMs = nowMs - periodMs
  const lap = laps > 0 ? laps * totalBetween(history, fromMs, nowMs) : 0
  return lap + totalBetween(history, fromMs, fromMs + aheadMs - laps * periodMs)
}

/** Time since anything was used, at most a window. */
function idleMs(history: History, nowMs: number, windowMs: number): number {
  const { startMs, stepMs, total } = history
  const index = Math.min(total.length - 1, Math.floor((nowMs - startMs) / stepMs))
  const steps = Math.min(index, Math.ceil(windowMs / stepMs))
  const now = total[index] ?? 0
  let back = 0
  while (back < steps && (total[index - back - 1] ?? 0) === now) back++
  return back * stepMs
}

export const FEATURE_COUNT: number = FEATURES.length
