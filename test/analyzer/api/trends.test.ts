import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPerformanceTrendRoutes } from '../../../analyzer/api/performance-trends.ts'
import { createTrendRoutes } from '../../../analyzer/api/trends.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { resettingQuota } from '../quotas.ts'
import { storeCalls, storeDecisions, type TestCall } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const nowMs = Math.floor(Date.now() / DAY_MS) * DAY_MS + 30 * 60_000
const beginMs = Math.floor(nowMs / DAY_MS) * DAY_MS - 28 * DAY_MS

const quotas = [
  resettingQuota({ name: 'daily', unit: 'total_tokens', limit: 10_000, window: { kind: 'calendar', every: 'day' } }),
  resettingQuota({ name: 'everybody', per: [] }),
  resettingQuota({ name: 'of-acme', match: { tenant: 'acme' }, limit: 424_242 }),
  resettingQuota({ name: 'asked', limit: 100, window: { kind: 'calendar', every: 'day' }, match: { model: 'none' } }),
  resettingQuota({
    name: 'beside',
    limit: 100,
    window: { kind: 'calendar', every: 'day' },
    match: { tenant: 'young' },
  }),
  resettingQuota({ name: 'asked-together', per: ['tenant'], match: { model: 'none' } }),
]

const OVERRIDDEN = { tenant: 'other', consumer: 'else' }

/** One call in each of 24 hours of 28 days. */
const hourly = (of: (day: number, hour: number) => Partial<TestCall>): TestCall[] =>
  Array.from({ length: 28 * 24 }, (_, index) => ({
    startedAtMs: beginMs + index * HOUR_MS + 60_000,
    ...of(Math.floor(index / 24), index % 24),
  }))

let testStore: TestStore
let server: Awaited<ReturnType<typeof testServer>>
beforeAll(async () => {
  testStore = await openTestStore()
  const policy = createPolicy(quotas, {
    ...NO_ADJUSTMENTS,
    overrides: [{ quota: 'daily', subject: OVERRIDDEN, limit: 20 }],
  })
  const deps = {
    client: testStore.store.client,
    quotas: () => quotas,
    policy: () => policy,
    principalOf,
    now: () => nowMs,
  }
  server = await testServer([createTrendRoutes(deps), createPerformanceTrendRoutes(deps)])
  await storeCalls(testStore.store, [
    ...hourly(day => ({
      consumer: 'growing',
      total_tokens: Math.round(100 * 1.2 ** (day / 7)),
      route: '/chat',
      latency_ms: day < 14 ? 100 : 200,
    })),
    ...hourly((day, hour) => ({
      consumer: 'steady',
      total_tokens: 10,
      route: '/list',
      latency_ms: 10,
      outcome: day >= 20 && hour % 4 === 0 ? 'server_error' : 'ok',
    })),
    // Begins at noon.
    ...hourly(() => ({ consumer: 'young', tenant: 'young', total_tokens: 1, route: '/young' })).slice(20.5 * 24),
    ...hourly(() => ({ consumer: 'else', tenant: 'other', total_tokens: 1, route: '/list', outcome: 'limited' })),
  ])
  const asked = (consumer: string, spent: number, tenant = 'acme') =>
    hourly(() => ({})).map(({ startedAtMs: atMs }) => ({ quota: 'asked', subject: { tenant, consumer }, atMs, spent }))
  await storeDecisions(testStore.store, [...asked('few', 1), ...asked('many', 2), ...asked('its', 3, 'other')])
  const together = { quota: 'asked-together', subject: { tenant: 'acme' }, atMs: nowMs - 2 * HOUR_MS, spent: 1 }
  const before = { ...together, quota: 'asked', subject: { tenant: 'acme', consumer: 'few', model: 'none' } }
  const gone = { ...before, subject: { ...before.subject, consumer: 'gone' } }
  const refused = { quota: 'beside', subject: { tenant: 'young', consumer: 'refused' }, denied: 900, deniedCost: 900 }
  await storeDecisions(testStore.store, [together, before, gone, { ...refused, atMs: nowMs - 2 * HOUR_MS }])
})
afterAll(() => testStore?.close())

async function get(url: string, tenant?: string) {
  const response = await server.inject({ url, headers: tenant === undefined ? {} : { 'x-tenant': tenant } })
  return { status: response.statusCode, body: response.json() }
}

