/** What is learnt of a series slowly is kept from one forecast to the next, and learnt anew when it is old. */
import { type Forecast, type ForecastAsk, fitForecast, forecast } from './forecaster.ts'
import type { Mix } from './mix.ts'

/** Parts of a window after which everything is learnt again, and the bounds of that time. */
const FIT_PARTS = 24
const FIT_MS = { min: 60_000, max: 3_600_000 }

/** What is kept of a subject under one window. */
export interface ForecastState {
  readonly mix: Mix
  /** It is good until then. */
  readonly untilMs: number
}

/** Forecasts the rest of the window with what was learnt before, or learns it first where that is due. */
export function forecastNext(
  ask: ForecastAsk,
  state: ForecastState | null,
): { forecast: Forecast; state: ForecastState } {
  const { nowMs, windowStartMs, windowEndMs } = ask
  if (state !== null && nowMs < state.untilMs) return { forecast: forecast(ask, state.mix), state }
  const mix = fitForecast(ask)
  const goodMs = Math.max(FIT_MS.min, Math.min(FIT_MS.max, (windowEndMs - windowStartMs) / FIT_PARTS))
  return { forecast: forecast(ask, mix), state: { mix, untilMs: Math.min(windowEndMs, nowMs + goodMs) } }
}
