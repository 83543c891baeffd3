/** `GET /v1/status` of the analyzer: how fresh its forecasts are, and who is most at risk. */
import Type, { type Static, type TSchema } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Policy } from '../policy/policy.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { type Answering, dataAgeMs, ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { orNull } from './schema.ts'

/** Subjects that the status names. */
const AT_RISK_MAX = 10

const forAllTenants = <T extends TSchema>(schema: T, description: string) =>
  orNull(schema, `${description} Null for callers of one tenant.`)

export const AnalyzerStatus = Type.Object({
  role: Type.Literal('analyzer'),
  asOfMs: orNull(Type.Integer(), 'When the last complete tick looked, Unix milliseconds.'),
  dataAgeMs: orNull(Type.Number(), 'Age of the newest call in the store, milliseconds.'),
  tickMs: Type.Number({ description: 'How long the last complete tick took.' }),
  forecastsMade: forAllTenants(Type.Integer(), 'Forecasts that it made; the others were still good.'),
  subjects: Type.Integer({ description: 'Subjects that this analyzer follows, over all quotas.' }),
  subjectsCut: forAllTenants(Type.Integer(), 'Subjects that are not followed because there are too many.'),
  quotasFailed: Type.Array(Type.Object({ quota: Type.String(), reason: Type.String() }), {
    description: 'Quotas that could not be read when that was tried last; only for callers who see all tenants.',
  }),
  skipped: orNull(Type.String(), 'Why the last tick was not done.'),
  atRisk: Type.Array(ForecastAnswer, {
    description: `The ${AT_RISK_MAX} subjects with the highest probability of exhaustion.`,
  }),
})
export type AnalyzerStatus = Static<typeof AnalyzerStatus>

export interface StatusDeps {
  snapshot: () => Snapshot
  policy: () => Policy
  principalOf: PrincipalOf
  now: () => number
}

export function createStatusRoutes({ snapshot, policy, principalOf, now }: StatusDeps): Routes {
  return server => {
    server.get(
      '/v1/status',
      {
        schema: {
          summary: 'State of the analyzer',
          description: 'Freshness of the forecasts, what the last tick cost, and the subjects most at risk.',
          tags: ['status'],
          response: { 200: AnalyzerStatus },
        },
        config: { access: 'read' },
      },
      request => toStatus({ snapshot: snapshot(), policy: policy(), nowMs: now(), own: principalOf(request).tenant }),
    )
  }
}

/** The status as the caller may see it. */
export function toStatus(answering: Answering): AnalyzerStatus {
  const { snapshot, nowMs, own: tenant } = answering
  const seesAll = tenant === null
  const isSeen = (forecast: SubjectForecast) => seesAll || forecast.tenant === tenant
  const seen = snapshot.forecasts.filter(isSeen)
  return {
    role: 'analyzer',
    asOfMs: snapshot.asOfMs,
    dataAgeMs: dataAgeMs(snapshot, nowMs),
    tickMs: snapshot.tickMs,
    forecastsMade: seesAll ? snapshot.forecastsMade : null,
    subjects: seen.length,
    subjectsCut: seesAll ? snapshot.subjectsCut : null,
    quotasFailed: seesAll ? [...snapshot.quotasFailed] : [],
    skipped: snapshot.skipped,
    atRisk: [...seen, ...snapshot.others.filter(isSeen)]
      .filter(({ probability }) => probability !== null)
      .sort((a, b) => (b.probability ?? 0) - (a.probability ?? 0))
      .slice(0, AT_RISK_MAX)
      .map(forecast => toForecastAnswer(forecast, answering)),
  }
}
