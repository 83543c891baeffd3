/** Channels against real servers: HTTP, and SMTP. */
import { createHmac, randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import type { Message, Notice } from '../../../analyzer/alert/channel.ts'
import { createEmail } from '../../../analyzer/alert/email.ts'
import { createSlack } from '../../../analyzer/alert/slack.ts'
import { createWebhook } from '../../../analyzer/alert/webhook.ts'

const sentAtMs = Date.UTC(2026, 0, 5, 12)
const notice = (fields: Partial<Notice> = {}): Notice => ({
  ...{ id: 'n1', rule: 'exhaustion', quota: 'tokens', subject: { consumer: 'web' }, tenant: null, consumer: 'web' },
  ...{ level: 0.7, sinceMs: sentAtMs - 60_000, endedAtMs: null, unit: 'total_tokens', used: 78_370.4, limit: 300_000 },
  ...{ probability: 0.959, windowEndMs: sentAtMs + 3_600_000, confidence: 'low', why: 'Only 20 minutes of history.' },
  exhaustionAtMs: { p10: sentAtMs + 600_000, p50: sentAtMs + 1_200_000, p90: sentAtMs + 2_400_000 },
  asOfMs: sentAtMs,
  ...fields,
})
const message = (...notices: Notice[]): Message => ({ id: 'm1', sentAtMs, notices })
const never = new AbortController().signal

let closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.toReversed()) await close()
  closing = []
})

interface Arrived {
  headers: IncomingHttpHeaders
  body: string
}

