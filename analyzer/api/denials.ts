/** `GET /v1/denials`: what quotas refused lately, and whom. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { readDenials } from '../usage/denials.ts'
import { tenantAsked } from './request-error.ts'
import { dimensionValue, instantOrAgo, quotaName, SubjectAnswer, subjectQuery } from './schema.ts'
import { parseInstant } from './times.ts'

const ROWS_MAX = 500

const Query = Type.Object({
  quota: Type.Optional(quotaName('Only by this quota.')),
  tenant: Type.Optional(dimensionValue('Only of this tenant.')),
  consumer: Type.Optional(dimensionValue('Only of this consumer.')),
  from: Type.Optional(instantOrAgo('Since', '-1d')),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: ROWS_MAX, default: 100, description: 'Most rows, the newest.' }),
  ),
})
/** Other dimensions of the subject by name, beside what has a default and so is always there. */
type Query = Record<string, string> & Static<typeof Query> & { from: string; limit: number }

export const DenialAnswer = Type.Object({
  quota: Type.String(),
  subject: SubjectAnswer,
  unit: Type.String({ description: 'What the quota counts.' }),
  minuteMs: Type.Integer({ description: 'Begin of the minute, Unix milliseconds.' }),
  denied: Type.Integer({ description: 'Checks that were denied in this minute.' }),
  deniedCost: Type.Number({ description: 'Units that they asked for.' }),
})
export type DenialAnswer = Static<typeof DenialAnswer>

const Answer = Type.Object({ denials: Type.Array(DenialAnswer) })
export type DenialsAnswer = Static<typeof Answer>

export interface DenialsDeps {
  client: ClickHouseClient
  /** Configured labels that are columns. */
  labelColumns: readonly string[]
  principalOf: PrincipalOf
  now: () => number
}

export function createDenialRoutes({ client, labelColumns, principalOf, now }: DenialsDeps): Routes {
  const querystring = subjectQuery(labelColumns, Query.properties)
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/denials',
      {
        schema: {
          summary: 'Checks that were denied',
          description:
            'By minute, quota and subject, the newest first, some ten seconds late. Why a call is denied now is told by ' +
            '`GET /v1/explain` of the limiter.',
          ...{ tags: ['limits'], querystring, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      async request => {
        const { quota = null, tenant: named, consumer = null, from, limit, ...others } = request.query
        const tenant = tenantAsked(principalOf(request).tenant, named) ?? null
        const fromMs = parseInstant('from', from, now())
        const ask = { fromMs, quota, tenant, consumer, others: Object.entries(others) }
        return { denials: await readDenials(client, { ...ask, rowsMax: limit, rowsPerTenantMax: limit }) }
      },
    )
  }
}
