/** `POST /v1/forecasts/what-if`: the same subject under another limit, another window, or with more to do. */
import assert from 'node:assert/strict'
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { limitBeforeGrowth, toGrown } from '../forecast/growth.ts'
import { UNSAID_LIMIT } from '../forecast/passing.ts'
import { parseQuota, QuotaError } from '../policy/quota.ts'
import { type AllowedOf, allowedBy, underLimit, withLimits } from '../tick/allowed.ts'
import { type FollowedQuota, isFollowed } from '../tick/followed-quota.ts'
import { forecastOne } from '../tick/one-subject.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import { isResetting } from '../usage/window.ts'
import { WindowOptions } from '../usage/window-options.ts'
import { ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { quotaAsked, RequestError } from './request-error.ts'
import { dimensionValue, quotaName } from './schema.ts'
import { type SubjectQueryDeps, subjectAsked, visibleForecast } from './subject-asked.ts'

const GROWTH_MAX = 1_000

const Body = Type.Object(
  {
    quota: quotaName('Name of the quota.'),
    subject: Type.Record(Type.String(), dimensionValue('Unknown is an empty text.'), {
      description: "A value for each dimension of the quota's `per`, as in a forecast.",
    }),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Another limit.' })),
    window: Type.Optional(
      Type.Union(WindowOptions.anyOf, {
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
export type WhatIfAnswer = Static<typeof Answer>

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
  const policy = deps.policy()
  const quota = quotaAsked(policy.quotas.filter(isFollowed), { name: body.quota, own, which: 'forecast' })
  const changed = changedQuota(quota, body, deps.labelColumns)
  const one = await subjectAsked(deps, quota, body.subject, { nowMs })
  const allowed = allowedBy(policy)
  const { forecast } = visibleForecast(quota, forecastOne(one, { nowMs, allowedOf: allowed }), own)
  const other =
    body.window === undefined ? one : await subjectAsked(deps, changed, body.subject, { nowMs, isKnown: true })
  const { limit, growth = 1 } = body
  const allowedOf = limit === undefined ? allowed : underLimit(allowed, limit)
  const forecastUnder = (under: AllowedOf) =>
    visibleForecast(quota, forecastOne(other, { nowMs, allowedOf: under, growth }), own).forecast
  const plain = forecastUnder(allowedOf)
  const whatIf = growth === 1 || !isResetting(changed.window) ? plain : grownBy(growth, plain, allowedOf, forecastUnder)
  const answered = { snapshot: deps.snapshot(), policy, nowMs, own }
  return { now: toForecastAnswer(forecast, answered), whatIf: toForecastAnswer(whatIf, answered) }
}

/** The forecast of demand that grows, from that of demand as it is (`plain`) under limits that are smaller instead. */
function grownBy(
  growth: number,
  plain: SubjectForecast,
  allowedOf: AllowedOf,
  forecastUnder: (allowedOf: AllowedOf) => SubjectForecast,
): SubjectForecast {
  const { used, limit, limitChanges } = plain
  // Of a limit that nobody has said nothing is left, whatever is used.
  if (limit === null) return { ...toGrown(plain, { used, limit: UNSAID_LIMIT, growth }), headroom: null }
  const under = withLimits(allowedOf, each => limitBeforeGrowth({ used, limit: each, growth }))
  const limitAtReset = limitChanges.at(-1)?.limit ?? limit
  return { ...toGrown(forecastUnder(under), { used, limit, limitAtReset, growth }), limit, limitChanges }
}

/** The quota as it would be. Throws `RequestError` (400) for a window that cannot be. */
function changedQuota(quota: FollowedQuota, { window }: Body, labelColumns: readonly string[]): FollowedQuota {
  if (window === undefined) return quota
  try {
    const changed = parseQuota({ ...quota.options, window, enforcement: 'shadow' }, labelColumns)
    assert(isFollowed(changed), 'what is counted in a window is followed')
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
