/** Forecasts as the API answers them. */
import { type ForecastAnswer, toForecastAnswer } from '../../../analyzer/api/forecast-schema.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { EMPTY_SNAPSHOT } from '../../../analyzer/tick/ticker.ts'
import { forecast, NOW_MS } from '../../analyzer/api/forecast-fixture.ts'

const answering = { snapshot: EMPTY_SNAPSHOT, policy: createPolicy([]), nowMs: NOW_MS, own: null }

/** The forecast of 100 requests of which 40 are used, but for what is stated. */
export const answerOf = (part: Partial<ForecastAnswer> = {}): ForecastAnswer => ({
  ...toForecastAnswer(forecast('q', 'app', 0.6), answering),
  ...part,
})
