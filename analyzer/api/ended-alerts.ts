/** `GET /v1/alerts/ended`: what somebody should have known lately, and is over. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { Alert, readAlert } from '../alert/alert.ts'
import type { Alerting } from '../alert/alerting.ts'
import { title } from '../alert/words.ts'
import { type EndedAlertRow, readEndedAlerts } from '../usage/ended-alerts.ts'
import { tenantAsked } from './request-error.ts'
import { dimensionValue, instantOrAgo, quotaName } from './schema.ts'
import { parseInstant } from './times.ts'

const ROWS_MAX = 500

const Query = Type.Object(
  {
    quota: Type.Optional(quotaName('Only of this quota.')),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    from: Type.Optional(instantOrAgo('Ended since', '-1d')),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: ROWS_MAX, default: 100, description: 'Most to answer, the newest.' }),
    ),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { from: string; limit: number }

const EndedAlert = Type.Object({
  key: Type.String({ description: 'Names the alert in the audit.' }),
  title: Type.String({ description: 'In words, as it was told.' }),
  ...Type.Omit(Alert, ['endedAtMs', 'told', 'toldBefore', 'untold']).properties,
  endedAtMs: Type.Integer({ description: 'End. Unix milliseconds.' }),
  told: Type.Array(Type.String(), { description: 'Channels that were told of it; what was silenced was not.' }),
})

const Answer = Type.Object({ alerts: Type.Array(EndedAlert, { description: 'The newest first.' }) })
export type EndedAlertsAnswer = Static<typeof Answer>

export interface EndedAlertsDeps {
  client: ClickHouseClient
  alerting: Pick<Alerting, 'held'>
  principalOf: PrincipalOf
  now: () => number
}

export function createEndedAlertRoutes({ client, alerting, principalOf, now }: EndedAlertsDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/alerts/ended',
      {
        schema: {
          summary: 'Alerts that are over',
          description:
            'As the audit has them, some seconds late; of those that lasted longer than 30 days nothing is said. One of ' +
            'which a channel has yet to hear that it is over is still among `GET /v1/alerts`.',
          ...{ tags: ['alerts'], querystring: Query, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      async request => {
        const { quota = null, from, limit } = request.query
        const tenant = tenantAsked(principalOf(request).tenant, request.query.tenant) ?? null
        const ask = { fromMs: parseInstant('from', from, now()), quota, tenant, rowsMax: limit }
        const rows = await readEndedAlerts(client, ask)
        const held = alerting.held()
        return { alerts: rows.flatMap(row => toAnswer(row, held) ?? []) }
      },
    )
  }
}

function toAnswer({ key, value, closedAtMs, told }: EndedAlertRow, held: ReadonlyMap<string, Alert>) {
  const known = readAlert(JSON.parse(value))
  // A removal that lost against another change is in the audit, too.
  if (known === null || held.get(key)?.sinceMs === known.sinceMs) return null
  const { told: _told, toldBefore: _before, untold: _untold, ...alert } = known
  return {
    ...{ key, title: title({ ...alert, endedAtMs: null }) },
    ...alert,
    ...{ endedAtMs: alert.endedAtMs ?? closedAtMs, told },
  }
}
