/** `GET /v1/calls`: the newest calls of one subject of a quota. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { narrowedTo, ofTenant } from '../policy/narrowing.ts'
import { matchSql, type Quota } from '../policy/quota.ts'
import { readRecentCalls } from '../usage/recent-calls.ts'
import { RequestError } from './request-error.ts'
import { orNull, quotaName, subjectQuery } from './schema.ts'

const DAY_MS = 86_400_000
const CALLS_MAX = 200

const Query = Type.Object({
  quota: quotaName('Name of the quota.'),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: CALLS_MAX, default: 50, description: 'Most calls.' })),
})
/** The subject's dimensions by name, beside what has a default and so is always there. */
type Query = Record<string, string> & { quota: string; limit: number }

const Answer = Type.Object({
  calls: Type.Array(
    Type.Object({
      startedAtMs: Type.Integer({ description: 'Unix milliseconds.' }),
      requestId: Type.String(),
      gateway: Type.String(),
      route: Type.String(),
      provider: Type.String(),
      model: Type.String(),
      status: orNull(Type.Integer(), 'As the client saw it.'),
      outcome: Type.String(),
      latencyMs: orNull(Type.Number(), 'As the client saw it, milliseconds.'),
      totalTokens: orNull(Type.Integer(), 'Input and output.'),
      costMicros: orNull(Type.Integer(), 'Millionths of the currency.'),
    }),
    { description: 'Of the last day, the newest first. Unknown text is empty.' },
  ),
})
export type CallsAnswer = Static<typeof Answer>

export interface CallsDeps {
  client: ClickHouseClient
  quotas: () => readonly Quota[]
  /** Configured labels that are columns. */
  labelColumns: readonly string[]
  principalOf: PrincipalOf
  now: () => number
}

export function createCallRoutes(deps: CallsDeps): Routes {
  const querystring = subjectQuery(deps.labelColumns, Query.properties)
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/calls',
      {
        schema: {
          summary: 'Newest calls of a subject',
          description:
            'Calls of the last day that a quota covers, one by one: `?quota=tokens-per-hour&tenant=acme&consumer=chat-app`.',
          ...{ tags: ['usage'], querystring, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: CallsDeps, query: Query, own: string | null): Promise<CallsAnswer> {
  const quota = deps.quotas().find(({ name }) => name === query.quota)
  if (quota === undefined) throw new RequestError(404, 'QUOTA_UNKNOWN', `There is no quota ${query.quota}.`)
  const alone = narrowedTo(
    quota,
    quota.per.map(({ name, field }) => ({ field, value: query[name] ?? '' })),
  )
  const visible = alone && own !== null ? ofTenant(alone, own) : alone
  if (!visible) return { calls: [] }
  const ask = { fromMs: deps.now() - DAY_MS, callsMax: query.limit }
  return { calls: await readRecentCalls(deps.client, matchSql(visible), ask) }
}