test('growth, its date, and the week are told of the most used first', async () => {
  const { body } = await get('/v1/trends?quota=daily')
  expect(body).toMatchObject({ unit: 'total_tokens', limit: 10_000, subjectsInAll: 4 })
  const [growing, steady] = body.subjects
  expect(growing.subject).toEqual({ tenant: 'acme', consumer: 'growing' })
  expect(growing.days).toHaveLength(28)
  expect(growing.growth.factor).toBeCloseTo(1.2, 1)
  // 4,800 a day now, 10,000 in four weeks.
  const weeks = (growing.outgrown.typical.atMs - body.asOfMs) / (7 * DAY_MS)
  expect(weeks).toBeGreaterThan(3.3)
  expect(weeks).toBeLessThan(4.7)
  const { earliestMs, atMs, latestMs } = growing.outgrown.typical
  expect(earliestMs).toBeLessThanOrEqual(atMs)
  expect(latestMs).toBeGreaterThanOrEqual(atMs)
  expect(steady).toMatchObject({
    growth: { factor: 1 },
    changes: [],
    outgrown: { typical: { usage: 240, atMs: null, earliestMs: null, latestMs: null } },
  })
  expect(steady.season.every((share: number) => Math.abs(share - 1) < 1e-9)).toBe(true)
})

test('a subject with a limit of its own outgrows that', async () => {
  const { body } = await get('/v1/trends?quota=daily&consumer=else')
  const outgrown = { typical: { usage: 24, atMs: body.asOfMs } }
  expect(body).toMatchObject({ limit: 10_000, subjects: [{ limit: 20, outgrown }] })
})

test('what the day before the first whole one used belongs to no week and to no window', async () => {
  const { body } = await get('/v1/trends?quota=daily&tenant=young')
  const [young] = body.subjects
  expect(young.days).toEqual(new Array(7).fill(24))
  expect(young.season.every((share: number) => Math.abs(share - 1) < 1e-9)).toBe(true)
  expect(young.outgrown).toMatchObject({ typical: { usage: 24 }, busy: { usage: 24 } })
})

test('days of which nothing was recorded of anybody are no other level', async () => {
  const others = await openTestStore()
  const isShipped = ({ startedAtMs }: TestCall) =>
    ![10, 11, 12, 13].includes(Math.floor((startedAtMs - beginMs) / DAY_MS))
  await storeCalls(
    others.store,
    hourly((day, hour) => ({ total_tokens: 10 + ((7 * day + hour) % 5) })).filter(isShipped),
  )
  const deps = { client: others.store.client, quotas: () => quotas, policy: () => createPolicy(quotas), principalOf }
  const alone = await testServer([createTrendRoutes({ ...deps, now: () => nowMs })])
  const [one] = (await alone.inject({ url: '/v1/trends?quota=daily' })).json().subjects
  await others.close()
  expect(one.days[11]).toBe(0)
  expect(one).toMatchObject({ changes: [] })
  expect(one.growth.factor).toBeCloseTo(1, 1)
})

test('what was before a change of level is no growth, and no window of now', async () => {
  const others = await openTestStore()
  const at = (isDay: (day: number) => boolean, units: number) => (day: number, hour: number) =>
    (isDay(day) ? units : 100) + ((7 * day + hour) % 5)
  const risen = at(day => day >= 18, 1_000)
  const stopped = hourly((day, hour) => ({ consumer: 'stopped', total_tokens: at(() => false, 0)(day, hour) }))
  await storeCalls(others.store, [
    ...hourly((day, hour) => ({ consumer: 'risen', total_tokens: risen(day, hour) })),
    ...stopped.slice(0, 20 * 24),
  ])
  const deps = { client: others.store.client, quotas: () => quotas, policy: () => createPolicy(quotas), principalOf }
  const alone = await testServer([createTrendRoutes({ ...deps, now: () => nowMs })])
  const { subjects, asOfMs } = (await alone.inject({ url: '/v1/trends?quota=daily' })).json()
  await others.close()
  const [up, down] = subjects
  expect(up).toMatchObject({ growth: null, changes: [{}], outgrown: { typical: { atMs: asOfMs } } })
  expect(up.outgrown.typical.usage).toBeCloseTo(24_050, -2)
  expect(down).toMatchObject({ growth: null, changes: [{ after: 0 }], outgrown: { busy: { usage: 0, atMs: null } } })
})

