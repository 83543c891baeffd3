/** Alerts in a chat that takes Slack's incoming webhooks: Slack, Mattermost, Rocket.Chat, Discord with `/slack` at the end. */
import Type, { type Static } from 'typebox'
import type { Channel, Message } from './channel.ts'
import { addressOf, post } from './post.ts'
import { details, headline, title } from './words.ts'

/** Slack shows no more than about 40,000 characters; further alerts are only counted. */
const NOTICES_MAX = 20
/** Discord refuses a text that is longer, however often it is sent. */
const DISCORD_CHARACTERS_MAX = 2_000
const DISCORD_URL = /\/slack(\?|$)/
/** Of the line that counts the others. */
const MORE_CHARACTERS_MAX = 40

export const SlackOptions = Type.Object(
  { kind: Type.Literal('slack'), url: addressOf('The incoming webhook that the chat has made.') },
  { additionalProperties: false, description: 'A chat that takes incoming webhooks as Slack does.' },
)

export function createSlack(name: string, { url }: Static<typeof SlackOptions>, currency: string): Channel {
  const charactersMax = DISCORD_URL.test(url) ? DISCORD_CHARACTERS_MAX : Number.POSITIVE_INFINITY
  return {
    name,
    kind: 'slack',
    send: (message, signal) =>
      post(name, url, {
        body: JSON.stringify({ text: toText(message, currency, charactersMax) }),
        headers: {},
        signal,
      }),
  }
}

function toText(message: Message, currency: string, charactersMax: number): string {
  const { notices } = message
  if (notices.length === 0) return plain(headline(message))
  const shown: string[] = []
  let left = charactersMax - MORE_CHARACTERS_MAX
  for (const notice of notices.slice(0, NOTICES_MAX)) {
    const mark = notice.endedAtMs === null ? ':warning:' : ':white_check_mark:'
    const text = `${mark} *${plain(title(notice))}*\n${plain(details(notice, currency))}`
    if (text.length > left && shown.length > 0) break
    shown.push(text.slice(0, left).toWellFormed())
    left -= text.length + 1
  }
  const hidden = notices.length - shown.length
  return [...shown, hidden === 0 ? [] : `… and ${hidden} more.`].flat().join('\n')
}

/** Names come from callers, who must not mention everybody or place links. */
const plain = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[*_~`]/g, mark => `${mark}\u200b`)
