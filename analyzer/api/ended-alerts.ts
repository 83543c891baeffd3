/** `GET /v1/alerts/ended`: what somebody should have known lately, and is over. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { Alert, readAlert } from '../alert/alert.ts'
import type { Alerting } from '../alert/alerting.ts'
import { title } from '../alert/words.ts'
import { type EndedAlertRow, readAlertEnds, readEndedAlerts } from '../usage/ended-alerts.ts'
import { NextCursor, pageQuery, parseCursor, toCursor } from './cursor.ts'
import { tenantAsked } from './request-error.ts'
import { dimensionValue, instantOrAgo, quotaName } from './schema.ts'
import { parseInstant } from './times.ts'

const Query = Type.Object(
  {
    quota: Type.Optional(quotaName('Only of this quota.')),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    from: Type.Optional(instantOrAgo('Ended since', '-1d')),
    ...pageQuery(),
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

const Answer = Type.Object({
  alerts: Type.Array(EndedAlert, { description: 'The newest first.' }),
  nextCursor: NextCursor,
})
export type EndedAlertsAnswer = Static<typeof Answer>

const FIRST: readonly [closedAtMs: number, key: string] = [0, '']

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
            'which a channel has yet to hear that it is over is still among `GET /v1/alerts`. A page may hold fewer than ' +
            '`limit`, and still not be the last one.',
          ...{ tags: ['alerts'], querystring: Query, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      async request => {
        const { quota = null, from, limit, cursor } = request.query
        const tenant = tenantAsked(principalOf(request).tenant, request.query.tenant) ?? null
        const fromMs = parseInstant('from', from, now())
        const place = parseCursor(cursor, FIRST)
        const after = place && { closedAtMs: place[0], key: place[1] }
        // One more says whether there are more.
        const ends = await readAlertEnds(client, { fromMs, quota, tenant, rowsMax: limit + 1, after })
        const rows = await readEndedAlerts(client, fromMs, ends.slice(0, limit))
        const last = ends.length > limit ? ends[limit - 1] : undefined
        const held = alerting.held()
        return {
          alerts: rows.flatMap(row => toAnswer(row, held) ?? []),
          nextCursor: last ? toCursor([last.closedAtMs, last.key]) : null,
        }
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
