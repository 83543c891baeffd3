import type { FastifyInstance } from 'fastify'
import { beforeAll, expect, test } from 'vitest'
import type { Alert } from '../../../analyzer/alert/alert.ts'
import type { Alerting } from '../../../analyzer/alert/alerting.ts'
import { ChannelError } from '../../../analyzer/alert/channel.ts'
import type { ChannelStatus } from '../../../analyzer/alert/telling.ts'
import { type AlertsAnswer, createAlertRoutes } from '../../../analyzer/api/alerts.ts'
import { principalOf, testServer } from './server.ts'

const alert = (tenant: string, fields: Partial<Alert> = {}): Alert => ({
  ...{ rule: 'used', quota: 'q', subject: { tenant }, tenant, consumer: null, level: 1, sinceMs: 1, endedAtMs: null },
  ...{ unit: 'requests', used: 5, limit: 5, probability: 1, windowEndMs: 9, confidence: 'normal', why: '', asOfMs: 1 },
  ...{ exhaustionAtMs: { p10: 1, p50: 1, p90: 1 }, untold: [] },
  ...fields,
})

const ops: ChannelStatus = { name: 'ops', kind: 'webhook', toldAtMs: 7, failedAtMs: 5, failure: null }
let channels = [ops]

const alerting: Alerting = {
  held: () =>
    new Map([
      ['q:1:exhaustion', alert('acme', { rule: 'exhaustion', level: 0.7 })],
      ['q:1:used', alert('acme', { level: 0.8, untold: ['ops'] })],
      ['q:2:used', alert('beta')],
      ['r:3:used', alert('acme', { quota: 'r', sinceMs: 2 })],
    ]),
  silencedUntil:
    () =>
    ({ tenant }) =>
      tenant === 'beta' ? 99 : null,
  channels: () => channels,
  async test(name) {
    if (name === 'down') throw new ChannelError('down', 'it answered 500')
    return name === 'ops'
  },
  follow: async () => undefined,
  tell: () => undefined,
  close: async () => undefined,
}

let server: FastifyInstance
beforeAll(async () => {
  server = await testServer([createAlertRoutes({ alerting, principalOf })])
})
const get = async (query = '', headers = {}): Promise<AlertsAnswer> =>
  (await server.inject({ url: `/v1/alerts${query}`, headers })).json()

test('the worst comes first, and those that are silenced say so', async () => {
  const { alerts, ...counts } = await get()
  expect(counts).toEqual({ isConfigured: true, total: 4, exhausted: 2, likely: 1, untold: 1, nextCursor: null })
  expect(alerts.map(({ key, title, silencedUntilMs }) => [key, title, silencedUntilMs])).toEqual([
    ['q:2:used', 'beta has run out of q', 99],
    ['r:3:used', 'acme has run out of r', null],
    ['q:1:used', 'acme has used 80 % of q', null],
    ['q:1:exhaustion', 'acme will probably run out of q', null],
  ])
  expect(alerts.map(({ isSilenced }) => isSilenced)).toEqual([true, false, false, false])
})

test('whether there is somebody to tell is said to every reader', async () => {
  const headers = { 'x-tenant': 'acme' }
  expect(await get('', headers)).toMatchObject({ isConfigured: true })
  channels = []
  expect(await get('', headers)).toMatchObject({ isConfigured: false })
  channels = [ops]
})

test('they are answered by quota, by tenant, and page by page', async () => {
  const keys = async (query: string) => (await get(query)).alerts.map(({ key }) => key)
  expect(await keys('?quota=r')).toEqual(['r:3:used'])
  expect(await keys('?tenant=beta')).toEqual(['q:2:used'])
  const first = await get('?limit=3')
  expect(first).toMatchObject({ total: 4, alerts: [{ key: 'q:2:used' }, { key: 'r:3:used' }, { key: 'q:1:used' }] })
  const last = await get(`?limit=3&cursor=${first.nextCursor}`)
  expect(last).toMatchObject({ total: 4, alerts: [{ key: 'q:1:exhaustion' }], nextCursor: null })
  for (const cursor of ['nonsense', Buffer.from('["q"]').toString('base64url')])
    expect((await server.inject(`/v1/alerts?cursor=${cursor}`)).json()).toMatchObject({ code: 'CURSOR_INVALID' })
})

test('a token of one tenant sees what is its own, and no channels', async () => {
  const headers = { 'x-tenant': 'acme' }
  expect(await get('', headers)).toMatchObject({ total: 3 })
  const status = async (method: 'GET' | 'POST', url: string) =>
    (await server.inject({ method, url, headers })).statusCode
  expect(await status('GET', '/v1/alerts?tenant=beta')).toBe(403)
  expect(await status('GET', '/v1/alerts/channels')).toBe(403)
  expect(await status('POST', '/v1/alerts/channels/ops/test')).toBe(403)
})

test('a channel is tried', async () => {
  expect((await server.inject('/v1/alerts/channels')).json()).toEqual([ops])
  const tried = (name: string) => server.inject({ method: 'POST', url: `/v1/alerts/channels/${name}/test` })
  expect((await tried('ops')).json()).toEqual({ name: 'ops' })
  expect((await tried('nobody')).statusCode).toBe(404)
  expect((await tried('down')).statusCode).toBe(502)
})
