/** `GET /v1/alerts`: what somebody should know now; and the channels by which they are told. */
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { Alert } from '../alert/alert.ts'
import type { Alerting } from '../alert/alerting.ts'
import { CHANNEL_KINDS } from '../alert/channel.ts'
import { urgencyOf } from '../alert/judging.ts'
import { title } from '../alert/words.ts'
import { CHANNEL_NAME } from '../policy/quota-options.ts'
import { NextCursor, pageOf, pageQuery, parseCursor } from './cursor.ts'
import { allTenantsAsked, RequestError, tenantAsked } from './request-error.ts'
import { dimensionValue, orNull, quotaName } from './schema.ts'

const Query = Type.Object(
  {
    quota: Type.Optional(quotaName('Only of this quota.')),
    tenant: Type.Optional(dimensionValue('Only of this tenant.')),
    ...pageQuery(),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { limit: number }

const AlertAnswer = Type.Object({
  key: Type.String({ description: 'Names the alert in the audit.' }),
  title: Type.String({ description: 'In words.' }),
  ...Alert.properties,
  isSilenced: Type.Boolean({ description: 'Nobody is told of it for now.' }),
  silencedUntilMs: orNull(
    Type.Integer(),
    'When the last of the silences ends that hold for it now, Unix milliseconds; null: none does.',
  ),
})

const Answer = Type.Object({
  isConfigured: Type.Boolean({ description: 'Whether there is somebody to tell; else no alert begins.' }),
  total: Type.Integer({ description: 'Alerts that there are in all.' }),
  exhausted: Type.Integer({ description: 'Of these, those of what is used up.' }),
  likely: Type.Integer({ description: 'Of these, those of what will probably be, before its reset.' }),
  untold: Type.Integer({ description: 'Of these, those that a channel has yet to accept, silenced ones among them.' }),
  alerts: Type.Array(AlertAnswer, { description: 'The worst first.' }),
  nextCursor: NextCursor,
})
export type AlertsAnswer = Static<typeof Answer>

const ChannelAnswer = Type.Object({
  name: Type.String(),
  kind: Type.Enum(CHANNEL_KINDS, { description: 'What it is; where it is may be a secret, and is not told.' }),
  toldAtMs: orNull(
    Type.Integer(),
    'When it accepted a message of this analyzer last, Unix milliseconds; null: not since its start.',
  ),
  failedAtMs: orNull(Type.Integer(), 'When it did not accept one last, Unix milliseconds; null: not since its start.'),
  failure: orNull(Type.String(), 'Why it did not accept the last one; null: it did, or there was none.'),
})
export type ChannelAnswer = Static<typeof ChannelAnswer>

const Params = Type.Object({ name: Type.String({ pattern: CHANNEL_NAME, description: 'Its name.' }) })

export interface AlertDeps {
  alerting: Alerting
  principalOf: PrincipalOf
}

export function createAlertRoutes({ alerting, principalOf }: AlertDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/alerts',
      {
        schema: {
          summary: 'What somebody should know',
          description:
            'Alerts: a share of a limit is used up, or a quota will probably run out before its reset. Kept where ' +
            '`alerts.channels` has somebody to tell. What begins and ends them is a row of the audit.',
          ...{ tags: ['alerts'], querystring: Query, response: { 200: Answer } },
        },
        config: { access: 'read' },
      },
      request => answer(alerting, request.query, principalOf(request).tenant),
    )
    server.get(
      '/v1/alerts/channels',
      {
        schema: {
          summary: 'Who is told',
          description: 'The channels of the config, and whether they accept what they are told.',
          ...{ tags: ['alerts'], response: { 200: Type.Array(ChannelAnswer) } },
        },
        config: { access: 'read' },
      },
      request => {
        allTenantsAsked(principalOf(request).tenant)
        return alerting.channels()
      },
    )
    server.post<{ Params: Static<typeof Params> }>(
      '/v1/alerts/channels/:name/test',
      {
        schema: {
          summary: 'Try a channel',
          description:
            'Sends a message without alerts. 404 when there is no such channel, 502 when it does not accept it.',
          ...{ tags: ['alerts'], params: Params, response: { 200: Type.Object({ name: Type.String() }) } },
        },
        config: { access: 'admin' },
      },
      async request => {
        const { name } = request.params
        allTenantsAsked(principalOf(request).tenant)
        if (!(await alerting.test(name)))
          throw new RequestError(404, 'NOT_FOUND', `There is no channel ${name} in alerts.channels.`)
        return { name }
      },
    )
  }
}

const isOn = ({ endedAtMs }: Alert): boolean => endedAtMs === null

/** Where an alert stands: the worst first, then the oldest. */
const placeOf = ([key, alert]: readonly [string, Alert]) => [-urgencyOf(alert), alert.sinceMs, key] as const
const FIRST: ReturnType<typeof placeOf> = [0, 0, '']

function answer(alerting: Alerting, query: Query, own: string | null): AlertsAnswer {
  const tenant = tenantAsked(own, query.tenant)
  const { quota, limit } = query
  const after = parseCursor(query.cursor, FIRST)
  const silencedUntil = alerting.silencedUntil()
  const wanted = [...alerting.held()]
    .filter(([, alert]) => tenant === undefined || alert.tenant === tenant)
    .filter(([, alert]) => quota === undefined || alert.quota === quota)
  const { page, nextCursor } = pageOf(wanted, placeOf, { after, limit })
  return {
    isConfigured: alerting.channels().length > 0,
    total: wanted.length,
    exhausted: wanted.filter(([, alert]) => isOn(alert) && alert.rule === 'used' && alert.level === 1).length,
    likely: wanted.filter(([, alert]) => isOn(alert) && alert.rule === 'exhaustion').length,
    untold: wanted.filter(([, { untold }]) => untold.length > 0).length,
    alerts: page.map(([key, alert]) => {
      const silencedUntilMs = silencedUntil(alert)
      return { key, title: title(alert), ...alert, isSilenced: silencedUntilMs !== null, silencedUntilMs }
    }),
    nextCursor,
  }
}
