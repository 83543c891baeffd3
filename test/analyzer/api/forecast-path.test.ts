import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createForecastPathRoutes } from '../../../analyzer/api/forecast-path.ts'
import type { SubjectQueryDeps } from '../../../analyzer/api/subject-asked.ts'
import { createWhatIfRoutes } from '../../../analyzer/api/what-if.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { openFitting } from '../../../analyzer/tick/fitting.ts'
import { WHOLE } from '../../../analyzer/tick/shard.ts'
import { createTicker, EMPTY_SNAPSHOT } from '../../../analyzer/tick/ticker.ts'
import { createServer } from '../../../deploy/http.ts'
import { principalOf as principalOfRequest } from '../../../deploy/http-access.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { resettingQuota, testQuota } from '../quotas.ts'
import { storeCalls, storeDecisions } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Half-way through an hour. */
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS + HOUR_MS / 2
const quotas = [
  resettingQuota({ name: 'hourly', limit: 100 }),
  resettingQuota({ name: 'acme-only', limit: 100, match: { tenant: 'acme' }, per: ['consumer'] }),
  resettingQuota({ name: 'everybody', limit: 100, per: [] }),
  resettingQuota({ name: 'asked', limit: 100, counts: 'checks' }),
  resettingQuota({ name: 'unsaid', limit: 'upstream', per: ['consumer', 'providerKey'] }),
  testQuota({
    ...{ name: 'unsaid-rate', limit: 'upstream', per: ['consumer', 'providerKey'] },
    window: { kind: 'rate', everySeconds: 60 },
  }),
  testQuota({ name: 'sliding', limit: 100, window: { kind: 'sliding', everySeconds: 3600 } }),
  // Half of what comes drains.
  testQuota({ name: 'rate', limit: 30, window: { kind: 'rate', everySeconds: 3600 } }),
]

let policy = createPolicy(quotas)
let snapshot = EMPTY_SNAPSHOT

let testStore: TestStore
let server: Awaited<ReturnType<typeof testServer>>
let deps: SubjectQueryDeps
beforeAll(async () => {
  testStore = await openTestStore()
  const { store } = testStore
  deps = {
    client: store.client,
    policy: () => policy,
    labelColumns: [],
    snapshot: () => snapshot,
    principalOf,
    now: () => nowMs,
  }
  server = await testServer([createForecastPathRoutes(deps), createWhatIfRoutes(deps)])
  // One call a minute for four and a half hours, and a neighbour that uses more.
  const calls = Array.from({ length: 270 }, (_, index) => ({ startedAtMs: nowMs - (index + 0.5) * MINUTE_MS }))
  await storeCalls(store, calls)
  await storeCalls(
    store,
    calls.flatMap(call => [
      { ...call, consumer: 'loud' },
      { ...call, consumer: 'loud' },
    ]),
  )
  await storeDecisions(
    store,
    calls.flatMap(({ startedAtMs: atMs }) => [
      { quota: 'asked', subject: { tenant: 'acme', consumer: 'loud' }, atMs, spent: 7 },
      { quota: 'asked', subject: { tenant: 'acme', consumer: 'asker' }, atMs, spent: 2 },
    ]),
  )
})
afterAll(() => testStore?.close())

const headers = (tenant?: string) => (tenant === undefined ? {} : { 'x-tenant': tenant })
async function path(query: string, tenant?: string) {
  const response = await server.inject({ url: `/v1/forecasts/path?${query}`, headers: headers(tenant) })
  return { status: response.statusCode, body: response.json() }
}
async function whatIf(payload: Record<string, unknown>, tenant?: string) {
  const response = await server.inject({
    method: 'POST',
    url: '/v1/forecasts/what-if',
    payload,
    headers: headers(tenant),
  })
  return { status: response.statusCode, body: response.json() }
}
const app = { tenant: 'acme', consumer: 'app' }

