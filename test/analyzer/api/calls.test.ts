import { afterAll, beforeAll, expect, test } from 'vitest'
import { createCallRoutes } from '../../../analyzer/api/calls.ts'
import { createGatewayRoutes } from '../../../analyzer/api/gateways.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { testQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const NOW_MS = Date.UTC(2026, 10, 21, 12, 30)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
  const call = (ago: number, row: Record<string, unknown> = {}) => ({
    startedAtMs: NOW_MS - ago,
    gateway: 'kong',
    ...row,
  })
  await storeCalls(testStore.store, [
    call(2 * MINUTE_MS, { request_id: 'new', status: 200, model: 'gpt-5', latency_ms: 12.5, cost_micros: 7 }),
    call(3 * MINUTE_MS, { request_id: 'old', status: 429, outcome: 'limited', model: 'gpt-5-mini' }),
    call(MINUTE_MS, { request_id: 'other model', model: 'llama' }),
    call(MINUTE_MS, { request_id: 'other tenant', tenant: 'globex', model: 'gpt-5', gateway: 'envoy' }),
    call(25 * HOUR_MS, { request_id: 'yesterday', model: 'gpt-5' }),
    call(2 * DAY_MS, { request_id: 'long ago', model: 'gpt-5' }),
  ])
})
afterAll(() => testStore?.close())

async function get(url: string, tenant?: string) {
  const quotas = [
    testQuota({ name: 'gpt', match: { model: 'gpt-*' }, per: ['tenant', 'consumer'] }),
    testQuota({ name: 'everybody', match: {}, per: [] }),
  ]
  const deps = {
    client: testStore.store.client,
    principalOf,
    now: () => NOW_MS,
    labelColumns: [],
    quotas: () => quotas,
  }
  const server = await testServer([createCallRoutes(deps), createGatewayRoutes(deps)])
  const answer = await server.inject({ url, headers: tenant === undefined ? {} : { 'x-tenant': tenant } })
  return { status: answer.statusCode, body: answer.json() }
}
const ids = ({ calls }: { calls: { requestId: string }[] }) => calls.map(({ requestId }) => requestId)

test('calls are those of the subject that the quota covers, of a day, the newest first', async () => {
  const { body } = await get('/v1/calls?quota=gpt&tenant=acme&consumer=app')
  expect(ids(body)).toEqual(['new', 'old'])
  expect(body.calls[0]).toMatchObject({
    ...{ startedAtMs: NOW_MS - 2 * MINUTE_MS, gateway: 'kong', model: 'gpt-5', status: 200, outcome: 'ok' },
    ...{ latencyMs: 12.5, costMicros: 7, totalTokens: 1 },
  })
  expect(ids((await get('/v1/calls?quota=gpt&tenant=acme&consumer=app&limit=1')).body)).toEqual(['new'])
  expect((await get('/v1/calls?quota=none')).status).toBe(404)
})

test('a caller of one tenant sees none of another, nor of a quota that is everybody’s', async () => {
  expect(ids((await get('/v1/calls?quota=gpt&tenant=globex&consumer=app', 'globex')).body)).toEqual(['other tenant'])
  expect(ids((await get('/v1/calls?quota=gpt&tenant=acme&consumer=app', 'globex')).body)).toEqual([])
  expect(ids((await get('/v1/calls?quota=everybody', 'globex')).body)).toEqual([])
  expect(ids((await get('/v1/calls?quota=everybody')).body)).toHaveLength(4)
})

test('gateways are told by what arrived in a day, page by page in the order of their names', async () => {
  const { body } = await get('/v1/gateways')
  expect(body.fromMs).toBe(Date.UTC(2026, 10, 20, 12))
  expect(body.gateways).toMatchObject([
    { gateway: 'envoy', errors: 0, refused: 0 },
    { gateway: 'kong', errors: 0, refused: 1, lastArrivedAtMs: NOW_MS - MINUTE_MS },
  ])
  expect(body.gateways[1].calls).toEqual([...new Array(24).fill(0), 3])
  expect(body.nextCursor).toBe(null)
  const { body: first } = await get('/v1/gateways?limit=1')
  expect(first.gateways).toMatchObject([{ gateway: 'envoy' }])
  const { body: second } = await get(`/v1/gateways?limit=1&cursor=${first.nextCursor}`)
  expect(second).toMatchObject({ gateways: [{ gateway: 'kong' }], nextCursor: null })
  expect((await get('/v1/gateways', 'globex')).body.gateways).toMatchObject([{ gateway: 'envoy' }])
})
