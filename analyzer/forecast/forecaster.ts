/**
 * "Will this quota run out before its reset, when, and how sure are we?" for one subject and one window. What is learnt
 * of the series (the outlook: paths of demand by several sources, mixed by how each did) is made now and then; a forecast
 * asks it how the need compares with what is to come, and corrects the answer by the calibrator. Pure: the same history,
 * the same instant, the same answer.
 */
import { periodMsOf, periodsKnown } from './analogs.ts'
import { type Crossing, calibrated, type Prior, shareAt } from './calibrate.ts'
import { CURVE_LEVELS, quantilesBetween, scoreOf, valueAt } from './curve.ts'
import type { Question } from './features.ts'
import { firstUseMs, reachedMs, totalBetween } from './history.ts'
import { crossingOfSteps, type LimitStep } from './limit-steps.ts'
import { normalQuantile } from './normal.ts'
import { mixedCurve, type Outlook, toOutlook } from './outlook.ts'
import { type Peers, peersProbability, peersWeight } from './peers.ts'
import type { Forest } from './trees.ts'
import { type Others, PERIODS_NORMAL, STEPS_MIN, unknowable, whyOf } from './why.ts'

/** The burn rate is that of the last so-manieth part of the window. */
const BURN_RATE_PARTS = 12

export const CONFIDENCES = ['none', 'low', 'normal'] as const
type Confidence = (typeof CONFIDENCES)[number]

/** `history` is demand up to now: what was used and what was refused. `used` and `limit` are units of the window. */
export interface ForecastAsk extends Question {
  /** Others like this subject, for as long as little is known of it; `null` where there are too few. */
  peers?: Peers | null
  /** Limits that hold instead of `limit` from later instants of the window on, ascending. */
  changes?: readonly LimitStep[]
}

/** Ordered: p10 ≤ p50 ≤ p90. */
export interface Quantiles {
  p10: number
  p50: number
  p90: number
}

/** Quantiles of an instant, Unix milliseconds; `null` is "not before the reset", later than any instant. */
export interface InstantQuantiles {
  p10: number | null
  p50: number | null
  p90: number | null
}

export interface Forecast {
  /** That `used` reaches the limit before the window ends; `null` when that cannot be said. */
  probability: number | null
  exhaustionAtMs: InstantQuantiles
  /** Units used and asked for when the window ends; may be above the limit. `null` when that cannot be said. */
  usageAtReset: Quantiles | null
  /** The limit at the reset less `usageAtReset`: its p10 is the pessimist's. */
  headroom: Quantiles | null
  /** Recent demand over the rate that would use exactly the limit in a window; `null` for a limit of 0. */
  burnRate: number | null
  confidence: Confidence
  /** In words, what the forecast rests on. */
  why: string
  /** The chance of having run out by shares of the time from now to the window's end; null where nothing is forecast. */
  crossing: Crossing | null
}

/** Softens logarithms, as a share of the need. */
const FLOOR_SHARE = 1e-3
export const LEVELS = [0.1, 0.5, 0.9] as const
/** Within so many standard deviations of the limit, the distribution of use follows the probability. */
const MOVED_SCORE_MAX = 2
export const NEVER: InstantQuantiles = { p10: null, p50: null, p90: null }
/** The limit is reached from the first instant on. */
export const REACHED: Crossing = { shares: [0, 1], probabilities: [1, 1] }

/** Learns from the past of this series what is to come until the window's end: slower than a forecast, good for a while. */
export function fitForecast({ history, nowMs, windowStartMs, windowEndMs }: ForecastAsk): Outlook {
  return toOutlook(history, { atMs: nowMs, untilMs: windowEndMs, windowMs: windowEndMs - windowStartMs })
}

/** Forecasts the rest of the window from an outlook that reaches to its end; without one where nothing can be said. */
export function forecast(ask: ForecastAsk, outlook: Outlook | null, forest: Forest): Forecast {
  const { history, nowMs, windowStartMs, used, limit } = ask
  const burnRate = burnRateOf(ask)
  const others = othersOf(ask, outlook === null || mixedCurve(outlook) === null)
  const unknown = unknowable(ask, others !== null)
  if (used >= limit) {
    const reachedAtMs = Math.round(limit === 0 ? windowStartMs : reachedMs(history, windowStartMs, limit))
    const atMs = Math.min(nowMs, reachedAtMs)
    const exhaustionAtMs = { p10: atMs, p50: atMs, p90: atMs }
    const why = limit === 0 ? 'The limit is 0.' : 'The limit is reached.'
    const ahead = unknown === null && outlook ? demandAhead(ask, outlook, { others, probability: null }) : null
    return {
      probability: 1,
      exhaustionAtMs,
      ...atReset(ask, ahead),
      burnRate,
      confidence: 'normal',
      why,
      crossing: REACHED,
    }
  }
  if (unknown !== null || outlook === null) {
    return {
      probability: null,
      exhaustionAtMs: NEVER,
      ...atReset(ask, null),
      burnRate,
      confidence: 'none',
      why: unknown ?? 'Nothing was learnt yet.',
      crossing: null,
    }
  }
  const { crossing, probabilityAtReset } = crossingUnder(ask, outlook, forest, others)
  const [p10 = null, p50 = null, p90 = null] = LEVELS.map(level => instantAt(ask, shareAt(crossing, level)))
  return {
    probability: crossing.probabilities.at(-1) ?? 0,
    exhaustionAtMs: { p10, p50, p90 },
    ...atReset(ask, demandAhead(underLimitAtReset(ask), outlook, { others, probability: probabilityAtReset })),
    burnRate,
    confidence: periodsKnown(history, nowMs, outlook.windowMs) < PERIODS_NORMAL ? 'low' : 'normal',
    why: whyOf(ask, outlook, others),
    crossing,
  }
}

