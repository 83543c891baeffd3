/** `GET /v1/trends/performance`: whether routes, models and providers become slower, or fail more often. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { type Days, weeklyGrowth, weeklySlope } from '../forecast/trends.ts'
import { PERFORMANCE_COLUMNS, type Performance, type PerformanceColumn, readPerformance } from '../usage/performance.ts'
import { tenantAsked } from './request-error.ts'
import { dimensionValue, orNull } from './schema.ts'
import { ChangeAnswer, changesOf, factorChangesOf, GrowthAnswer } from './trend-schema.ts'

const DAY_MS = 86_400_000
/** Whole weeks, all of which `calls` still holds. */
const DAYS = 28
const VALUES_MAX = 100
/** Smaller changes of the share of errors are not reported. */
const SHARE_CHANGE_MIN = 0.01
/** The newest days: what they were like is what it is like at present. */
const RECENT_DAYS = 7

const Query = Type.Object(
  {
    by: Type.Optional(
      Type.Enum(PERFORMANCE_COLUMNS, { default: 'route', description: 'The dimension whose values are told apart.' }),
    ),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: VALUES_MAX, default: 20, description: 'Most values, the most called ones.' }),
    ),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { by: PerformanceColumn; limit: number }

const latency = (name: string) => orNull(GrowthAnswer, `Of the daily ${name}; null with less than two weeks.`)

const Answer = Type.Object({
  by: Type.Enum(PERFORMANCE_COLUMNS),
  fromMs: Type.Integer({ description: 'Begin of the first day, Unix milliseconds.' }),
  toMs: Type.Integer({ description: 'End of the last whole day, UTC, Unix milliseconds.' }),
  values: Type.Array(
    Type.Object({
      value: Type.String({ description: 'Unknown is an empty text.' }),
      calls: Type.Integer({ description: 'Calls in this time, without those that a limit refused.' }),
      latency: Type.Object({
        days: Type.Array(
          orNull(
            Type.Object({ p50: Type.Number(), p90: Type.Number(), p99: Type.Number() }),
            'Milliseconds; null for a day without a known latency.',
          ),
        ),
        growth: Type.Object({ p50: latency('median'), p90: latency('p90') }),
        changes: Type.Array(ChangeAnswer, { description: 'Days on which the level of the p90 changed, milliseconds.' }),
      }),
      errors: Type.Object({
        days: Type.Array(orNull(Type.Number(), 'Share of the calls that failed; null for a day without calls.')),
        recentShare: orNull(Type.Number(), 'The same of the last seven days.'),
        perWeek: orNull(
          Type.Object({ perWeek: Type.Number(), low: Type.Number(), high: Type.Number() }),
          'What is added to the share each week, and an interval that holds it nine times in ten.',
        ),
        changes: Type.Array(ChangeAnswer, { description: 'Days on which the level of the share changed.' }),
      }),
    }),
    { description: 'The most called first.' },
  ),
})

export interface PerformanceTrendDeps {
  client: ClickHouseClient
  principalOf: PrincipalOf
  now: () => number
}

export function createPerformanceTrendRoutes(deps: PerformanceTrendDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/trends/performance',
      {
        schema: {
          summary: 'Trends of latency and errors',
          description:
            'Latency and share of errors by day over the last four weeks, for the most called routes (models, ' +
            'providers, services, gateways): growth by the week and the days on which their level changed.',
          tags: ['trends'],
          querystring: Query,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: PerformanceTrendDeps, query: Query, own: string | null): Promise<Static<typeof Answer>> {
  const toMs = Math.floor(deps.now() / DAY_MS) * DAY_MS
  const fromMs = toMs - DAYS * DAY_MS
  const { by, limit: valuesMax } = query
  const ask = { by, fromMs, toMs, valuesMax, tenant: tenantAsked(own, query.tenant) }
  const values = await readPerformance(deps.client, ask)
  return { by, fromMs, toMs, values: values.map(one => toTrend(one, fromMs)) }
}

function toTrend({ value, calls, errors, latencyMs }: Performance, fromMs: number) {
  const level = (name: 'p50' | 'p90'): Days => latencyMs.map(day => day?.[name] ?? null)
  const shares = calls.map((count, day) => (count === 0 ? null : (errors[day] ?? 0) / count))
  const recentCalls = sumOf(calls.slice(-RECENT_DAYS))
  return {
    value,
    calls: sumOf(calls),
    latency: {
      days: latencyMs,
      growth: { p50: weeklyGrowth(level('p50')), p90: weeklyGrowth(level('p90')) },
      changes: factorChangesOf(level('p90'), fromMs),
    },
    errors: {
      days: shares,
      recentShare: recentCalls === 0 ? null : sumOf(errors.slice(-RECENT_DAYS)) / recentCalls,
      perWeek: weeklySlope(shares),
      changes: changesOf(shares, fromMs, SHARE_CHANGE_MIN),
    },
  }
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)
