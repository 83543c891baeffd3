/** What is learnt of a series slowly is kept from one forecast to the next, and learnt anew when it is old. */
import { type Forecast, type ForecastAsk, fitForecast, forecast } from './forecaster.ts'
import { type Outlook, toOutlook } from './outlook.ts'
import { forecastPassing, type PassingAsk, passingUnknowable } from './passing.ts'
import type { Forest } from './trees.ts'

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

/** Forecasts the rest of the window with what was learnt before, or learns it first where that is due. */
export function forecastNext(
  ask: ForecastAsk,
  state: ForecastState | null,
  { forest, phase }: ForecastDeps,
): { forecast: Forecast; state: ForecastState } {
  const now = state !== null && isGood(state, ask) ? state : learn(ask, phase)
  return { forecast: forecast(ask, now.outlook, forest), state: now }
}

/** The same where nothing resets: one length of the window from now on, which moves on until it is learnt anew. */
export function passingNext(
  ask: PassingAsk,
  state: ForecastState | null,
  phase: number,
): { forecast: Forecast; state: ForecastState | null } {
  const { history, nowMs, lengthMs } = ask
  if (passingUnknowable(ask) !== null) return { forecast: forecastPassing(ask, null), state }
  if (state !== null && isGood(state, { nowMs, windowEndMs: nowMs + lengthMs })) {
    return { forecast: forecastPassing(ask, state.outlook), state }
  }
  const goodUntilMs = nowMs + goodMs(history.stepMs, lengthMs) * (0.5 + phase)
  const outlook = toOutlook(history, { atMs: nowMs, untilMs: goodUntilMs + lengthMs, windowMs: lengthMs })
  return { forecast: forecastPassing(ask, outlook), state: { outlook, untilMs: goodUntilMs } }
}

const isGood = (
  { outlook, untilMs }: ForecastState,
  { nowMs, windowEndMs }: Pick<ForecastAsk, 'nowMs' | 'windowEndMs'>,
) => nowMs < untilMs && nowMs >= outlook.atMs && windowEndMs <= outlook.untilMs

const goodMs = (stepMs: number, windowMs: number): number =>
  Math.max(stepMs, Math.min(FIT_MS_MAX, windowMs / FIT_PARTS))

function learn(ask: ForecastAsk, phase: number): ForecastState {
  const { history, nowMs, windowStartMs, windowEndMs } = ask
  const untilMs = nowMs + goodMs(history.stepMs, windowEndMs - windowStartMs) * (0.5 + phase)
  return { outlook: fitForecast(ask), untilMs: Math.min(windowEndMs, untilMs) }
}
