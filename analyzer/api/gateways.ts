/** `GET /v1/gateways`: who sends calls, and whether they still come. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { type GatewayActivity, readGateways } from '../usage/gateways.ts'
import { NextCursor, pageOf, pageQuery, parseCursor } from './cursor.ts'
import { tenantAsked } from './request-error.ts'

const HOUR_MS = 3_600_000
const HOURS = 24
const Query = Type.Object(pageQuery(), { additionalProperties: false })
/** What has a default is always there. */
type Query = Static<typeof Query> & { limit: number }

const Answer = Type.Object({
  fromMs: Type.Integer({ description: 'Begin of the first hour, Unix milliseconds.' }),
  gateways: Type.Array(
    Type.Object({
      gateway: Type.String({ description: 'Empty where its logs do not say it.' }),
      dialect: Type.String(),
      calls: Type.Array(Type.Integer(), {
        description: `Calls that arrived, by hour: ${HOURS} whole and the present one.`,
      }),
      errors: Type.Integer({ description: 'Of these, those that the client or the server failed.' }),
      refused: Type.Integer({ description: "Those that a limit refused, or for which the provider's quota was gone." }),
      lastArrivedAtMs: Type.Integer({ description: 'When the newest arrived, Unix milliseconds.' }),
    }),
    { description: 'In the order of their names.' },
  ),
  nextCursor: NextCursor,
})
export type GatewaysAnswer = Static<typeof Answer>

const placeOf = ({ gateway, dialect }: GatewayActivity) => [gateway, dialect] as const
const FIRST: ReturnType<typeof placeOf> = ['', '']

export interface GatewaysDeps {
  client: ClickHouseClient
  principalOf: PrincipalOf
  now: () => number
}

export function createGatewayRoutes({ client, principalOf, now }: GatewaysDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/gateways',
      {
        schema: {
          summary: 'Gateways that send calls',
          description: 'What arrived from each of them in the last day, by the hour, and when the last call came.',
          ...{ tags: ['usage'], querystring: Query, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      async request => {
        const tenant = tenantAsked(principalOf(request).tenant, undefined)
        const toMs = Math.ceil(now() / HOUR_MS) * HOUR_MS
        const fromMs = toMs - (HOURS + 1) * HOUR_MS
        const { limit, cursor } = request.query
        const after = parseCursor(cursor, FIRST)
        const found = await readGateways(client, { fromMs, toMs, tenant })
        const { page, nextCursor } = pageOf(found, placeOf, { after, limit })
        return { fromMs, gateways: page, nextCursor }
      },
    )
  }
}
