/** `GET /v1/forecasts/path`: how a subject came to where it is in its window, and where it may go until the reset. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { allowedBy } from '../tick/allowed.ts'
import { isFollowed } from '../tick/followed-quota.ts'
import { forecastOne } from '../tick/one-subject.ts'
import { pathOf } from '../tick/subject-path.ts'
import { ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { quotaAsked } from './request-error.ts'
import { quotaName, subjectQuery } from './schema.ts'
import { type SubjectQueryDeps, subjectAsked, visibleForecast } from './subject-asked.ts'

const Query = Type.Object({ quota: quotaName('Name of the quota.') })
/** The subject's dimensions, by name. */
type Query = Record<string, string> & Static<typeof Query>

const Answer = Type.Object({
  forecast: ForecastAnswer,
  history: Type.Array(Type.Array(Type.Number(), { minItems: 2, maxItems: 2 }), {
    description:
      '`[atMs, used]`: units used from the begin of the window, or from a reset by hand in it, until then (where nothing ' +
      'resets: what counted then), Unix milliseconds; the last is now.',
  }),
  bands: Type.Array(Type.Object({ atMs: Type.Integer(), p10: Type.Number(), p50: Type.Number(), p90: Type.Number() }), {
    description:
      'Units used and asked for until then, as quantiles, up to `windowEndMs`; they may be above the limit. Empty where ' +
      'nothing can be said.',
  }),
})
export type PathAnswer = Static<typeof Answer>

export function createForecastPathRoutes(deps: SubjectQueryDeps): Routes {
  const querystring = subjectQuery(deps.labelColumns, Query.properties)
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
  const policy = deps.policy()
  const quota = quotaAsked(policy.quotas.filter(isFollowed), { name, own, which: 'forecast' })
  const one = await subjectAsked(deps, quota, named, { nowMs })
  const allowedOf = allowedBy(policy)
  const made = visibleForecast(quota, forecastOne(one, { nowMs, allowedOf }), own)
  const forecast = toForecastAnswer(made.forecast, { snapshot: deps.snapshot(), policy, nowMs, own })
  return { forecast, ...pathOf(one, made, allowedOf) }
}
