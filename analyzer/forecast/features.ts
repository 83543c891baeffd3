/**
 * What the pooled calibrator sees of a question "is the limit reached within this share of the time left": how the need
 * compares with what each source expects until then, how these compare with the mixed paths, and traits of the series.
 * Nothing that is not comparable between series: every amount is a ratio. Whatever depends on the limit rises or falls
 * with it, never both, so that a model that is monotone in these is monotone in the limit; of what does not depend on it
 * a model may make what it will.
 */
import { periodMsOf } from './analogs.ts'
import { CURVE_LEVELS, CURVE_MEDIAN, quantilesBetween, scoreOf } from './curve.ts'
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
import { held, RECENT, recentFeatures } from './recent.ts'

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
/** An amount is compared with the need, and with what the mixed paths expect. */
const compared = (name: string) => [[name, -1] as const, [`${name}, expected`, 0] as const]

/** Name of each feature, and how the probability follows it: 1 rises, -1 falls, 0 either. */
export const FEATURES = [
  ['share', 1],
  ['mixed score', -1],
  ['mixed ratio', -1],
  ['mixed spread', 0],
  ...SOURCES.flatMap(
    ({ name }) => [[`${name} score`, -1], ...compared(`${name} ratio`), [`${name} spread`, 0]] as const,
  ),
  ...[
    ...RATE_PARTS.map(part => `rate of 1/${part}`),
    'rate since begin',
    'same time yesterday',
    'same time last week',
    'mean of earlier',
    ...LEVEL_PARTS.map(part => `mean of earlier at level of 1/${part}`),
    'rate of all',
    ...upTo(STRETCHES).map(k => `stretch ${k} back`),
  ].flatMap(compared),
  ['limit among windows', -1],
  ...['limit to window', ...upTo(WINDOWS).map(k => `limit to window ${k} back`)].flatMap(compared),
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
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  const mixed = mixedCurve(outlook)
  const sources = sourceCurves(outlook)
  const needLog = Math.log(need + floor)
  const fixed = fixedFeatures(question, outlook, { floor, knownMs, beginMs, rateOfAll })
  return (share, out) => {
    const aheadMs = share * leftMs
    let mixedLog = Number.NaN
    let at = 0
    out[at++] = share
    const compare = (value: number) => {
      const log = Math.log(value + floor)
      out[at++] = held(needLog - log)
      out[at++] = held(mixedLog - log)
    }
    const spread = () => Math.log(((quantiles[5] ?? 0) + floor) / ((quantiles[1] ?? 0) + floor))
    if (mixed) {
      quantilesBetween(mixed, nowMs, nowMs + aheadMs, quantiles)
      mixedLog = Math.log((quantiles[CURVE_MEDIAN] ?? 0) + floor)
      out[at++] = scoreOf(quantiles, need, floor)
      out[at++] = held(needLog - mixedLog)
      out[at++] = spread()
    } else for (let none = 0; none < 3; none++) out[at++] = Number.NaN
    for (const curve of sources) {
      if (curve) {
        quantilesBetween(curve, nowMs, nowMs + aheadMs, quantiles)
        out[at++] = scoreOf(quantiles, need, floor)
        compare(quantiles[CURVE_MEDIAN] ?? 0)
        out[at++] = spread()
      } else for (let none = 0; none < 4; none++) out[at++] = Number.NaN
    }
    for (const rate of rates) compare(rate * aheadMs)
    compare(knownMs >= DAY_MS && windowMs > DAY_MS / 24 ? repeated(history, nowMs, aheadMs, DAY_MS) : Number.NaN)
    compare(knownMs >= WEEK_MS ? repeated(history, nowMs, aheadMs, WEEK_MS) : Number.NaN)
    const mean = earlier.meanOf(aheadMs)
    compare(mean)
    for (const level of earlier.levels) compare(level * mean)
    compare(rateOfAll * aheadMs)
    const firstBack = Math.max(1, Math.ceil(aheadMs / periodMs - 1e-9))
    for (let k = 0; k < STRETCHES; k++) {
      const fromMs = nowMs - (firstBack + k) * periodMs
      compare(fromMs < beginMs - 1 ? Number.NaN : totalBetween(history, fromMs, fromMs + aheadMs))
    }
    out.set(fixed, at)
  }
}

/** The median of the mixed paths; NaN where there are none. */
function expectedBetween(outlook: Outlook, fromMs: number, toMs: number): number {
  const mixed = mixedCurve(outlook)
  if (!mixed) return Number.NaN
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  quantilesBetween(mixed, fromMs, toMs, quantiles)
  return quantiles[CURVE_MEDIAN] ?? 0
}

/** The features that are the same for every share of the time left. */
function fixedFeatures(
  question: Question,
  outlook: Outlook,
  { floor, knownMs, beginMs, rateOfAll }: { floor: number; knownMs: number; beginMs: number; rateOfAll: number },
): Float64Array {
  const { history, nowMs, windowStartMs, windowEndMs, used, limit } = question
  const windowMs = windowEndMs - windowStartMs
  const leftMs = windowEndMs - nowMs
  const past = pastQuantiles(outlook)
  const periods = periodQuantiles(outlook)
  const need = limit - used
  const weights = sourceWeights(outlook)
  const expected = used + expectedBetween(outlook, nowMs, windowEndMs)
  const limitLog = Math.log(limit + floor)
  const expectedLog = Math.log(expected + floor)
  const values: number[] = [past ? scoreOf(past, limit, floor) : Number.NaN]
  const compare = (total: number) => {
    const log = Math.log(total + floor)
    values.push(held(limitLog - log), held(expectedLog - log))
  }
  compare(past?.[CURVE_MEDIAN] ?? Number.NaN)
  for (let k = 1; k <= WINDOWS; k++) {
    const fromMs = windowStartMs - k * windowMs
    compare(fromMs < beginMs - 1 ? Number.NaN : totalBetween(history, fromMs, fromMs + windowMs))
  }
  values.push(
    periods ? scoreOf(periods, need, floor) : Number.NaN,
    periods ? scoreOf(periods, need / Math.max(1, leftMs / periodMsOf(windowMs)), floor) : Number.NaN,
    used / limit,
    leftMs / windowMs,
    Math.log(leftMs),
    Math.log(windowMs),
    Math.log(knownMs),
    Math.log(knownMs / windowMs),
    idleMs(history, nowMs, windowMs) / windowMs,
  )
  const fixed = new Float64Array(values.length + RECENT.length + TRAITS.length + 2)
  fixed.set(values)
  fixed.set(recentFeatures({ history, nowMs, windowStartMs, windowEndMs, beginMs, rateOfAll }), values.length)
  fixed.set(traitValues(outlook), values.length + RECENT.length)
  fixed.set([weights[0] ?? 0, weights[2] ?? 0], values.length + RECENT.length + TRAITS.length)
  return fixed
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
/** So many of them, the first, depend on the share of the time left. */
export const OF_SHARE: number = FEATURES.findIndex(([name]) => name === 'limit among windows')