test('the past leads to now, and the bands from there to the reset', async () => {
  const { body } = await path('quota=hourly&tenant=acme&consumer=app')
  expect(body.forecast).toMatchObject({ subject: app, used: 30, limit: 100 })
  expect(body.history[0]).toEqual([nowMs - HOUR_MS / 2, 0])
  expect(body.history[10]).toEqual([nowMs - 20 * MINUTE_MS, 10])
  expect(body.history.at(-1)).toEqual([nowMs, 30])
  expect(body.bands.at(-1).atMs).toBe(nowMs + HOUR_MS / 2)
  const middle = body.bands[body.bands.length / 2 - 1]
  expect(middle.p50).toBeGreaterThan(40)
  expect(middle.p50).toBeLessThan(50)
})

test('the past begins at a reset by hand: what came before counts no more', async () => {
  // Of its own minute it forgave the one call.
  const fromMs = nowMs - 9.25 * MINUTE_MS
  const reset = { quota: 'hourly', subject: app, used: 21, fromMs, untilMs: nowMs + HOUR_MS / 2 }
  const before = policy
  policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, resets: [reset] })
  const { body } = await path('quota=hourly&tenant=acme&consumer=app')
  policy = before
  expect(body.forecast).toMatchObject({ used: 9 })
  const minutes = Array.from({ length: 9 }, (_, index) => [nowMs - (9 - index) * MINUTE_MS, index])
  expect(body.history).toEqual([[fromMs, 0], ...minutes, [nowMs, 9]])
})

test('a sliding window has what counted at each instant, and what will', async () => {
  const { body } = await path('quota=sliding&tenant=acme&consumer=app')
  expect(body.history).toHaveLength(60)
  expect(body.history.at(-1)).toEqual([nowMs, body.forecast.used])
  expect(body.bands.at(-1).atMs).toBe(nowMs + HOUR_MS)
  for (const { p50 } of body.bands) expect(p50).toBeCloseTo(60, -1.5)
  const { body: asked } = await whatIf({ quota: 'sliding', subject: app, limit: 130, growth: 3 })
  expect(asked.now.probability).toBeLessThan(0.1)
  expect(asked.whatIf.probability).toBeGreaterThan(0.8)
  expect(asked.whatIf.burnRate).toBeCloseTo((3 * 100 * asked.now.burnRate) / 130)
})

test.each([
  ['sliding', 60],
  ['rate', 125],
])('where nothing resets (%s), what a reset by hand forgave counted until then', async (quota, counted) => {
  const resetMs = nowMs - 20 * MINUTE_MS
  const reset = { quota, subject: app, used: counted, fromMs: resetMs, untilMs: nowMs + HOUR_MS }
  const before = policy
  policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, resets: [reset] })
  const { body } = await path(`quota=${quota}&tenant=acme&consumer=app`)
  policy = before
  const history: [number, number][] = body.history
  expect(Math.abs((history.findLast(([atMs]) => atMs < resetMs)?.[1] ?? 0) - counted)).toBeLessThan(4)
  expect(history.find(([atMs]) => atMs >= resetMs)?.[1]).toBeLessThan(2)
  expect(history.at(-1)).toEqual([nowMs, body.forecast.used])
})

test('a rate drained faster while a grant held', async () => {
  const used = async () => (await path('quota=rate&tenant=acme&consumer=app')).body.forecast.used
  const alone = await used()
  const grant = { quota: 'rate', subject: null, amount: 60, fromMs: nowMs - 2 * HOUR_MS, untilMs: nowMs - HOUR_MS }
  const before = policy
  policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, grants: [grant] })
  const granted = await used()
  policy = before
  expect(alone).toBeCloseTo(135, -1)
  expect(granted).toBeCloseTo(alone - 60, -1)
})

