/** Config of alerts: who can be told, and how often. */
import Type, { type Static } from 'typebox'
import { CHANNEL_NAME, CHANNELS_MAX, type QuotaOptions } from '../policy/quota-options.ts'
import type { Channel } from './channel.ts'
import { createEmail, EmailOptions } from './email.ts'
import { createSlack, SlackOptions } from './slack.ts'
import { createWebhook, WebhookOptions } from './webhook.ts'

const ChannelOptions = Type.Union([WebhookOptions, SlackOptions, EmailOptions])

export const AlertOptions = Type.Object(
  {
    channels: Type.Record(Type.String({ pattern: CHANNEL_NAME }), ChannelOptions, {
      default: {},
      maxProperties: CHANNELS_MAX,
      description: 'Who can be told, by names that quotas use. Without any, nobody is told.',
    }),
    groupSeconds: Type.Integer({
      default: 30,
      minimum: 1,
      maximum: 86_400,
      description: 'A channel gets at most one message in so long; what happens meanwhile comes in one.',
    }),
  },
  { additionalProperties: false, default: {}, description: 'Who is told that a quota will run out, or has.' },
)
export type AlertOptions = Static<typeof AlertOptions>

/** `currency` names that of costs. */
export const createChannels = ({ channels }: AlertOptions, currency: string): Channel[] =>
  Object.entries(channels).map(([name, options]) => createChannel(name, options, currency))

function createChannel(name: string, options: Static<typeof ChannelOptions>, currency: string): Channel {
  switch (options.kind) {
    case 'webhook':
      return createWebhook(name, options, currency)
    case 'slack':
      return createSlack(name, options, currency)
    case 'email':
      return createEmail(name, options, currency)
  }
}

/** Channels that the quota names and that are not configured. */
export const unknownChannels = ({ alerts }: Pick<QuotaOptions, 'alerts'>, known: ReadonlySet<string>): string[] =>
  (alerts.channels ?? []).filter(name => !known.has(name))
