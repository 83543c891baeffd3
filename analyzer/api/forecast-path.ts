/** `GET /v1/forecasts/path`: how a subject came to where it is in its window, and where it may go until the reset. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { mixedCurve } from '../forecast/outlook.ts'
import { bandsUntilReset } from '../forecast/reset-bands.ts'
import { DIMENSIONS } from '../policy/quota.ts'
import { forecastOne, type OneSubject } from '../tick/one-subject.ts'
import type { FollowedForecast, SubjectForecast } from '../tick/subject-forecast.ts'
import { usedInStep } from '../usage/series.ts'
import { ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { quotaAsked } from './request-error.ts'
import { dimensionValue, quotaName } from './schema.ts'
import { type SubjectQueryDeps, subjectAsked, visibleForecast } from './subject-asked.ts'

/** Points of the past that are answered at most: as many as a chart has room for. */
const POINTS_MAX = 240

const Query = Type.Object({ quota: quotaName('Name of the quota.') })
/** The subject's dimensions, by name. */
type Query = Record<string, string> & Static<typeof Query>

const Answer = Type.Object({
  forecast: ForecastAnswer,
  history: Type.Array(Type.Array(Type.Number(), { minItems: 2, maxItems: 2 }), {
    description:
      '`[atMs, used]`: units used from the begin of the window until then, Unix milliseconds; the last is now.',
  }),
  bands: Type.Array(Type.Object({ atMs: Type.Integer(), p10: Type.Number(), p50: Type.Number(), p90: Type.Number() }), {
    description:
      'Units used and asked for until then, as quantiles, up to the reset; they may be above the limit. Empty where ' +
      'nothing can be said.',
  }),
})

export function createForecastPathRoutes(deps: SubjectQueryDeps): Routes {
  const dimensions = [...DIMENSIONS, ...deps.labelColumns].map(name => {
    const value = dimensionValue(`The subject's ${name}, where the quota is per ${name}; unknown is an empty text.`)
    return [name, Type.Optional(value)]
  })
  const querystring = Type.Object(
    { ...Object.fromEntries(dimensions), ...Query.properties },
    { additionalProperties: false },
  )
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/forecasts/path',
      {
        schema: {
          summary: 'Forecast of one subject as a path',
          description:
            'What one subject used since its window began, and quantiles of what it will have used at each instant ' +
            'until the reset, to be drawn against the limit. The subject is named by the dimensions of the quota: ' +
            '`?quota=tokens-per-hour&tenant=acme&consumer=chat-app`. It is forecast anew from what is stored.',
          tags: ['forecasts'],
          querystring,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: SubjectQueryDeps, query: Query, own: string | null): Promise<Static<typeof Answer>> {
  const nowMs = deps.now()
  const { quota: name, ...named } = query
  const quota = quotaAsked(deps.quotas(), name)
  const one = await subjectAsked(deps.client, quota, named, nowMs)
  const made = visibleForecast(quota, forecastOne(one, nowMs, quota.limit), own)
  return {
    forecast: toForecastAnswer(made.forecast, deps.snapshot(), nowMs),
    history: historyOf(one, made.forecast),
    bands: bandsOf(made),
  }
}

function bandsOf({ forecast, state }: FollowedForecast): Static<typeof Answer>['bands'] {
  const curve = state && mixedCurve(state.outlook)
  const { asOfMs: nowMs, windowEndMs, used, usageAtReset } = forecast
  return curve && usageAtReset ? bandsUntilReset(curve, { nowMs, windowEndMs, used, usageAtReset }) : []
}

/** Use step by step; what hours share out is made to end at what is used now. */
function historyOf({ series, key }: OneSubject, forecast: SubjectForecast): [number, number][] {
  const { grid, quota, subjects } = series
  const { windowStartMs, asOfMs, used } = forecast
  const one = subjects.get(key)
  const first = Math.max(0, Math.round((windowStartMs - grid.startMs) / grid.stepMs))
  const last = Math.min(grid.steps, Math.ceil((asOfMs - grid.startMs) / grid.stepMs))
  const every = Math.max(1, Math.ceil((last - first) / POINTS_MAX))
  const points: [number, number][] = [[windowStartMs, 0]]
  let sum = 0
  for (let step = first; one && step < last; step++) {
    sum = Math.min(used, sum + usedInStep(one, quota.counts, step))
    const endMs = grid.startMs + (step + 1) * grid.stepMs
    if ((step + 1 - first) % every === 0 && endMs < asOfMs) points.push([endMs, Math.round(sum)])
  }
  points.push([asOfMs, used])
  return points
}
