/** `GET /v1/forecasts/accuracy`: whether the forecasts of this very installation were right. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { type Lead, leadOf, type ScoredForecast, type Scores, scoresOf } from '../forecast/scoring.ts'
import { type Outcomes, readOutcomes } from '../tick/outcomes.ts'
import { quotaAsked, RequestError, tenantAsked } from './request-error.ts'
import { dimensionValue, instantOrAgo, orNull, quotaName } from './schema.ts'
import type { QuotaQueryDeps } from './subject-asked.ts'
import { parseInstant } from './times.ts'

const HOUR_MS = 3_600_000
/** Calls are logged when they end: a window that ended just now is not known yet. */
const SETTLE_MS = 10 * 60_000
/** Quotas that are scored when none is asked for, and windows that are read over all of them and of each one. */
const QUOTAS_MAX = 20
const WINDOWS_MAX = 120
const WINDOWS_PER_QUOTA_MAX = 48
/** Upper ends of the time left, by which scores are told apart. */
const HORIZONS_MS = [HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, Number.POSITIVE_INFINITY] as const
const FALSE_ALARM_SHARE = 0.1

const share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description })

const Query = Type.Object(
  {
    quota: Type.Optional(quotaName('Only of this quota.')),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    from: Type.Optional(instantOrAgo('Windows that ended after this', '-7d')),
    to: Type.Optional(Type.String({ maxLength: 64, description: 'Windows that ended by then, as `from`.' })),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { from: string }

const ScoresAnswer = Type.Object({
  forecasts: Type.Integer({ description: 'Forecasts that are scored: those of the twelfths of a window.' }),
  windows: Type.Integer({ description: 'Windows of subjects that they are about.' }),
  exhaustedShare: share('Of these forecasts, those after which the limit was reached before the reset.'),
  brier: Type.Number({ description: 'Mean squared error of the probability; 0 is perfect.' }),
  brierOfBaseRate: Type.Number({ description: 'What always answering `exhaustedShare` would score.' }),
  logLoss: Type.Number({ description: 'Mean −log of the probability of what happened, clipped at 0.005.' }),
  calibrationError: Type.Number({ description: 'Mean distance of `said` and `happened` over the reliability bins.' }),
  reliability: Type.Array(
    Type.Object({
      from: Type.Number(),
      to: Type.Number(),
      forecasts: Type.Integer(),
      said: orNull(Type.Number(), 'Mean probability.'),
      happened: orNull(Type.Number(), 'How often the limit was reached.'),
    }),
    { description: 'Ten bins of probability: a forecast can be trusted where `said` and `happened` are alike.' },
  ),
  coverage: Type.Object(
    {
      exhaustion: share('Instants of exhaustion, or of the reset when that came first.'),
      usage: orNull(Type.Number(), 'Use at the reset; null where it was not forecast.'),
    },
    { description: 'Share of the truths between p10 and p90; 0.8 is meant.' },
  ),
})
const LeadAnswer = Type.Object({
  falseAlarmShare: share('Windows that did not run out, in which an alert would have fired.'),
  threshold: share('Alert from this probability on.'),
  lead: Type.Number({
    description: 'Mean share of the window between alert and exhaustion; 0 for one that was missed.',
  }),
  early: share('Exhausted windows with an alert at least a tenth of the window ahead.'),
})
const Scored = Type.Object({
  scores: orNull(ScoresAnswer, 'Null while there is nothing to score.'),
  lead: orNull(LeadAnswer, 'Null unless some windows ran out and some did not.'),
})

const Answer = Type.Object({
  fromMs: Type.Integer({ description: 'Unix milliseconds.' }),
  toMs: Type.Integer({ description: 'Unix milliseconds; the last ten minutes are not known yet.' }),
  all: Scored,
  quotas: Type.Array(
    Type.Object({
      quota: Type.String(),
      subjects: Type.Integer({ description: 'Subjects that are scored, chosen by a hash where there are many.' }),
      subjectsInAll: Type.Integer({ description: 'Subjects with forecasts in this time.' }),
      ...Scored.properties,
      byHorizon: Type.Array(
        Type.Object({
          leftMsMax: orNull(Type.Integer(), 'Forecasts with at most this time left to the reset; null is any longer.'),
          scores: ScoresAnswer,
        }),
      ),
    }),
  ),
  quotasLeftOut: Type.Integer({ description: 'Further quotas, not scored: ask for them by name.' }),
})
export type AccuracyAnswer = Static<typeof Answer>

export function createAccuracyRoutes(deps: QuotaQueryDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/forecasts/accuracy',
      {
        schema: {
          summary: 'Accuracy of the forecasts',
          description:
            'Stored forecasts of windows that have ended, against what their subjects really asked for: the Brier ' +
            'score, log loss, reliability, coverage, and the warning that an alert with 10 % false alarms would have ' +
            'given. By quota and by the time that was left.',
          tags: ['forecasts'],
          querystring: Query,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: QuotaQueryDeps, query: Query, own: string | null): Promise<Static<typeof Answer>> {
  const { client } = deps
  const quotas = deps.quotas()
  const nowMs = deps.now()
  const fromMs = parseInstant('from', query.from, nowMs)
  const toMs = Math.min(nowMs - SETTLE_MS, query.to === undefined ? nowMs : parseInstant('to', query.to, nowMs))
  if (fromMs >= toMs) throw new RequestError(400, 'PARAMETER_INVALID', 'from: expected an instant before `to`')
  const tenant = tenantAsked(own, query.tenant)
  const asked =
    query.quota === undefined ? quotas : [quotaAsked(quotas, { name: query.quota, own, which: 'resetting' })]
  const some = asked.slice(0, QUOTAS_MAX)
  const windowsMax = Math.min(WINDOWS_PER_QUOTA_MAX, Math.floor(WINDOWS_MAX / Math.max(1, some.length)))
  const outcomes: { quota: string; outcomes: Outcomes }[] = []
  for (const quota of some) {
    const read = await readOutcomes(client, quota, { fromMs, toMs, windowsMax, tenant, nowMs })
    if (read.forecasts.length > 0) outcomes.push({ quota: quota.name, outcomes: read })
  }
  return {
    fromMs,
    toMs,
    all: toScored(outcomes.flatMap(({ quota, outcomes: { forecasts } }) => keyedBy(quota, forecasts))),
    quotas: outcomes.map(({ quota, outcomes: { forecasts, subjects, subjectsInAll } }) => ({
      quota,
      subjects,
      subjectsInAll,
      ...toScored(forecasts),
      byHorizon: byHorizon(forecasts),
    })),
    quotasLeftOut: asked.length - some.length,
  }
}

/** Two quotas may have the same subjects and windows. */
const keyedBy = (quota: string, forecasts: readonly ScoredForecast[]): ScoredForecast[] =>
  forecasts.map(one => ({ ...one, windowKey: `${quota} ${one.windowKey}` }))

const toScored = (forecasts: readonly ScoredForecast[]): { scores: Scores | null; lead: Lead | null } => ({
  scores: scoresOf(forecasts),
  lead: leadOf(forecasts, FALSE_ALARM_SHARE),
})

function byHorizon(forecasts: readonly ScoredForecast[]): { leftMsMax: number | null; scores: Scores }[] {
  const groups = Map.groupBy(forecasts, ({ asOfMs, windowEndMs }) =>
    HORIZONS_MS.find(leftMsMax => windowEndMs - asOfMs <= leftMsMax),
  )
  return HORIZONS_MS.flatMap(leftMsMax => {
    const scores = scoresOf(groups.get(leftMsMax) ?? [])
    return scores ? [{ leftMsMax: Number.isFinite(leftMsMax) ? leftMsMax : null, scores }] : []
  })
}