test('a limit that falls below what is used is why it will be reached, whatever is asked for', async () => {
  const endMs = nowMs + HOUR_MS / 4
  const grant = { quota: 'hourly', subject: app, amount: 500, fromMs: nowMs - HOUR_MS, untilMs: endMs }
  const override = { quota: 'hourly', subject: app, limit: 20 }
  const before = policy
  policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, grants: [grant], overrides: [override] })
  const { body } = await path('quota=hourly&tenant=acme&consumer=app')
  policy = before
  expect(body.forecast).toMatchObject({ used: 30, limit: 520, probability: 1, exhaustionAtMs: { p50: endMs } })
  expect(body.forecast.why).toMatch(
    `From ${new Date(endMs).toISOString()} on the limit is 20, and that is used already. From `,
  )
})

test('a subject is named by the dimensions of its quota, of which some may be matched', async () => {
  expect((await path('quota=acme-only&consumer=loud')).body.forecast).toMatchObject({ used: 60 })
  expect((await path('quota=everybody')).body.forecast).toMatchObject({ used: 90 })
  expect((await path('quota=hourly&tenant=acme')).status).toBe(400)
  expect((await path('quota=hourly&tenant=acme&consumer=app&model=large')).status).toBe(400)
  expect((await path('quota=hourly&tenant=acme&consumer=nobody')).status).toBe(404)
  expect((await path('quota=nothing')).status).toBe(404)
})

test('one that only asks is known by its checks, and its neighbours are not counted', async () => {
  expect((await path('quota=asked&tenant=acme&consumer=asker')).body.forecast).toMatchObject({ used: 60 })
})

test('a caller of one tenant sees no other', async () => {
  expect((await path('quota=hourly&tenant=acme&consumer=app', 'acme')).status).toBe(200)
  expect((await path('quota=hourly&tenant=acme&consumer=app', 'other')).status).toBe(404)
  expect((await path('quota=everybody', 'acme')).status).toBe(404)
  expect((await path('quota=acme-only', 'other')).status).toBe(404)
  expect((await whatIf({ quota: 'hourly', subject: app, limit: 1 }, 'other')).status).toBe(404)
})

test('another limit has another risk', async () => {
  const { body } = await whatIf({ quota: 'hourly', subject: app, limit: 40 })
  expect(body.now).toMatchObject({ limit: 100, used: 30 })
  expect(body.now.probability).toBeLessThan(0.2)
  expect(body.whatIf).toMatchObject({ limit: 40, used: 30 })
  expect(body.whatIf.probability).toBeGreaterThan(0.8)
  expect((await whatIf({ quota: 'hourly', subject: app, limit: 20 })).body.whatIf.probability).toBe(1)
})

test('growth is from now on', async () => {
  const { body } = await whatIf({ quota: 'hourly', subject: app, growth: 4 })
  const { now, whatIf: grown } = body
  expect(grown).toMatchObject({ limit: 100, used: 30 })
  expect(grown.burnRate).toBeCloseTo(4 * now.burnRate)
  expect(grown.probability).toBeGreaterThan(0.8)
  expect(grown.usageAtReset.p50).toBeGreaterThan(130)
  expect((await whatIf({ quota: 'hourly', subject: app, growth: 1 })).body.whatIf).toEqual(now)
})

test('of a limit that nobody has said nothing is told, and demand that grows leaves no headroom', async () => {
  const { body: short } = await path('quota=unsaid-rate&consumer=app&providerKey=')
  expect(short.forecast.why).toMatch(/Lately 0\.017\/s were asked for\.$/)
  const { body } = await whatIf({ quota: 'unsaid', subject: { consumer: 'app', providerKey: '' }, growth: 2 })
  expect(body.whatIf.usageAtReset.p50).toBeGreaterThan(body.now.usageAtReset.p50)
  expect(body.whatIf).toMatchObject({ limit: null, headroom: null, burnRate: null, probability: null })
})

