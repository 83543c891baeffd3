import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAnomalyRoutes } from '../../../analyzer/api/anomalies.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { resettingQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const HOUR_MS = 3_600_000
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS + 30 * 60_000
const hourMs = nowMs - 30 * 60_000

const quotas = [
  resettingQuota({ name: 'tokens', unit: 'total_tokens' }),
  resettingQuota({ name: 'per-model', unit: 'total_tokens', per: ['tenant', 'consumer', 'model'] }),
  resettingQuota({ name: 'spending', unit: 'cost' }),
  resettingQuota({ name: 'everybody', per: [] }),
]

let testStore: TestStore
let server: Awaited<ReturnType<typeof testServer>>
beforeAll(async () => {
  testStore = await openTestStore()
  const deps = { client: testStore.store.client, quotas: () => quotas, principalOf, now: () => nowMs }
  server = await testServer([createAnomalyRoutes(deps)])
  const hours = Array.from({ length: 20 * 24 }, (_, index) => hourMs - (index + 1) * HOUR_MS + 1)
  const usual = hours.flatMap(startedAtMs =>
    Array.from({ length: 4 }, () => ({
      ...{ startedAtMs, total_tokens: 25, cost_micros: 20_000 },
      ...{ model: 'small', client_ip: '203.0.113.0' },
    })),
  )
  await storeCalls(testStore.store, [
    ...usual.map(call => ({ ...call, consumer: 'wild' })),
    ...usual.map(call => ({ ...call, consumer: 'calm', cost_micros: 200 })),
    { ...usual[0], startedAtMs: hourMs - 3 * HOUR_MS, consumer: 'calm', total_tokens: 0, cost_micros: 4_000 },
    // Of this one addresses are kept in full: another one of the same network is nothing new.
    ...usual.map(call => ({ ...call, consumer: 'full', client_ip: '198.51.100.7' })),
    ...usual.map((call, index) => ({ ...call, consumer: 'roaming', client_ip: `10.${index % 100}.0.0` })),
    {
      startedAtMs: hourMs - 3 * HOUR_MS,
      consumer: 'wild',
      total_tokens: 2_000,
      cost_micros: 3_000_000,
      model: 'small',
      client_ip: '192.0.2.0',
    },
    { startedAtMs: hourMs - 2 * HOUR_MS, consumer: 'wild', total_tokens: 1, model: 'huge', client_ip: '203.0.113.0' },
    { startedAtMs: hourMs - 2 * HOUR_MS, consumer: 'full', total_tokens: 1, model: 'small', client_ip: '198.51.100.8' },
    {
      startedAtMs: hourMs - 2 * HOUR_MS,
      consumer: 'roaming',
      total_tokens: 1,
      model: 'small',
      client_ip: '10.200.0.0',
    },
  ])
})
afterAll(() => testStore?.close())

async function get(url: string, tenant?: string) {
  const response = await server.inject({ url, headers: tenant === undefined ? {} : { 'x-tenant': tenant } })
  return { status: response.statusCode, body: response.json() }
}
type Told = { subject: Record<string, string>; kind: string; value: string | null; score: number }
const told = (body: { anomalies: Told[] }) =>
  body.anomalies.map(({ subject, kind, value }) => `${subject.consumer} ${kind} ${value ?? ''}`.trim()).sort()

test('use, models and networks that the past does not explain are told', async () => {
  const { body } = await get('/v1/anomalies?quota=tokens')
  expect(told(body)).toEqual(['wild new_model huge', 'wild new_network 192.0.2.0', 'wild too_much'])
  const much = body.anomalies.find(({ kind }: Told) => kind === 'too_much')
  expect(body.anomalies[0]).toEqual(much)
  expect(much).toMatchObject({ fromMs: hourMs - 3 * HOUR_MS, toMs: hourMs - 2 * HOUR_MS, used: 2_100 })
  expect(much.expected.high).toBeLessThan(200)
  expect(much.why).toContain('2100 total_tokens in 1 h')
  expect(body).toMatchObject({ subjectsInAll: 4 })
})

test('money is told in the currency, and not in millionths of it', async () => {
  const { anomalies } = (await get('/v1/anomalies?quota=spending')).body
  const much = (consumer: string) =>
    anomalies.find(({ kind, subject }: Told) => kind === 'too_much' && subject.consumer === consumer)
  expect(much('wild')).toMatchObject({ used: 3_080_000, why: expect.stringMatching(/^3\.08 cost in 1 h/) })
  expect(much('calm')).toMatchObject({ used: 4_800, why: expect.stringMatching(/^0\.0048 cost in 1 h/) })
})

test('hours of which nothing was recorded of anybody are not told as too little', async () => {
  const gap = { fromMs: hourMs - 60 * HOUR_MS, toMs: hourMs - 55 * HOUR_MS }
  const hours = Array.from({ length: 20 * 24 }, (_, index) => hourMs - (index + 1) * HOUR_MS + 1)
  const shipped = (atMs: number) => atMs < gap.fromMs + HOUR_MS / 4 || atMs >= gap.toMs
  const calls = hours.flatMap(atMs => Array.from({ length: 40 }, (_, index) => atMs + index * 80_000)).filter(shipped)
  const others = await openTestStore()
  await storeCalls(
    others.store,
    calls.map(startedAtMs => ({ startedAtMs })),
  )
  const ask = async () => {
    const deps = { client: others.store.client, quotas: () => quotas, principalOf, now: () => nowMs }
    const alone = await testServer([createAnomalyRoutes(deps)])
    return (await alone.inject({ url: '/v1/anomalies?quota=tokens&from=-3d' })).json()
  }
  const away = told(await ask())
  const busy = hours.map(startedAtMs => ({ startedAtMs, consumer: 'busy' }))
  await storeCalls(others.store, busy)
  const stopped = told(await ask())
  await others.close()
  expect(away).toEqual([])
  expect(stopped).toEqual(['app too_little'])
})

test('what was before is not told again', async () => {
  expect((await get(`/v1/anomalies?quota=tokens&from=${hourMs - HOUR_MS}`)).body.anomalies).toEqual([])
})

test('of some subjects, and where the model says who it is', async () => {
  expect(told((await get('/v1/anomalies?quota=tokens&consumer=calm')).body)).toEqual([])
  expect(told((await get('/v1/anomalies?quota=per-model')).body)).not.toContain('wild new_model huge')
  expect((await get('/v1/anomalies?quota=everybody')).status).toBe(200)
})

test('a caller of one tenant sees no other', async () => {
  expect((await get('/v1/anomalies?quota=tokens', 'other')).body).toMatchObject({ anomalies: [], subjectsInAll: 0 })
  expect((await get('/v1/anomalies?quota=everybody', 'acme')).body.anomalies).toEqual([])
  expect((await get('/v1/anomalies?quota=tokens', 'acme')).body.anomalies).toHaveLength(3)
})

test('what cannot be asked is refused', async () => {
  expect((await get('/v1/anomalies')).status).toBe(400)
  expect((await get('/v1/anomalies?quota=unknown')).status).toBe(404)
  expect((await get('/v1/anomalies?quota=tokens&from=-8d')).status).toBe(400)
})
