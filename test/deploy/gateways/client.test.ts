import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLimiterClient, type LimiterClient } from '../../../deploy/gateways/client.ts'
import { prepareQuotacast, type Quotacast } from '../../e2e/quotacast.ts'

const LIMIT = 3
const TOKENS = 1000
/** Machines under test are slow now and then. */
const PATIENT_MS = 10_000
const window = { kind: 'calendar', every: 'year', timezone: 'UTC' } as const

let quotacast: Quotacast
let limiter: { stop(): Promise<void> }
let client: LimiterClient

beforeAll(async () => {
  quotacast = await prepareQuotacast({
    quotas: [
      { name: 'calls', match: { tenant: 'acme' }, per: ['consumer'], unit: 'requests', limit: LIMIT, window },
      { name: 'tokens', match: { tenant: 'other' }, per: ['consumer'], unit: 'total_tokens', limit: TOKENS, window },
    ],
  })
  limiter = await quotacast.serve('limiter')
  await quotacast.ready(['limiter'])
  client = createLimiterClient({ url: quotacast.urls.limiter, token: quotacast.token, deadlineMs: PATIENT_MS })
})
afterAll(async () => {
  await limiter?.stop()
  quotacast?.remove()
})

const used = async (consumer: string) => {
  const call = { tenant: 'other', consumer, cost: { total_tokens: 0 } }
  const [quota] = (await client.check(call)).quotas
  return { used: quota?.used, reserved: quota?.reserved }
}

test('checks until the quota is used up', async () => {
  const call = { tenant: 'acme', consumer: 'web' }
  for (let turn = 0; turn < LIMIT; turn++) {
    const { decisionId, ...answer } = await client.check(call)
    expect(answer).toMatchObject({ allowed: true, isAway: false, quotas: [{ quota: 'calls', used: turn + 1 }] })
    expect(decisionId).toMatch(/^\d+\./)
  }
  const denied = await client.check(call)
  expect(denied).toMatchObject({ allowed: false, isAway: false, binding: 'calls', decisionId: null })
  expect(denied.retryAfterMs).toBeGreaterThan(0)
})

test('holds, settles once, gives back, and spends what is known afterwards', async () => {
  const call = { tenant: 'other', consumer: 'chat', cost: { total_tokens: 600 } }
  const held = await client.reserve(call)
  expect(held).toMatchObject({ allowed: true, isAway: false })
  expect(await used('chat')).toEqual({ used: 0, reserved: 600 })
  expect((await client.reserve(call)).allowed).toBe(false)
  const id = held.id ?? ''
  expect(await client.settle(id, { total_tokens: 250 })).toBe('settled')
  expect(await client.settle(id, { total_tokens: 250 })).toBe('already_settled')
  const again = await client.reserve(call)
  expect(await client.release(again.id ?? '')).toBe('settled')
  await client.record({ tenant: 'other', consumer: 'chat', cost: { total_tokens: 2000 } })
  expect(await used('chat')).toEqual({ used: 2250, reserved: 0 })
})

test('a question that makes no sense, and a token that does not hold, are refused', async () => {
  const refused = { code: 'REFUSED', status: 400 }
  await expect(client.check({ dimensions: { planet: 'mars' } })).rejects.toMatchObject(refused)
  const stranger = createLimiterClient({ url: quotacast.urls.limiter, token: 'none', deadlineMs: PATIENT_MS })
  await expect(stranger.check({})).rejects.toMatchObject({ code: 'REFUSED', status: 401 })
})

/** Answers nothing, or errors. */
async function startAway(answer: () => number | null, body = '{"allowed":true,"quotas":[]}') {
  let connections = 0
  const server: Server = createServer((_request, response) => {
    const status = answer()
    if (status !== null) response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  }).on('connection', () => {
    connections++
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    },
  }
}

test.each([
  ['hangs', null, ''],
  ['fails', 503, ''],
  ['is somebody else', 200, '<html>'],
] as const)(
  'while the limiter %s, what was configured is answered, and nothing is settled',
  async (_what, status, body) => {
    const away = await startAway(() => status, body)
    try {
      const options = { url: `${away.url}/`, token: 'any', deadlineMs: 50 }
      const open = createLimiterClient(options)
      expect(await open.check({})).toMatchObject({ allowed: true, isAway: true, decisionId: null, quotas: [] })
      const closed = createLimiterClient({ ...options, whenAway: 'deny' })
      expect(await closed.reserve({})).toMatchObject({ allowed: false, isAway: true, id: null })
      await expect(open.settle('1.2')).rejects.toMatchObject({ code: 'AWAY' })
      await expect(open.record({})).rejects.toMatchObject({ code: 'AWAY' })
    } finally {
      await away.close()
    }
  },
)

test('connections are kept', async () => {
  const server = await startAway(() => 200)
  try {
    const kept = createLimiterClient({ url: server.url, token: 'any', deadlineMs: PATIENT_MS })
    for (let turn = 0; turn < 20; turn++) expect((await kept.check({})).allowed).toBe(true)
    // Now and then one is not free again in time.
    expect(server.connections()).toBeLessThan(10)
  } finally {
    await server.close()
  }
})