/** Asks the calibrator for each limit that will hold, and what it says of the use at the reset. */
function crossingUnder(
  ask: ForecastAsk,
  outlook: Outlook,
  forest: Forest,
  others: Others | null,
): { crossing: Crossing; probabilityAtReset: number | null } {
  const { nowMs, used, limit, changes = [] } = ask
  const crossingOf = (of: number): Crossing => {
    if (used >= of) return REACHED
    const under = { ...ask, limit: of }
    return calibrated(under, outlook, { forest, prior: others && priorOf(under, others), least: LEVELS[0] })
  }
  const last = crossingOf(underLimitAtReset(ask).limit)
  const steps = [{ fromMs: nowMs, limit }, ...changes]
  return {
    crossing: changes.length === 0 ? last : crossingOfSteps({ ...ask, steps }, crossingOf),
    // Of what is passed already nothing is learnt about the rest.
    probabilityAtReset: last === REACHED ? null : (last.probabilities.at(-1) ?? 0),
  }
}

/** The question as the reset will find it: what is left then is left of the limit that holds then. */
const underLimitAtReset = (ask: ForecastAsk): ForecastAsk => ({
  ...ask,
  limit: ask.changes?.at(-1)?.limit ?? ask.limit,
})

/** The others that count for this subject, and how much; all there is where its own history says nothing yet. */
function othersOf(
  { history, nowMs, windowStartMs, windowEndMs, peers }: ForecastAsk,
  isAllThereIs: boolean,
): Others | null {
  const knownMs = nowMs - firstUseMs(history)
  if (!peers || knownMs <= 0) return null
  const isYoung = isAllThereIs || knownMs < STEPS_MIN * history.stepMs
  const weight = isYoung ? 1 : peersWeight(knownMs, periodMsOf(windowEndMs - windowStartMs))
  return weight === 0 ? null : { peers, weight }
}

const priorOf = ({ nowMs, windowEndMs, limit, used }: ForecastAsk, { peers, weight }: Others): Prior => ({
  weight,
  at: share => peersProbability(peers, limit - used, share * (windowEndMs - nowMs)),
})

const instantAt = ({ nowMs, windowEndMs }: ForecastAsk, share: number | null): number | null =>
  share === null ? null : Math.round(nowMs + share * (windowEndMs - nowMs))

/**
 * Units that the rest of the window asks for, as the mixed paths and the others have it. With a calibrated probability the
 * whole distribution is moved (in normal scores) until it says the same of the limit.
 */
function demandAhead(
  ask: ForecastAsk,
  outlook: Outlook,
  { others, probability }: { others: Others | null; probability: number | null },
): Quantiles | null {
  const mixed = mixedCurve(outlook)
  if (!mixed) return null
  const { nowMs, windowEndMs, used, limit } = ask
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  quantilesBetween(mixed, nowMs, windowEndMs, quantiles)
  if (others) {
    const { peers, weight } = others
    peers.rates.forEach((rate, level) => {
      quantiles[level] = (1 - weight) * (quantiles[level] ?? 0) + weight * rate * (windowEndMs - nowMs)
    })
  }
  const floor = Math.max(1e-9, FLOOR_SHARE * (limit - used))
  const score =
    probability === null
      ? 0
      : heldScore(scoreOf(quantiles, limit - used, floor)) + heldScore(normalQuantile(clampProbability(probability)))
  const [p10 = 0, p50 = 0, p90 = 0] = LEVELS.map(level => {
    const units = valueAt(quantiles, normalQuantile(level) + score, floor)
    if (probability === null) return units
    // However far off the paths are, what is said of the limit holds.
    return level < 1 - probability ? Math.min(units, limit - used) : Math.max(units, limit - used)
  })
  return { p10, p50, p90 }
}

/** Far from the limit, what is said of it says nothing of the rest of the distribution. */
const heldScore = (score: number): number => Math.max(-MOVED_SCORE_MAX, Math.min(MOVED_SCORE_MAX, score))

const clampProbability = (probability: number): number => Math.max(1e-4, Math.min(1 - 1e-4, probability))

function atReset(ask: ForecastAsk, ahead: Quantiles | null): Pick<Forecast, 'usageAtReset' | 'headroom'> {
  if (!ahead) return { usageAtReset: null, headroom: null }
  const { used, limit } = underLimitAtReset(ask)
  const usageAtReset = { p10: used + ahead.p10, p50: used + ahead.p50, p90: used + ahead.p90 }
  return { usageAtReset, headroom: headroomOf(usageAtReset, limit) }
}

/** What is left of a limit: least where most is used. */
export const headroomOf = ({ p10, p50, p90 }: Quantiles, limit: number): Quantiles => ({
  p10: limit - p90,
  p50: limit - p50,
  p90: limit - p10,
})

export function burnRateOf({ history, nowMs, windowStartMs, windowEndMs, limit }: Question): number | null {
  if (limit === 0) return null
  const windowMs = windowEndMs - windowStartMs
  const recentMs = Math.max(windowMs / BURN_RATE_PARTS, history.stepMs)
  return totalBetween(history, nowMs - recentMs, nowMs) / recentMs / (limit / windowMs)
}