/** Answers with the status, or never where that is 0. */
async function receiver(
  status = 204,
  headers: Record<string, string> = {},
): Promise<{ url: string; arrived: Arrived[] }> {
  const arrived: Arrived[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      arrived.push({ headers: request.headers, body })
      if (status === 0) return
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : headers).end('x'.repeat(100_000))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=s3cret`, arrived }
}

describe('a webhook', () => {
  test('is JSON, signed as in Standard Webhooks', async () => {
    const { url, arrived } = await receiver()
    const key = randomBytes(24)
    const options = {
      kind: 'webhook',
      url,
      secret: `whsec_${key.toString('base64')}`,
      headers: { 'x-team': 'edge' },
    } as const
    await createWebhook('ops', options, 'USD').send(message(notice(), notice({ id: 'n2', endedAtMs: sentAtMs })), never)
    const [{ headers, body }] = arrived as [Arrived]
    expect(headers).toMatchObject({
      ...{ 'content-type': 'application/json', 'x-team': 'edge' },
      ...{ 'webhook-id': 'm1', 'webhook-timestamp': String(sentAtMs / 1000) },
      'webhook-signature': `v1,${createHmac('sha256', key)
        .update(`m1.${sentAtMs / 1000}.${body}`)
        .digest('base64')}`,
    })
    expect(JSON.parse(body)).toMatchObject({
      type: 'quotacast.alerts',
      timestamp: '2026-01-05T12:00:00.000Z',
      data: {
        title: 'web will probably run out of tokens, and 1 more',
        alerts: [
          { id: 'n1', state: 'firing', quota: 'tokens', subject: { consumer: 'web' }, probability: 0.959 },
          { id: 'n2', state: 'ended', title: 'web will probably not run out of tokens any more' },
        ],
      },
    })
  })

  test('says in words what is known', async () => {
    const { url, arrived } = await receiver()
    const send = (one: Notice) =>
      createWebhook('ops', { kind: 'webhook', url, headers: {} }, 'EUR').send(message(one), never)
    await send(notice())
    await send(
      notice({ rule: 'used', level: 1, unit: 'cost', used: 12_345_678, limit: 12_000_000, confidence: 'normal' }),
    )
    await send(notice({ limit: null, probability: null, rule: 'used', level: 0.8, subject: {} }))
    await send(notice({ unit: 'cost', used: 4_200, limit: 5_000, probability: null, rule: 'used', level: 0.8 }))
    expect(
      arrived.map(({ body }) => JSON.parse(body).data.alerts[0]).map(({ title, details }) => [title, details]),
    ).toEqual([
      [
        'web will probably run out of tokens',
        'Used 78,370 of 300,000 total_tokens. The limit is reached before that with 95.9 %, as likely as not by 2026-01-05 12:20 UTC (between 2026-01-05 12:10 UTC and 2026-01-05 12:40 UTC). The window ends at 2026-01-05 13:00 UTC. Little is known: Only 20 minutes of history.',
      ],
      [
        'web has run out of tokens',
        'Used 12.35 of 12 EUR. The window ends at 2026-01-05 13:00 UTC. Only 20 minutes of history.',
      ],
      [
        'Everybody together has used 80 % of tokens',
        'Used 78,370 total_tokens. The window ends at 2026-01-05 13:00 UTC. Only 20 minutes of history.',
      ],
      [
        'web has used 80 % of tokens',
        'Used 0.0042 of 0.005 EUR. The window ends at 2026-01-05 13:00 UTC. Only 20 minutes of history.',
      ],
    ])
  })

  test('tells of a limit that was set to 0 meanwhile that nothing may be used, not that something is left', async () => {
    const { url, arrived } = await receiver()
    const ended = {
      limit: 0,
      probability: 1,
      endedAtMs: sentAtMs,
      confidence: 'normal',
      why: 'The limit is 0.',
    } as const
    const both = [notice(ended), notice({ ...ended, rule: 'used', level: 1 })]
    await createWebhook('ops', { kind: 'webhook', url, headers: {} }, 'USD').send(message(...both), never)
    const { alerts } = JSON.parse((arrived as [Arrived])[0].body).data
    for (const { title, details } of alerts) {
      expect(title).toBe('web is allowed none of tokens now')
      expect(details).toBe('Used 78,370 of 0 total_tokens. The window ends at 2026-01-05 13:00 UTC. The limit is 0.')
    }
  })

  test('cuts no name in the middle of a character', async () => {
    const { url, arrived } = await receiver()
    const long = notice({ subject: { consumer: `a${'\u{1f600}'.repeat(100)}` } })
    await createWebhook('ops', { kind: 'webhook', url, headers: {} }, 'USD').send(message(long), never)
    const { title } = JSON.parse((arrived as [Arrived])[0].body).data
    expect(title.isWellFormed()).toBe(true)
    expect(title).toContain('\u{1f600} will probably run out of tokens')
  })

  test.each([500, 404, 302])('is not accepted with %d, and the reason names no address', async status => {
    const { url, arrived } = await receiver(status)
    const send = createWebhook('ops', { kind: 'webhook', url, headers: {} }, 'USD').send(message(notice()), never)
    await expect(send).rejects.toThrow(`The channel ops did not accept the message: it answered ${status}.`)
    expect(arrived).toHaveLength(1)
  })

  test('says when a message is too large, and no other time', async () => {
    const failure = async (status: number) => {
      const { url } = await receiver(status)
      return createWebhook('ops', { kind: 'webhook', url, headers: {} }, 'USD')
        .send(message(), never)
        .catch(error => error)
    }
    expect(await failure(413)).toMatchObject({ message: expect.stringContaining('413'), isRefused: true })
    expect(await failure(400)).toMatchObject({ isRefused: true })
    expect(await failure(404)).toMatchObject({ isRefused: false })
  })

  test('says when it may be asked again, as far as the answer does', async () => {
    const retryAfterMs = async (said: string) => {
      const { url } = await receiver(429, { 'retry-after': said })
      const failure = await createSlack('chat', { kind: 'slack', url }, 'USD')
        .send(message(), never)
        .catch(error => error)
      return failure.retryAfterMs
    }
    expect(await retryAfterMs('17')).toBe(17_000)
    expect(await retryAfterMs('0.5')).toBe(500)
    const inAnHour = await retryAfterMs(new Date(Date.now() + 3_600_000).toUTCString())
    expect(inAnHour).toBeGreaterThan(3_500_000)
    expect(inAnHour).toBeLessThanOrEqual(3_600_000)
    for (const nothing of ['', 'soon', '-5', 'Tue, 21 Jul 2020 08:00:17 GMT'])
      expect(await retryAfterMs(nothing)).toBe(0)
  })

  test('is given up when nobody answers, and where nobody is', async () => {
    const { url } = await receiver(0)
    const options = { kind: 'webhook', url, headers: {} } as const
    await expect(createWebhook('ops', options, 'USD').send(message(), AbortSignal.timeout(100))).rejects.toThrow(
      'it did not answer in time',
    )
    const gone = { ...options, url: 'http://127.0.0.1:9/?token=s3cret' }
    const failure = await createWebhook('ops', gone, 'USD').send(message(), never).catch(String)
    expect(failure).toContain('cannot be reached')
    expect(failure).not.toContain('s3cret')
  })
})

describe('a chat', () => {
  test('takes no name for a mention, a link, or a format, and counts what is too much', async () => {
    const { url, arrived } = await receiver(200)
    const hostile = notice({ subject: { consumer: '<!channel> *now* <http://x|y>\n:fire: \u202eevil' } })
    await createSlack('chat', { kind: 'slack', url }, 'USD').send(message(hostile, ...Array(30).fill(notice())), never)
    const { text } = JSON.parse((arrived as [Arrived])[0].body)
    const [first, ...lines] = text.split('\n')
    expect(first).toBe(
      ':warning: *&lt;!channel&gt; *\u200bnow*\u200b &lt;http://x|y&gt;\ufffd:fire: \ufffdevil will probably run out of tokens*',
    )
    expect(lines.at(-1)).toBe('… and 11 more.')
  })

  test('at Discord, which refuses a longer text, takes no more than that shows', async () => {
    const { url, arrived } = await receiver(200)
    const discord = url.replace('/hook?', '/api/webhooks/1/s3cret/slack?')
    const long = notice({ subject: { consumer: '&'.repeat(80), model: '&'.repeat(80), route: '&'.repeat(80) } })
    const chat = createSlack('chat', { kind: 'slack', url: discord }, 'USD')
    for (const notices of [Array(100).fill(notice()), Array(3).fill(long), [{ ...long, why: 'x'.repeat(9_000) }]]) {
      await chat.send(message(...notices), never)
    }
    const texts: string[] = arrived.map(({ body }) => JSON.parse(body).text)
    for (const text of texts) expect(text.length).toBeLessThanOrEqual(2_000)
    expect(texts.map(text => text.split(':warning:').length - 1)).toEqual([6, 1, 1])
    expect(texts.map(text => text.split('\n').at(-1)).slice(0, 2)).toEqual(['… and 94 more.', '… and 2 more.'])
  })
})

describe('a mail', () => {
  interface Mail {
    from: string
    to: string[]
    isSecure: boolean
    user: string | undefined
    text: string
  }

  async function mailServer(options: SMTPServerOptions): Promise<{ port: number; mails: Mail[] }> {
    const mails: Mail[] = []
    const server = new SMTPServer({
      ...{ authOptional: true, logger: false },
      onAuth: ({ username, password }, _session, callback) =>
        password === 'right' ? callback(null, { user: username }) : callback(new Error('Invalid password')),
      onData(stream, { envelope, secure, user }, callback) {
        let text = ''
        stream.on('data', chunk => {
          text += chunk
        })
        stream.on('end', () => {
          const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
          const to = envelope.rcptTo.map(({ address }) => address)
          mails.push({ from, to, isSecure: secure, user: user as string | undefined, text })
          callback()
        })
      },
      ...options,
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
    closing.push(() => new Promise<void>(resolve => server.close(() => resolve())))
    return { port: (server.server.address() as AddressInfo).port, mails }
  }
  const optionsFor = (port: number) => ({
    ...{ kind: 'email' as const, host: '127.0.0.1', port, from: 'quotacast@example.com' },
    to: ['a@example.com', 'b@example.com'],
  })

  test('has a subject of one line, and all alerts in words', async () => {
    const { port, mails } = await mailServer({ disabledCommands: ['STARTTLS'] })
    const options = { ...optionsFor(port), security: 'none' as const, user: 'bot', password: 'right' }
    const hostile = notice({ subject: { consumer: 'web\r\nBcc: everybody@example.com' } })
    await createEmail('mail', options, 'USD').send(message(hostile, notice()), never)
    const [mail] = mails as [Mail]
    expect(mail).toMatchObject({ from: 'quotacast@example.com', to: ['a@example.com', 'b@example.com'], user: 'bot' })
    const [head = '', ...rest] = mail.text.split('\r\n\r\n')
    expect(head).toContain('Message-ID: <m1@quotacast>')
    expect(head).not.toMatch(/^Bcc:/m)
    expect(rest.join('\n')).toContain('web will probably run out of tokens')
  })

  test('is not sent in the clear unless that is said', async () => {
    const { port, mails } = await mailServer({ disabledCommands: ['STARTTLS'] })
    const options = { ...optionsFor(port), security: 'starttls' as const }
    await expect(createEmail('mail', options, 'USD').send(message(), never)).rejects.toThrow('did not accept')
    expect(mails).toEqual([])
  })

  test('is not sent to a server that nobody vouches for', async () => {
    const { port, mails } = await mailServer({})
    const options = { ...optionsFor(port), security: 'starttls' as const }
    await expect(createEmail('mail', options, 'USD').send(message(), never)).rejects.toThrow('did not accept')
    expect(mails).toEqual([])
  })

  test('says why it was not accepted, without the password', async () => {
    const { port } = await mailServer({ disabledCommands: ['STARTTLS'] })
    const options = { ...optionsFor(port), security: 'none' as const, user: 'bot', password: 'wrong-s3cret' }
    await expect(createEmail('mail', options, 'USD').send(message(), never)).rejects.toThrow(
      'The channel mail did not accept the message: it answered 535.',
    )
    const gone = { ...optionsFor(9), security: 'none' as const }
    await expect(createEmail('mail', gone, 'USD').send(message(), never)).rejects.toThrow('it cannot be reached (E')
  })
})
