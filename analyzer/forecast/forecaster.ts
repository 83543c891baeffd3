/**
 * "Will this quota run out before its reset, when, and how sure are we?" for one subject and one window: paths of
 * demand are added to what is used now, their first crossings of the limit are the answer. Pure: the same history, the
 * same instant, the same answer.
 */
import { periodMsOf, periodsKnown } from './analogs.ts'
import { demandOf, exhaustionOf, type InstantQuantiles, type Quantiles } from './exhaustion.ts'
import { firstUseMs, type History, reachedMs, totalBetween } from './history.ts'
import { fitMix, type Mix, mixPaths } from './mix.ts'

/** Windows of fewer steps get rate and headroom only: what is known comes too late for them. */
export const WINDOW_STEPS_MIN = 5
/** Fewer steps of history than this say nothing. */
const STEPS_MIN = 3
/** From so many earlier days or windows on, a forecast is as good as its series allows. */
const PERIODS_NORMAL = 3
/** The burn rate is that of the last so-manieth part of the window. */
const BURN_RATE_PARTS = 12
const DAY_MS = 86_400_000

export const CONFIDENCES = ['none', 'low', 'normal'] as const
type Confidence = (typeof CONFIDENCES)[number]

export interface ForecastAsk {
  /** Demand up to now: what was used and what was refused. */
  history: History
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  /** Units used since the window began. */
  used: number
  limit: number
}

export interface Forecast {
  /** That `used` reaches the limit before the window ends; `null` when that cannot be said. */
  probability: number | null
  exhaustionAtMs: InstantQuantiles
  /** Units used and asked for when the window ends; may be above the limit. `null` when that cannot be said. */
  usageAtReset: Quantiles | null
  /** The limit less `usageAtReset`: its p10 is the pessimist's. */
  headroom: Quantiles | null
  /** Recent demand over the rate that would use exactly the limit in a window; `null` for a limit of 0. */
  burnRate: number | null
  confidence: Confidence
  /** In words, what the forecast rests on. */
  why: string
}

const NEVER: InstantQuantiles = { p10: null, p50: null, p90: null }

/** Learns from the past of this series which path sources to trust. Slower than a forecast, and good for a while. */
export function fitForecast({ history, nowMs, windowStartMs, windowEndMs }: ForecastAsk): Mix {
  return fitMix(history, { atMs: nowMs, leftMs: windowEndMs - nowMs, windowMs: windowEndMs - windowStartMs })
}

/** Forecasts the rest of the window, by the sources as `mix` weighs them. */
export function forecast(ask: ForecastAsk, mix: Mix): Forecast {
  const { history, nowMs, windowStartMs, windowEndMs, used, limit } = ask
  const windowMs = windowEndMs - windowStartMs
  const burnRate = burnRateOf(ask)
  const unknown = unknowable(ask)
  const paths = unknown === null ? mixPaths(history, { atMs: nowMs, leftMs: windowEndMs - nowMs, windowMs }, mix) : null
  const demand = paths && demandOf(paths)
  const usageAtReset = demand && { p10: used + demand.p10, p50: used + demand.p50, p90: used + demand.p90 }
  const headroom = usageAtReset && {
    p10: limit - usageAtReset.p90,
    p50: limit - usageAtReset.p50,
    p90: limit - usageAtReset.p10,
  }
  if (used >= limit) {
    const reachedAtMs = Math.round(limit === 0 ? windowStartMs : reachedMs(history, windowStartMs, limit))
    const atMs = Math.min(nowMs, reachedAtMs)
    const exhaustionAtMs = { p10: atMs, p50: atMs, p90: atMs }
    const why = limit === 0 ? 'The limit is 0.' : 'The limit is reached.'
    return { probability: 1, exhaustionAtMs, usageAtReset, headroom, burnRate, confidence: 'normal', why }
  }
  if (!paths) {
    const why = unknown ?? 'Nothing was used yet.'
    return { probability: null, exhaustionAtMs: NEVER, usageAtReset, headroom, burnRate, confidence: 'none', why }
  }
  const periods = periodsKnown(history, nowMs, windowMs)
  return {
    ...exhaustionOf(paths, limit - used, nowMs),
    usageAtReset,
    headroom,
    burnRate,
    confidence: periods < PERIODS_NORMAL ? 'low' : 'normal',
    why: whyOf(ask, periods, mix),
  }
}

/** Why nothing can be said about the rest of this window, or `null`. */
function unknowable({ history, nowMs, windowStartMs, windowEndMs }: ForecastAsk): string | null {
  if (windowEndMs - windowStartMs < WINDOW_STEPS_MIN * history.stepMs) {
    const shortest = inWords(WINDOW_STEPS_MIN * history.stepMs)
    return `Windows under ${shortest} end before their calls are known: rate and use only.`
  }
  const knownMs = nowMs - firstUseMs(history)
  if (knownMs <= 0) return 'Nothing was used yet.'
  if (knownMs < STEPS_MIN * history.stepMs) return `Its first use was only ${inWords(knownMs)} ago.`
  return null
}

function burnRateOf({ history, nowMs, windowStartMs, windowEndMs, limit }: ForecastAsk): number | null {
  if (limit === 0) return null
  const windowMs = windowEndMs - windowStartMs
  const recentMs = Math.max(windowMs / BURN_RATE_PARTS, history.stepMs)
  return totalBetween(history, nowMs - recentMs, nowMs) / recentMs / (limit / windowMs)
}

function whyOf({ history, nowMs, windowStartMs, windowEndMs }: ForecastAsk, periods: number, mix: Mix): string {
  const windowMs = windowEndMs - windowStartMs
  const knownMs = nowMs - firstUseMs(history)
  if (periods === 0) return `Only ${inWords(knownMs)} of history: the recent rate is extended.`
  const name = windowMs < DAY_MS ? 'window' : 'day'
  const past = periods === 1 ? `one earlier ${name}` : `${periods} earlier ${name}s`
  const level = levelInWords(history, nowMs, periodMsOf(windowMs))
  if (periods < PERIODS_NORMAL) return `Only ${past} known${level}.`
  const rateShare = Math.round(100 * (mix.weights[1] ?? 0))
  const learnt = mix.origins > 0 ? ', weighed by how each did before' : ''
  return `From ${past} (${100 - rateShare} %) and the recent rate (${rateShare} %)${learnt}${level}.`
}

/** How the last period compares with the one before, where that is worth saying. */
function levelInWords(history: History, nowMs: number, periodMs: number): string {
  const recent = totalBetween(history, nowMs - periodMs, nowMs)
  const before = totalBetween(history, nowMs - 2 * periodMs, nowMs - periodMs)
  if (recent === 0) return `; idle for the last ${inWords(periodMs)}`
  const ratio = recent / before
  if (!(ratio < 0.8 || ratio > 1.25) || !Number.isFinite(ratio)) return ''
  return `; the last ${inWords(periodMs)} had ${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)} times the use of those before`
}

/** A duration in the largest unit that it fills. */
function inWords(ms: number): string {
  const units = [
    [DAY_MS, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1_000, 'second'],
  ] as const
  const [unitMs, name] = units.find(([unitMs]) => ms >= unitMs) ?? [1_000, 'second']
  const count = Math.max(1, Math.round(ms / unitMs))
  return `${count} ${name}${count === 1 ? '' : 's'}`
}