test('another window counts what it would have seen', async () => {
  const window = { kind: 'fixed', everySeconds: 7200, anchor: new Date(nowMs - 1.5 * HOUR_MS).toISOString() }
  const { body } = await whatIf({ quota: 'hourly', subject: app, window })
  expect(body.whatIf).toMatchObject({ used: 90, windowEndMs: nowMs + HOUR_MS / 2 })
  const day = await whatIf({
    quota: 'hourly',
    subject: app,
    window: { kind: 'calendar', every: 'month', timezone: 'Europe/Berlin' },
  })
  expect(day.body.whatIf.windowEndMs - day.body.whatIf.windowStartMs).toBeGreaterThan(27 * 24 * HOUR_MS)
})

test('what cannot be is refused', async () => {
  for (const wrong of [
    { window: { kind: 'fixed' } },
    { window: { kind: 'calendar', every: 'day', timezone: 'Mars/Olympus' } },
    { limit: -1 },
    { growth: 0 },
    { colour: 'red' },
  ]) {
    expect((await whatIf({ quota: 'hourly', subject: app, ...wrong })).status, JSON.stringify(wrong)).toBe(400)
  }
})

test('what is wrong with a window is said, and what it leaves out has its default', async () => {
  const product = await createServer({
    ...{ role: 'analyzer', version: '1.2.3', log: pino({ level: 'silent' }), isTracing: false },
    routes: [createWhatIfRoutes({ ...deps, principalOf: principalOfRequest })],
    verify: () => ({ name: 'test', scopes: new Set(['read']), tenant: null }),
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
  })
  const authorization = 'Bearer token'
  const payload = { quota: 'hourly', subject: app, window: { kind: 'fixed', everySeconds: '1d' } }
  const asked = { method: 'POST', url: '/v1/forecasts/what-if', headers: { authorization } } as const
  const refused = (await product.inject({ ...asked, payload })).json()
  expect(refused.errors).toEqual([{ path: '/window/everySeconds', message: 'must be integer, not "1d"' }])
  const window = { kind: 'calendar', every: 'day' }
  expect((await product.inject({ ...asked, payload: { ...payload, window } })).statusCode).toBe(200)
  await product.close()
})

test('one of which little is known is compared with the others, as in its forecast', async () => {
  const minutes = (count: number) => Array.from({ length: count }, (_, index) => nowMs - (index + 0.5) * MINUTE_MS)
  const calls = ['a', 'b', 'c', 'd', 'e', 'young'].flatMap(consumer =>
    minutes(consumer === 'young' ? 2 : 130).map(atMs => ({
      startedAtMs: atMs,
      arrivedAtMs: atMs + MINUTE_MS / 2,
      consumer,
      tenant: 'crowd',
    })),
  )
  await storeCalls(testStore.store, calls)
  const deps = { client: testStore.store.client, policy: () => policy, subjectsMax: 100, now: () => nowMs }
  const subject = { tenant: 'crowd', consumer: 'young' }
  snapshot = await createTicker({ ...deps, fitting: openFitting(0), shard: WHOLE }).tick()
  const followed = snapshot.find('hourly', ['crowd', 'young'])
  expect(followed?.why).toContain('5 other subjects')
  const { probability, why, usageAtReset } = followed ?? {}
  const { body } = await path('quota=hourly&tenant=crowd&consumer=young')
  expect(body.forecast).toMatchObject({ probability, why, usageAtReset })
  expect((await whatIf({ quota: 'hourly', subject, limit: 5 })).body.whatIf.probability).toBeGreaterThan(0.5)
})

test('one that is idle is known in a shorter window, too', async () => {
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 3 * HOUR_MS, consumer: 'idle' }])
  const subject = { tenant: 'acme', consumer: 'idle' }
  const { body } = await whatIf({ quota: 'hourly', subject, window: { kind: 'fixed', everySeconds: 60 }, limit: 5 })
  expect(body.whatIf).toMatchObject({ used: 0, limit: 5 })
  expect(body.whatIf.windowEndMs - body.whatIf.windowStartMs).toBe(MINUTE_MS)
})
