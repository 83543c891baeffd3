/** What is asked of the forecast where nothing resets: what counts now, for how long, and what is allowed. */
import { type PassingAsk, type PassingRule, UNSAID_LIMIT } from '../forecast/passing.ts'
import { WINDOW_STEPS_MIN } from '../forecast/why.ts'
import type { UsageSeries } from '../usage/series.ts'
import { lengthAt, type RateWindow, type SlidingWindow } from '../usage/window.ts'
import type { Allowed, AllowedOf } from './allowed.ts'
import { demandOf } from './demand.ts'
import { meanUse, rateLevel, slidingUse } from './passing-use.ts'
import type { QuotaSeries } from './quota-series.ts'

type PassingWindow = SlidingWindow | RateWindow

export interface PassingAsked {
  spec: PassingWindow
  nowMs: number
  allowedOf: AllowedOf
  /** At least one longer than the series' grid. */
  scratch: Float64Array
  growth?: number
}

/** The question of one subject from now on, and what it may use meanwhile. */
export function passingAskOf(
  series: QuotaSeries,
  one: UsageSeries,
  { spec, nowMs, allowedOf, scratch, growth = 1 }: PassingAsked,
): { ask: PassingAsk; allowed: Allowed } {
  const lengthMs = lengthAt(spec, nowMs)
  const { history } = demandOf(series, one, { nowMs, sinceMs: nowMs - lengthMs }, scratch)
  const allowed = allowedOf(series.quota, one.subject, { nowMs, endMs: nowMs + lengthMs })
  const { rule, used } = ruleOf(series, one, { spec, nowMs, allowedOf, allowed })
  const limits = allowed.steps.length > 0 ? allowed.steps : [{ fromMs: nowMs, limit: UNSAID_LIMIT }]
  return { ask: { history, nowMs, lengthMs, used, limits, rule, growth }, allowed }
}

interface UsedAsked extends Pick<PassingAsked, 'spec' | 'nowMs' | 'allowedOf'> {
  /** As of now, whenever `nowMs` is. */
  allowed: Allowed
}

/** What counted at an instant of the past. What the reset by hand that holds now forgave counted until then. */
export const usedAt = (series: QuotaSeries, one: UsageSeries, { allowed, ...asked }: UsedAsked): number =>
  ruleOf(series, one, { ...asked, allowed: asked.nowMs < allowed.sinceMs ? { ...allowed, sinceMs: 0 } : allowed }).used

function ruleOf(
  series: QuotaSeries,
  one: UsageSeries,
  { spec, nowMs, allowedOf, allowed }: UsedAsked,
): { rule: PassingRule; used: number } {
  if (spec.kind === 'sliding') {
    const { used, counts } = slidingUse(series, one, spec, { nowMs, ...allowed })
    return { rule: { kind: 'sliding', counts }, used }
  }
  const rule: PassingRule = { kind: 'rate', burst: spec.burst }
  const lengthMs = spec.periodMs
  // Of a period that is shorter than the steps in which use is known there is no level, only what it takes on average.
  if (lengthMs < WINDOW_STEPS_MIN * series.grid.stepMs) return { rule, used: meanUse(series, one, { nowMs, lengthMs }) }
  const { steps: limits } = allowedOf(series.quota, one.subject, { nowMs: series.grid.startMs, endMs: nowMs })
  return { rule, used: rateLevel(series, one, spec, { nowMs, sinceMs: allowed.sinceMs, limits }) }
}
