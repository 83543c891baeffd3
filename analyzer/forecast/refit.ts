/** What is learnt of a series slowly is kept from one forecast to the next, and learnt anew when it is old. */
import { type Forecast, type ForecastAsk, forecast } from './forecaster.ts'
import type { History } from './history.ts'
import { type Outlook, toOutlook } from './outlook.ts'
import { forecastPassing, type PassingAsk, passingUnknowable } from './passing.ts'
import type { Forest } from './trees.ts'
import { unknowable } from './why.ts'

/** Parts of a window after which everything is learnt again: after a step at the soonest, after an hour at the latest. */
const FIT_PARTS = 24
const FIT_MS_MAX = 3_600_000

/** What is kept of a subject under one window. */
export interface ForecastState {
  readonly outlook: Outlook
  /** It is good until then. */
  readonly untilMs: number
}

export interface ForecastDeps {
  forest: Forest
  /** In [0, 1), of the subject: so that not all that were learnt at once are learnt again at once. */
  phase: number
}

/** What has to be learnt of a history, as it is known at `atMs`: as far as `untilMs`, good until `goodUntilMs`. */
export interface FitAsk {
  history: History
  atMs: number
  untilMs: number
  windowMs: number
  goodUntilMs: number
}

/** Learns it: slower than a forecast by far. */
export const learn = (ask: FitAsk): ForecastState => ({
  outlook: toOutlook(ask.history, ask),
  untilMs: ask.goodUntilMs,
})

/**
 * What has to be learnt before the rest of the window can be forecast; `null` while what was learnt is good, and where
 * nothing could be said whatever was learnt.
 */
export const fitDue = (ask: ForecastAsk, state: ForecastState | null, phase: number): FitAsk | null =>
  (state !== null && isGood(state, ask)) || isUnknowable(ask) ? null : fitOf(ask, phase)

const isUnknowable = (ask: ForecastAsk): boolean => unknowable(ask, Boolean(ask.peers)) !== null

function fitOf(ask: ForecastAsk, phase: number): FitAsk {
  const { history, nowMs, windowStartMs, windowEndMs } = ask
  const windowMs = windowEndMs - windowStartMs
  const goodUntilMs = Math.min(windowEndMs, nowMs + goodMs(history.stepMs, windowMs) * (0.5 + phase))
  return { history, atMs: nowMs, untilMs: windowEndMs, windowMs, goodUntilMs }
}

/** The same where nothing resets; `null` also where nothing could be said. */
export function passingFitDue(ask: PassingAsk, state: ForecastState | null, phase: number): FitAsk | null {
  const { history, nowMs, lengthMs } = ask
  const windowEndMs = nowMs + lengthMs
  if (passingUnknowable(ask) !== null || (state !== null && isGood(state, { nowMs, windowEndMs }))) return null
  const goodUntilMs = nowMs + goodMs(history.stepMs, lengthMs) * (0.5 + phase)
  return { history, atMs: nowMs, untilMs: goodUntilMs + lengthMs, windowMs: lengthMs, goodUntilMs }
}

/** Forecasts the rest of the window with what was learnt before, or learns it first where that is due. */
export function forecastNext(
  ask: ForecastAsk,
  state: ForecastState | null,
  { forest, phase }: ForecastDeps,
): { forecast: Forecast; state: ForecastState | null } {
  const due = fitDue(ask, state, phase)
  const now = due === null ? state : learn(due)
  return { forecast: forecast(ask, now?.outlook ?? null, forest), state: now }
}

/** The same where nothing resets: one length of the window from now on, which moves on until it is learnt anew. */
export function passingNext(
  ask: PassingAsk,
  state: ForecastState | null,
  phase: number,
): { forecast: Forecast; state: ForecastState | null } {
  const due = passingFitDue(ask, state, phase)
  const now = due === null ? state : learn(due)
  return { forecast: forecastPassing(ask, passingUnknowable(ask) === null ? (now?.outlook ?? null) : null), state: now }
}

/** True while what was learnt serves a forecast at `nowMs` of a window that ends then. */
export const isGood = (
  { outlook, untilMs }: ForecastState,
  { nowMs, windowEndMs }: Pick<ForecastAsk, 'nowMs' | 'windowEndMs'>,
) => nowMs < untilMs && nowMs >= outlook.atMs && windowEndMs <= outlook.untilMs

const goodMs = (stepMs: number, windowMs: number): number =>
  Math.max(stepMs, Math.min(FIT_MS_MAX, windowMs / FIT_PARTS))
