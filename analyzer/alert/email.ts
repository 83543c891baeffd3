/** Alerts by mail, through an SMTP server. */
import { once } from 'node:events'
import { createTransport } from 'nodemailer'
import Type, { type Static } from 'typebox'
import { type Channel, ChannelError, type Message } from './channel.ts'
import { details, headline, title } from './words.ts'

const RECIPIENTS_MAX = 50
const ADDRESS = '^[^\\s<>",;]+@[^\\s<>",;]+$'
/** For the connection, the greeting, and each answer. */
const WAIT_MS_MAX = 10_000

export const EmailOptions = Type.Object(
  {
    kind: Type.Literal('email'),
    host: Type.String({ minLength: 1, maxLength: 253, description: 'The SMTP server.' }),
    port: Type.Integer({ default: 587, minimum: 1, maximum: 65_535, description: 'Its port.' }),
    security: Type.Enum(['starttls', 'tls', 'none'], {
      default: 'starttls',
      description:
        '`starttls`: the connection is encrypted after its begin, or nothing is sent; `tls`: from its begin (port 465); ' +
        '`none`: in the clear, for a server on this machine. Authorities beside those of Node come by NODE_EXTRA_CA_CERTS.',
    }),
    user: Type.Optional(
      Type.String({ minLength: 1, maxLength: 256, description: 'Who logs in; absent: nobody does.' }),
    ),
    password: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1_024, writeOnly: true, description: 'Password of that user.' }),
    ),
    from: Type.String({ pattern: ADDRESS, maxLength: 320, description: 'Address of the sender.' }),
    to: Type.Array(Type.String({ pattern: ADDRESS, maxLength: 320 }), {
      minItems: 1,
      maxItems: RECIPIENTS_MAX,
      description: 'Addresses of those who are told.',
    }),
  },
  { additionalProperties: false, description: 'People, by mail.' },
)

export function createEmail(name: string, options: Static<typeof EmailOptions>, currency: string): Channel {
  const { host, port, security, user, password, from, to } = options
  const transport = createTransport({
    ...{ host, port, secure: security === 'tls', requireTLS: security === 'starttls', ignoreTLS: security === 'none' },
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    ...{ connectionTimeout: WAIT_MS_MAX, greetingTimeout: WAIT_MS_MAX, socketTimeout: WAIT_MS_MAX },
    // Names come from callers.
    ...{ disableFileAccess: true, disableUrlAccess: true },
  })
  return {
    name,
    kind: 'email',
    async send(message, signal) {
      const aborted = once(signal, 'abort').then(() => Promise.reject(new Error('it did not answer in time')))
      const mail = { messageId: `<${message.id}@quotacast>`, subject: `[Quotacast] ${headline(message)}` }
      try {
        await Promise.race([transport.sendMail({ ...mail, from, to, text: toText(message, currency) }), aborted])
      } catch (error) {
        throw new ChannelError(name, reasonOf(error), { cause: error })
      }
    },
  }
}

function toText(message: Message, currency: string): string {
  if (message.notices.length === 0) return headline(message)
  return message.notices.map(notice => `${title(notice)}\n${details(notice, currency)}\n`).join('\n')
}

/** What the server or the network said; nodemailer's errors carry the one or the other. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('responseCode' in error && typeof error.responseCode === 'number') return `it answered ${error.responseCode}`
  return 'code' in error ? `it cannot be reached (${error.code})` : error.message
}
