/**
 * Forecasts of what never resets: will a sliding window or a rate refuse calls within one length of it? The paths of
 * demand are run through the limiter's own rule. Of a sliding window, what is used now counts for less and less while new
 * use comes on top; of a rate, what comes fills a level that drains. The quantiles of demand stand for the paths: one that
 * is ahead is taken to stay ahead. Bursts that are shorter than a knot are not seen.
 */
import { periodsKnown } from './analogs.ts'
import { type Crossing, shareAt } from './calibrate.ts'
import { CURVE_LEVELS, type Curve, chanceAbove, quantilesBetween } from './curve.ts'
import {
  burnRateOf,
  type Forecast,
  type InstantQuantiles,
  LEVELS,
  NEVER,
  type Quantiles,
  REACHED,
} from './forecaster.ts'
import type { History } from './history.ts'
import { type LimitStep, limitAt } from './limit-steps.ts'
import { mixedCurve, type Outlook } from './outlook.ts'
import type { Band } from './reset-bands.ts'
import { PERIODS_NORMAL, unknowable, whyOf } from './why.ts'

/** Instants at which what is taken is compared with the limit: more than a sliding window usually has slots. */
const KNOTS = 48
/** Softens logarithms, as a share of the limit. */
const FLOOR_SHARE = 1e-3
const [LOW, MIDDLE, HIGH] = LEVELS.map(level => CURVE_LEVELS.indexOf(level as (typeof CURVE_LEVELS)[number]))

/** Stands for a limit that nobody has said. */
export const UNSAID_LIMIT = Number.MAX_SAFE_INTEGER

/** How what was used goes away again. */
export type PassingRule =
  /** `counts` has the units of what is used now that still count at a later instant; it only falls. */
  | { kind: 'sliding'; counts: (atMs: number) => number }
  /** `limit` units drain in the length, evenly, and at most `burst` (null: the limit) are held. */
  | { kind: 'rate'; burst: number | null }

export interface PassingAsk {
  /** Demand up to now. */
  history: History
  nowMs: number
  lengthMs: number
  /** Units that count now; of a rate, its level. */
  used: number
  /** Ascending; the first one holds now. */
  limits: readonly LimitStep[]
  rule: PassingRule
  /** Demand from now on, as a multiple of what is expected; 1 when absent. */
  growth?: number
}

/** What will have been taken at an instant, as quantiles at `CURVE_LEVELS`. */
interface Taken {
  atMs: number
  units: Float64Array
}

/** Why nothing can be said of the next length, or `null`. */
export const passingUnknowable = (ask: PassingAsk): string | null => unknowable(questionOf(ask), false)

/** Forecasts one length of the window from an outlook that reaches to its end; null where `passingUnknowable`. */
export function forecastPassing(ask: PassingAsk, outlook: Outlook | null): Forecast {
  const { history, nowMs, lengthMs, used, growth = 1 } = ask
  const question = questionOf(ask)
  const burnRate = burnRateOf({ ...question, windowStartMs: nowMs - lengthMs, windowEndMs: nowMs })
  const curve = outlook && mixedCurve(outlook)
  if (!outlook || !curve) return describePassing(ask, burnRate, passingUnknowable(ask) ?? 'Nothing was used yet.')
  const path = takenAhead(ask, curve)
  const confidence = periodsKnown(history, nowMs, lengthMs) < PERIODS_NORMAL ? 'low' : 'normal'
  const common = { ...atEnd(ask, path), burnRate: burnRate && burnRate * growth, confidence } as const
  if (used >= mostAt(ask, nowMs)) {
    return { ...reached(nowMs), ...common, why: 'The limit is reached.' }
  }
  const crossing = crossingOf(ask, path)
  const instantAt = (level: number) => {
    const share = shareAt(crossing, level)
    return share === null ? null : Math.round(nowMs + share * lengthMs)
  }
  const [p10 = null, p50 = null, p90 = null] = LEVELS.map(instantAt)
  return {
    probability: crossing.probabilities.at(-1) ?? 0,
    exhaustionAtMs: { p10, p50, p90 },
    ...common,
    why: `${whyOf(question, outlook, null)} As the paths say it: what has no reset is not scored, so nothing corrects them.`,
    crossing,
  }
}

/** What can be said of a length that is over before its calls are known. */
function describePassing(ask: PassingAsk, burnRate: number | null, reason: string): Forecast {
  const { nowMs, used, rule, growth = 1 } = ask
  const most = mostAt(ask, nowMs)
  const left = most - used
  const leftInWords = `${Math.max(0, Math.round(left))} ${rule.kind === 'rate' ? 'may be taken at once' : 'are left'}.`
  const state = used >= most ? reached(nowMs) : { probability: null, exhaustionAtMs: NEVER, crossing: null }
  return {
    ...{ ...state, usageAtReset: null, headroom: { p10: left, p50: left, p90: left }, confidence: 'none' },
    burnRate: burnRate && burnRate * growth,
    why: `${reason} ${inWords(ask, burnRate, leftInWords)}`,
  }
}

