/** Alerts of the whole product: from calls to a webhook, once, whatever dies meanwhile. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'

const TEST_MS = 180_000
const LIMIT = 20

let quotacast: Quotacast
const titles: string[] = []
const receiver = createServer((request, response) => {
  let body = ''
  request.on('data', chunk => {
    body += chunk
  })
  request.on('end', () => {
    const { type, data } = JSON.parse(body)
    titles.push(
      ...(type === 'quotacast.test' ? [data.title] : data.alerts.map(({ title }: { title: string }) => title)),
    )
    response.end()
  })
})

beforeAll(async () => {
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
  quotacast = await prepareQuotacast({
    analyzer: { tickSeconds: 1 },
    alerts: { channels: { ops: { kind: 'webhook', url } }, groupSeconds: 1 },
    quotas: [
      {
        ...{ name: 'calls', per: ['consumer'], unit: 'requests', limit: LIMIT },
        window: { kind: 'calendar', every: 'year' },
        alerts: { used: [0.8] },
      },
    ],
  })
  await quotacast.start()
  await quotacast.ready()
}, TEST_MS)
afterAll(async () => {
  await quotacast?.stop()
  quotacast?.remove()
  receiver.close()
}, TEST_MS)

const send = (consumer: string, calls: number) =>
  quotacast.post(
    'collector',
    '/v1/calls',
    Array.from({ length: calls }, (_, index) => ({
      ...{ requestId: `${consumer}-${titles.length}-${index}`, startedAtMs: Date.now() - 1, consumer, status: 200 },
    })),
  )
const toldOf = (consumer: string) => titles.filter(title => title.startsWith(consumer))
const wait = { timeout: 60_000 }

test('whoever is to be told is told of each share, and not again by an analyzer that was killed', {
  timeout: TEST_MS,
}, async () => {
  await send('web', 0.8 * LIMIT)
  await expect.poll(() => toldOf('web'), wait).toEqual(['web has used 80 % of calls'])
  await expect
    .poll(async () => (await quotacast.get('analyzer', '/v1/alerts')).body.alerts[0]?.untold, wait)
    .toEqual([])
  quotacast.kill('analyzer')
  await send('web', 0.2 * LIMIT)
  await send('app', LIMIT)
  await expect.poll(() => toldOf('web'), wait).toEqual(['web has used 80 % of calls', 'web has run out of calls'])
  await expect.poll(() => toldOf('app'), wait).toEqual(['app has run out of calls'])
})

test('the command line shows them, and tries a channel', { timeout: TEST_MS }, async () => {
  const { stdout } = await quotacast.cli(['alerts'])
  expect(
    stdout
      .trim()
      .split('\n')
      .map(line => line.replace(/^\S+ +/, ''))
      .toSorted(),
  ).toEqual(['app has run out of calls', 'web has run out of calls'])
  expect(await quotacast.cli(['alerts', '--test', 'ops'])).toMatchObject({
    code: 0,
    stdout: 'ops has accepted the message.\n',
  })
  expect(titles.at(-1)).toBe('Test: alerts of Quotacast arrive here')
  const unknown = await quotacast.cli(['alerts', '--test', 'nobody'])
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toContain('There is no channel nobody in alerts.channels')
})

test('each change is a row of the audit, in words', { timeout: TEST_MS }, async () => {
  const reasons = async () =>
    (
      await quotacast.query<{ reason: string }>("SELECT reason FROM audit WHERE kind = 'alert' ORDER BY at, version")
    ).map(({ reason }) => reason)
  await expect.poll(reasons, wait).toEqual(expect.arrayContaining(['web has used 80 % of calls.', 'Told ops.']))
})
