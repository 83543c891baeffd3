/** `POST /v1/forecasts/what-if`: the same subject under another limit, another window, or with more to do. */
import assert from 'node:assert/strict'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'
import type { Routes } from '../../collector/principal.ts'
import { limitBeforeGrowth, toGrown } from '../forecast/growth.ts'
import { parseQuota, QuotaError } from '../policy/quota.ts'
import { hasReset, type ResettingQuota } from '../tick/followed-quota.ts'
import { forecastOne } from '../tick/one-subject.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import { ResettingWindowOptions } from '../usage/window-options.ts'
import { ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { quotaAsked, RequestError } from './request-error.ts'
import { dimensionValue, quotaName } from './schema.ts'
import { type SubjectQueryDeps, subjectAsked, visibleForecast } from './subject-asked.ts'

const GROWTH_MAX = 1_000
const windowOptions = Compile(ResettingWindowOptions)

const Body = Type.Object(
  {
    quota: quotaName('Name of the quota.'),
    subject: Type.Record(Type.String(), dimensionValue('Unknown is an empty text.'), {
      description: "A value for each dimension of the quota's `per`, as in a forecast.",
    }),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Another limit.' })),
    window: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'Another window, as a quota has it: `{"kind": "fixed", "everySeconds": 86400}`.',
      }),
    ),
    growth: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: GROWTH_MAX,
        description: 'Demand from now on, as a multiple of what is expected: 1.5 is half as much again.',
      }),
    ),
  },
  { additionalProperties: false, $id: 'WhatIf' },
)
type Body = Static<typeof Body>

const Answer = Type.Object({
  now: ForecastAnswer,
  whatIf: Type.Object(ForecastAnswer.properties, { description: 'The same instant, if it were as asked.' }),
})

export function createWhatIfRoutes(deps: SubjectQueryDeps): Routes {
  return server => {
    server.post<{ Body: Body }>(
      '/v1/forecasts/what-if',
      {
        schema: {
          summary: 'Forecast under other conditions',
          description:
            'Forecasts one subject as it is, and as it would be under another limit, in another window, or with demand ' +
            'that grows from now on; all three may be combined. Changes nothing.',
          tags: ['forecasts'],
          body: Body,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.body, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: SubjectQueryDeps, body: Body, own: string | null): Promise<Static<typeof Answer>> {
  const nowMs = deps.now()
  const quota = quotaAsked(deps.quotas(), body.quota)
  const changed = changedQuota(quota, body, deps.labelColumns)
  const one = await subjectAsked(deps.client, quota, body.subject, nowMs)
  const { forecast } = visibleForecast(quota, forecastOne(one, nowMs, quota.limit), own)
  const other = body.window === undefined ? one : await subjectAsked(deps.client, changed, body.subject, nowMs)
  const forecastUnder = (limit: number): SubjectForecast =>
    visibleForecast(quota, forecastOne(other, nowMs, limit), own).forecast
  const { limit } = changed
  const { growth = 1 } = body
  const plain = forecastUnder(limit)
  const grown = { used: plain.used, limit, growth }
  const whatIf = growth === 1 ? plain : { ...toGrown(forecastUnder(limitBeforeGrowth(grown)), grown), limit }
  const snapshot = deps.snapshot()
  return { now: toForecastAnswer(forecast, snapshot, nowMs), whatIf: toForecastAnswer(whatIf, snapshot, nowMs) }
}

/** The quota as it would be. Throws `RequestError` (400) for a window that cannot be. */
function changedQuota(
  quota: ResettingQuota,
  { limit = quota.limit, window }: Body,
  labelColumns: readonly string[],
): ResettingQuota {
  if (window === undefined) return { ...quota, limit }
  const options: unknown = Value.Default(ResettingWindowOptions, structuredClone(window))
  if (!windowOptions.Check(options)) {
    throw new RequestError(
      400,
      'PARAMETER_INVALID',
      "window: expected a window as a quota's, of kind fixed or calendar",
    )
  }
  try {
    const changed = parseQuota({ ...quota.options, limit, window: options }, labelColumns)
    assert(hasReset(changed), 'windows of these kinds reset')
    return changed
  } catch (error) {
    if (!(error instanceof QuotaError)) throw error
    throw new RequestError(
      400,
      'PARAMETER_INVALID',
      error.problems.map(({ path, message }) => `${path} ${message}`).join('; '),
    )
  }
}