function inWords({ lengthMs, limits }: PassingAsk, burnRate: number | null, left: string): string {
  const [{ limit } = { limit: 0 }] = limits
  if (burnRate === null) return `Nothing is allowed. ${left}`
  const perSecond = (units: number) => `${Number(((units * 1000) / lengthMs).toPrecision(2))}/s`
  const asked = `Lately ${perSecond(burnRate * limit)} were asked for`
  return limit === UNSAID_LIMIT ? `${asked}.` : `${asked}, and ${perSecond(limit)} are allowed. ${left}`
}

const reached = (nowMs: number) => {
  const exhaustionAtMs: InstantQuantiles = { p10: nowMs, p50: nowMs, p90: nowMs }
  return { probability: 1, exhaustionAtMs, crossing: REACHED }
}

const questionOf = ({ history, nowMs, lengthMs, used, limits }: PassingAsk) => ({
  ...{ history, nowMs, windowStartMs: nowMs, windowEndMs: nowMs + lengthMs, used, limit: limits[0]?.limit ?? 0 },
})

/** The most that may be held at once. */
function mostAt(ask: PassingAsk, atMs: number): number {
  const limit = limitAt(ask.limits, atMs) ?? 0
  const burst = ask.rule.kind === 'rate' ? ask.rule.burst : null
  return limit === 0 ? 0 : (burst ?? limit)
}

/** What is taken from now to the end of the length, at the knots and where the limit changes. Without demand it only falls. */
function takenAhead(ask: PassingAsk, curve: Curve): Taken[] {
  const { nowMs, lengthMs, used, limits, rule, growth = 1 } = ask
  const knots = Array.from({ length: KNOTS }, (_, knot) => nowMs + (knot + 1) * (lengthMs / KNOTS))
  const changes = limits.slice(1).map(({ fromMs }) => fromMs)
  const instants = [...new Set([...knots, ...changes])].sort((a, b) => a - b)
  const demand = new Float64Array(CURVE_LEVELS.length)
  let before = new Float64Array(CURVE_LEVELS.length)
  let level = new Float64Array(CURVE_LEVELS.length).fill(used)
  return instants.map((atMs, index) => {
    quantilesBetween(curve, nowMs, atMs, demand)
    demand.forEach((units, index) => {
      demand[index] = growth * units
    })
    if (rule.kind === 'sliding') {
      const counted = rule.counts(atMs)
      return { atMs, units: demand.map(units => counted + units) }
    }
    const sinceMs = instants[index - 1] ?? nowMs
    const drained = ((limitAt(limits, sinceMs) ?? 0) * (atMs - sinceMs)) / lengthMs
    // What comes between two knots may be less at a higher quantile: sorted, so that what is ahead stays ahead.
    level = level
      .map((units, index) => Math.max(0, units + Math.max(0, (demand[index] ?? 0) - (before[index] ?? 0)) - drained))
      .sort()
    before = demand.slice()
    return { atMs, units: level }
  })
}

function crossingOf(ask: PassingAsk, path: readonly Taken[]): Crossing {
  const shares: number[] = []
  const probabilities: number[] = []
  let most = 0
  for (const { atMs, units } of path) {
    // Where the limit changes, the one before holds until then.
    for (const limit of new Set([mostAt(ask, atMs - 1), mostAt(ask, atMs)])) {
      most = Math.max(most, limit === 0 ? 1 : chanceAbove(units, limit, FLOOR_SHARE * limit))
      shares.push((atMs - ask.nowMs) / ask.lengthMs)
      probabilities.push(most)
    }
  }
  return { shares, probabilities }
}

/** What is taken ahead as a chart shows it. */
export const bandsAhead = (ask: PassingAsk, curve: Curve): Band[] =>
  takenAhead(ask, curve).map(({ atMs, units }) => ({ atMs: Math.round(atMs), ...quantilesOf(units) }))

const quantilesOf = (units: Float64Array): Quantiles => ({
  p10: units[LOW ?? 0] ?? 0,
  p50: units[MIDDLE ?? 0] ?? 0,
  p90: units[HIGH ?? 0] ?? 0,
})

function atEnd(ask: PassingAsk, path: readonly Taken[]): Pick<Forecast, 'usageAtReset' | 'headroom'> {
  const last = path.at(-1)
  if (!last) return { usageAtReset: null, headroom: null }
  const { p10, p50, p90 } = quantilesOf(last.units)
  const most = mostAt(ask, last.atMs)
  return { usageAtReset: { p10, p50, p90 }, headroom: { p10: most - p90, p50: most - p50, p90: most - p10 } }
}
