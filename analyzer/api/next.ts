/** `GET /v1/forecasts/next`: all subjects in the order in which they run out, any part of the list at once. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { isExhausted } from '../forecast/exhausted.ts'
import { hasReset } from '../tick/followed-quota.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import type { ForecastDeps } from './forecasts.ts'
import { tenantAsked } from './request-error.ts'
import { dimensionValue, orNull, quotaName } from './schema.ts'

const ROWS_MAX = 200
/** More likely than not. */
const LIKELY = 0.5

/** Each answers how far one comes before another. */
const ORDERS = {
  risk: (one: SubjectForecast, other: SubjectForecast) =>
    rankOf(one) - rankOf(other) || soonest(one) - soonest(other) || likelihood(other) - likelihood(one),
  used: (one: SubjectForecast, other: SubjectForecast) => usedShare(other) - usedShare(one),
  reset: (one: SubjectForecast, other: SubjectForecast) => one.windowEndMs - other.windowEndMs,
} as const
const ORDER_NAMES = ['risk', 'used', 'reset'] as const
type Order = (typeof ORDER_NAMES)[number]

const Query = Type.Object(
  {
    quota: Type.Optional(quotaName('Only of this quota.')),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    search: Type.Optional(dimensionValue("Only where the quota's name or a dimension's value contains this text.")),
    atRisk: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Only with at least this probability of exhaustion.' }),
    ),
    order: Type.Optional(
      Type.Enum(ORDER_NAMES, {
        default: 'risk',
        description:
          '`risk`: what is used up, what is more likely than not to run out (soonest first), the others by probability. ' +
          '`used`: by the share of the limit that is used. `reset`: by the time of the reset.',
      }),
    ),
    offset: Type.Optional(Type.Integer({ minimum: 0, default: 0, description: 'Forecasts to pass over.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: ROWS_MAX, default: 50, description: 'Most to answer.' })),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { order: Order; offset: number; limit: number }

const Answer = Type.Object({
  asOfMs: orNull(Type.Integer(), 'When the analyzer last looked, Unix milliseconds; null before it ever did.'),
  total: Type.Integer({ description: 'Forecasts that there are in all.' }),
  exhausted: Type.Integer({ description: 'Of these, those whose limit is reached.' }),
  likely: Type.Integer({ description: 'Of the others, those that are more likely than not to reach it.' }),
  quotas: Type.Array(Type.String(), { description: 'Names of the quotas of which the caller may see a forecast.' }),
  resetting: Type.Array(Type.String(), {
    description: 'Of these, those whose windows reset: trends and unusual activity are told of them.',
  }),
  forecasts: Type.Array(ForecastAnswer),
})
export type NextAnswer = Static<typeof Answer>

export function createNextRoutes(deps: ForecastDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/forecasts/next',
      {
        schema: {
          summary: 'What runs out next',
          description:
            'Forecasts in the order of what is urgent, any part of the list at once. The order is that of the last tick: ' +
            'to read all of them, use `GET /v1/forecasts`, whose pages stay stable.',
          ...{ tags: ['forecasts'], querystring: Query, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

function answer(deps: ForecastDeps, query: Query, own: string | null): Static<typeof Answer> {
  const answering = { snapshot: deps.snapshot(), policy: deps.policy(), nowMs: deps.now(), own }
  const { snapshot } = answering
  const tenant = tenantAsked(own, query.tenant)
  const { order, offset, limit } = query
  const seen = inOrder(snapshot, order).filter(forecast => own === null || forecast.tenant === own)
  const wanted = seen.filter(forecast => isWanted(forecast, { ...query, tenant }))
  const page = wanted.slice(offset, offset + limit)
  const quotas = [...new Set(seen.map(({ quota }) => quota))].sort()
  const isResetting = (name: string) => {
    const quota = answering.policy.byName.get(name)
    return quota !== undefined && hasReset(quota)
  }
  return {
    asOfMs: snapshot.asOfMs,
    total: wanted.length,
    exhausted: wanted.filter(isExhausted).length,
    likely: wanted.filter(forecast => !isExhausted(forecast) && isLikely(forecast)).length,
    quotas,
    resetting: quotas.filter(isResetting),
    forecasts: page.map(forecast => toForecastAnswer(forecast, answering)),
  }
}

/** By the forecasts of a tick and the order: whoever looks asks again and again, and the order lasts for a tick. */
const sorted = new WeakMap<Snapshot['forecasts'], Partial<Record<Order, readonly SubjectForecast[]>>>()

function inOrder({ forecasts, others }: Snapshot, order: Order): readonly SubjectForecast[] {
  const known = sorted.get(forecasts) ?? {}
  sorted.set(forecasts, known)
  known[order] ??= [...forecasts, ...others].sort(ORDERS[order])
  return known[order]
}

function isWanted(
  forecast: SubjectForecast,
  { quota, tenant, search, atRisk }: Pick<Query, 'quota' | 'search' | 'atRisk'> & { tenant: string | undefined },
): boolean {
  if (quota !== undefined && forecast.quota !== quota) return false
  if (tenant !== undefined && forecast.tenant !== tenant) return false
  if (atRisk !== undefined && (forecast.probability === null || forecast.probability < atRisk)) return false
  if (search === undefined || search === '') return true
  const text = search.toLowerCase()
  return [forecast.quota, ...Object.values(forecast.subject)].some(value => value.toLowerCase().includes(text))
}

const likelihood = ({ probability }: SubjectForecast): number => probability ?? -1
const isLikely = (forecast: SubjectForecast): boolean => likelihood(forecast) >= LIKELY
const usedShare = ({ used, limit }: SubjectForecast): number =>
  limit === null ? 0 : limit > 0 ? used / limit : Number.MAX_VALUE

const rankOf = (forecast: SubjectForecast): number => (isExhausted(forecast) ? 0 : isLikely(forecast) ? 1 : 2)

/** Only among those that will likely run out: for the others an instant is not what matters. */
const soonest = (forecast: SubjectForecast): number =>
  rankOf(forecast) === 1 ? (forecast.exhaustionAtMs.p50 ?? forecast.windowEndMs) : 0
