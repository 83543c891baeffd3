/**
 * Alerts as JSON to an address, signed as in Standard Webhooks (standard-webhooks/standard-webhooks:spec/standard-webhooks.md):
 * `webhook-id`, `webhook-timestamp` in Unix seconds, and `webhook-signature`, HMAC-SHA256 over `id.timestamp.body`.
 */
import { createHmac } from 'node:crypto'
import Type, { type Static } from 'typebox'
import type { Channel, Message } from './channel.ts'
import { addressOf, post } from './post.ts'
import { details, headline, title } from './words.ts'

const SECRET_PREFIX = 'whsec_'

export const WebhookOptions = Type.Object(
  {
    kind: Type.Literal('webhook'),
    url: addressOf('Where the messages are sent by POST, as JSON.'),
    secret: Type.Optional(
      Type.String({
        pattern: `^${SECRET_PREFIX}[A-Za-z0-9+/]{32,}={0,2}$`,
        writeOnly: true,
        description:
          'Signs the messages as in Standard Webhooks: `whsec_` and at least 24 bytes in Base64. Make one with: ' +
          'echo whsec_$(openssl rand -base64 32)',
      }),
    ),
    headers: Type.Record(
      Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }),
      Type.String({ pattern: '^[\\t\\x20-\\x7e]*$', writeOnly: true }),
      {
        default: {},
        maxProperties: 20,
        description: 'Further headers: a token, or a login, which no address may have.',
      },
    ),
  },
  { additionalProperties: false, description: 'Any program that takes JSON over HTTP.' },
)

export function createWebhook(
  name: string,
  { url, secret, headers }: Static<typeof WebhookOptions>,
  currency: string,
): Channel {
  return {
    name,
    kind: 'webhook',
    async send(message, signal) {
      const body = JSON.stringify(toJson(message, currency))
      const seconds = String(Math.floor(message.sentAtMs / 1000))
      const signed = { 'webhook-id': message.id, 'webhook-timestamp': seconds }
      const signature =
        secret === undefined ? {} : { 'webhook-signature': `v1,${sign(secret, `${message.id}.${seconds}.${body}`)}` }
      await post(name, url, { body, headers: { ...headers, ...signed, ...signature }, signal })
    },
  }
}

const sign = (secret: string, text: string): string =>
  createHmac('sha256', Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64'))
    .update(text)
    .digest('base64')

function toJson(message: Message, currency: string) {
  return {
    type: message.notices.length === 0 ? 'quotacast.test' : 'quotacast.alerts',
    timestamp: new Date(message.sentAtMs).toISOString(),
    data: {
      title: headline(message),
      alerts: message.notices.map(notice => ({
        ...notice,
        state: notice.endedAtMs === null ? 'firing' : 'ended',
        title: title(notice),
        details: details(notice, currency),
      })),
    },
  }
}
