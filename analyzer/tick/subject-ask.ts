/** What is asked of the forecast about one subject of a series, and what has to be learnt of it first. */
import type { ForecastAsk } from '../forecast/forecaster.ts'
import { type PassingAsk, UNSAID_LIMIT } from '../forecast/passing.ts'
import { type FitAsk, type ForecastState, fitDue, isGood, passingFitDue } from '../forecast/refit.ts'
import type { UsageSeries } from '../usage/series.ts'
import { isResetting, lengthAt, type ResettingWindow, windowAt } from '../usage/window.ts'
import type { Allowed, AllowedOf } from './allowed.ts'
import { demandOf, usedAhead, usedBeforeReset, usedInWindow } from './demand.ts'
import { passingAskOf } from './passing-ask.ts'
import type { QuotaSeries } from './quota-series.ts'

/** What is left at least of a limit that no record says is reached, as a share of it. */
const LEAST_NEED = 1e-3

/** How a subject is forecast. */
export interface SubjectAsk {
  nowMs: number
  allowedOf: AllowedOf
  /** What was learnt of it. */
  state: ForecastState | null
  /** At least one longer than the series' grid. */
  scratch: Float64Array
  /** Demand from now on where nothing resets, as a multiple of what is expected; 1 when absent. */
  growth?: number
}

/** The question, with what of its answer is known before. */
export type Asked = { allowed: Allowed; used: number; windowEndMs: number } & (
  | {
      isPassing: false
      /** What was forgiven is in what was used, and allowed on top. */
      ask: ForecastAsk
      /** By a reset by hand, less what was used elsewhere. */
      forgiven: number
    }
  | { isPassing: true; ask: PassingAsk }
)

/** The question lives as long as `scratch` is not used again. */
export function askedOf(series: QuotaSeries, key: string, one: UsageSeries, asking: SubjectAsk): Asked {
  const { window } = series.quota
  if (isResetting(window)) return untilReset(series, key, one, { ...asking, window })
  const { ask, allowed } = passingAskOf(series, one, { ...asking, spec: window })
  return { isPassing: true, ask, allowed, used: Math.round(ask.used), windowEndMs: asking.nowMs + ask.lengthMs }
}

/** What has to be learnt of the subject before it is forecast, with a history of its own; `null` when nothing is. */
export function subjectFitDue(series: QuotaSeries, key: string, asking: SubjectAsk): FitAsk | null {
  const one = series.subjects.get(key)
  const { nowMs, state } = asking
  const { window } = series.quota
  // Found out without adding up the history, as it is for most.
  const windowEndMs = isResetting(window) ? windowAt(window, nowMs).endMs : nowMs + lengthAt(window, nowMs)
  if (!one || (state !== null && isGood(state, { nowMs, windowEndMs }))) return null
  const { isPassing, ask } = askedOf(series, key, one, asking)
  const due = isPassing ? passingFitDue(ask, asking.state, phaseOf(key)) : fitDue(ask, asking.state, phaseOf(key))
  return due && { ...due, history: { ...due.history, total: due.history.total.slice() } }
}

function untilReset(
  series: QuotaSeries,
  key: string,
  one: UsageSeries,
  { nowMs, allowedOf, scratch, window: spec }: SubjectAsk & { window: ResettingWindow },
): Asked {
  const window = windowAt(spec, nowMs)
  const { startMs: windowStartMs, endMs: windowEndMs } = window
  const allowed = allowedOf(series.quota, one.subject, { nowMs, endMs: windowEndMs })
  const sinceMs = Math.max(windowStartMs, allowed.sinceMs)
  const { history, missing } = demandOf(series, one, { nowMs, sinceMs }, scratch)
  const { before, ofStep } = usedBeforeReset(series, one, { fromMs: windowStartMs, ...allowed })
  const forgiven = before + ofStep - allowed.elsewhere
  // Demand is forecast under a limit that is not known, too: as one that cannot be reached.
  const [{ limit } = { limit: UNSAID_LIMIT }, ...changes] = allowed.steps.map(step => ({
    ...step,
    limit: step.limit + forgiven,
  }))
  const used = usedInWindow(series, key, one, window)
  // What has begun and is not recorded yet is as good as used, but only a record says that a limit is reached.
  const begun = Math.max(used, Math.min(used + missing, (1 - LEAST_NEED) * limit))
  const upToNow = used < limit ? begun - usedAhead(series, one, history, windowEndMs) : begun
  const peers = series.peersOf(one.subject)
  const ask = { history, nowMs, windowStartMs, windowEndMs, used: upToNow, limit, changes, peers }
  return { isPassing: false, ask, allowed, forgiven, used: Math.max(0, Math.round(used - forgiven)), windowEndMs }
}

/** A number in [0, 1) that is the subject's own, by FNV-1a. */
export function phaseOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash >>> 0) / 2 ** 32
}