test('who only asks has trends, too', async () => {
  const { body } = await get('/v1/trends?quota=asked&limit=2')
  expect(body.subjectsInAll).toBe(3)
  expect(body.subjects).toMatchObject([
    { subject: { tenant: 'other', consumer: 'its' }, outgrown: { typical: { usage: 72 } } },
    { subject: { tenant: 'acme', consumer: 'many' }, outgrown: { typical: { usage: 48 } } },
  ])
  expect(body.subjects[1].days).toEqual(new Array(28).fill(48))
  const consumersOf = async (query: string, tenant?: string) =>
    (await get(`/v1/trends?quota=asked${query}`, tenant)).body.subjects.map(
      ({ subject }: { subject: { consumer: string } }) => subject.consumer,
    )
  expect(await consumersOf('', 'acme')).toEqual(['many', 'few'])
  expect(await consumersOf('&consumer=few')).toEqual(['few'])
  // Whose checks are whose among all of a tenant nobody knows.
  expect((await get('/v1/trends?quota=asked-together')).body.subjects).toHaveLength(1)
  expect((await get('/v1/trends?quota=asked-together&consumer=few')).body.subjects).toEqual([])
})

test('who only asks is ranked by what was asked for, be it refused, beside those whose calls are recorded', async () => {
  const { body } = await get('/v1/trends?quota=beside&limit=1')
  expect(body).toMatchObject({ subjectsInAll: 2, subjects: [{ subject: { consumer: 'refused' } }] })
})

test('one consumer, or few', async () => {
  expect((await get('/v1/trends?quota=daily&consumer=steady')).body.subjects).toHaveLength(1)
  expect((await get('/v1/trends?quota=daily&limit=1')).body).toMatchObject({ subjects: [{}], subjectsInAll: 4 })
})

test('a caller of one tenant sees no other', async () => {
  expect((await get('/v1/trends?quota=daily', 'other')).body).toMatchObject({
    subjectsInAll: 1,
    subjects: [{ subject: { tenant: 'other' } }],
  })
  expect((await get('/v1/trends?quota=everybody', 'other')).body.subjects).toEqual([])
  expect((await get('/v1/trends?quota=of-acme', 'acme')).body.limit).toBe(424_242)
  expect((await get('/v1/trends?quota=of-acme', 'other')).status).toBe(404)
  expect((await get('/v1/trends?quota=daily&tenant=acme', 'other')).status).toBe(403)
  expect((await get('/v1/trends/performance', 'other')).body.values).toEqual([])
})

test('latency and errors have their trends too', async () => {
  const { body } = await get('/v1/trends/performance?by=route')
  const of = (route: string) => body.values.find(({ value }: { value: string }) => value === route)
  expect(of('/chat').calls).toBe(672)
  expect(of('/chat').latency.days[0]).toEqual({ p50: 100, p90: 100, p99: 100 })
  expect(of('/chat').latency.changes).toMatchObject([{ atMs: beginMs + 14 * DAY_MS }])
  expect(of('/chat').latency.changes[0].after).toBeCloseTo(200)
  expect(of('/chat').errors).toMatchObject({ recentShare: 0, changes: [] })
  // What a limit refused is neither a call nor an error of the route.
  expect(of('/list')).toMatchObject({ calls: 672, latency: { growth: { p90: { factor: 1 } } } })
  expect(of('/list').errors).toMatchObject({
    recentShare: 0.25,
    changes: [{ atMs: beginMs + 20 * DAY_MS, before: 0, after: 0.25 }],
  })
  expect((await get('/v1/trends/performance?by=model')).body.values).toHaveLength(1)
})

test('of a quota whose window does not reset it is said why there are no trends', async () => {
  const { status, body } = await get('/v1/trends?quota=sliding')
  expect(status).toBe(404)
  expect(body.message).toMatch(/^There is no quota sliding whose window resets: `resetting` of GET/)
})

test('what cannot be asked is refused', async () => {
  expect((await get('/v1/trends')).status).toBe(400)
  expect((await get('/v1/trends?quota=unknown')).status).toBe(404)
  expect((await get('/v1/trends/performance?by=consumer')).status).toBe(400)
})
