/** What was alerted and is over, from the rows that its changes of the control log become. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Alert } from '../../../analyzer/alert/alert.ts'
import { createEndedAlertRoutes, type EndedAlertsAnswer } from '../../../analyzer/api/ended-alerts.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { principalOf, testServer } from './server.ts'

const NOW_MS = Date.UTC(2026, 10, 21, 12)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const alert = (tenant: string, fields: Partial<Alert> = {}): Alert => ({
  ...{ rule: 'used', quota: 'q', subject: { tenant }, tenant, consumer: null, level: 1, sinceMs: 1, endedAtMs: null },
  ...{ unit: 'requests', used: 5, limit: 5, probability: 1, windowEndMs: 9, confidence: 'normal', why: '', asOfMs: 1 },
  ...{ exhaustionAtMs: { p10: 1, p50: 1, p90: 1 }, told: [], untold: ['chat', 'ops'] },
  ...fields,
})
const OVER = 'Over, and nobody has to be told.'

let testStore: TestStore
let offset = 0
const held = new Map<string, Alert>()
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

/** Changes of one alert, `agoMs` before now: its value (`null` removes it) and the reason. */
async function changes(key: string, ...made: [agoMs: number, value: Alert | null, reason: string][]) {
  const values = made.map(([agoMs, value, reason]) => ({
    ...{ change_id: randomUUID(), by: 'analyzer', kind: 'alert', key, reason, expected_version: 0, version: 1 },
    at: new Date(NOW_MS - agoMs).toISOString().replace('T', ' ').replace('Z', ''),
    value: value === null ? '' : JSON.stringify(value),
    ...{ log_id: 'log', log_partition: 0, log_offset: ++offset },
  }))
  await testStore.store.client.insert({ table: 'audit', values, format: 'JSONEachRow' })
}

async function get(query = '', tenant?: string) {
  const server = await testServer([
    createEndedAlertRoutes({
      ...{ client: testStore.store.client, principalOf, now: () => NOW_MS },
      alerting: { held: () => held },
    }),
  ])
  const answer = await server.inject({
    url: `/v1/alerts/ended${query}`,
    headers: tenant === undefined ? {} : { 'x-tenant': tenant },
  })
  const { alerts, nextCursor } = answer.json() as EndedAlertsAnswer
  return { status: answer.statusCode, alerts, nextCursor }
}
const keys = async (query?: string, tenant?: string) => (await get(query, tenant)).alerts.map(({ key }) => key)

test('an alert is over when nobody has to be told any more, and is answered with what was known last', async () => {
  const begun = alert('acme', { sinceMs: NOW_MS - 2 * HOUR_MS })
  const over = { ...begun, used: 1, endedAtMs: NOW_MS - HOUR_MS }
  await changes(
    'a',
    [2 * HOUR_MS, begun, 'acme has run out of q.'],
    [2 * HOUR_MS - 1, { ...begun, untold: ['chat'] }, 'Told ops.'],
    [2 * HOUR_MS - 2, { ...begun, untold: [] }, 'Told chat.'],
    [HOUR_MS, over, 'acme has some of q left again.'],
    [HOUR_MS - 1, { ...over, untold: ['chat'] }, 'Told ops.'],
  )
  expect((await get()).alerts).toEqual([])
  await changes('a', [HOUR_MS - 2, null, 'Told chat.'])
  const { told: _told, untold: _untold, ...known } = over
  expect((await get()).alerts).toEqual([{ key: 'a', title: 'acme has run out of q', ...known, told: ['chat', 'ops'] }])
})

test('one that ended without a word ended when it was removed, and nobody was told', async () => {
  await changes(
    'silent',
    [3 * HOUR_MS, alert('beta', { rule: 'exhaustion', level: 0.7, sinceMs: 7 }), ''],
    [2 * HOUR_MS, null, OVER],
  )
  const [, silent] = (await get()).alerts
  expect(silent).toMatchObject({ key: 'silent', sinceMs: 7, endedAtMs: NOW_MS - 2 * HOUR_MS, told: [] })
})

test('each time that an alert was there is one of its own', async () => {
  await changes(
    'again',
    [50 * MINUTE_MS, alert('acme', { quota: 'r', sinceMs: 1 }), ''],
    [49 * MINUTE_MS, null, 'Told ops.'],
    [48 * MINUTE_MS, alert('acme', { quota: 'r', sinceMs: 2 }), ''],
    [47 * MINUTE_MS, null, OVER],
    [46 * MINUTE_MS, alert('acme', { quota: 'r', sinceMs: 3 }), ''],
  )
  expect((await get('?quota=r')).alerts.map(({ sinceMs, told }) => [sinceMs, told])).toEqual([
    [2, []],
    [1, ['ops']],
  ])
})

test('a removal that lost against another change ends nothing', async () => {
  const still = alert('acme', { sinceMs: 4 })
  await changes('held', [HOUR_MS, still, ''], [30 * MINUTE_MS, null, OVER], [30 * MINUTE_MS, null, OVER])
  expect(await keys()).toContain('held')
  held.set('held', still)
  expect(await keys()).not.toContain('held')
})

test('they are narrowed by tenant, quota, time and number', async () => {
  await changes('old', [20 * DAY_MS, alert('acme'), ''], [2 * DAY_MS, null, OVER])
  expect(await keys('?tenant=beta')).toEqual(['silent'])
  expect(await keys('?quota=none')).toEqual([])
  expect(await keys()).toEqual(['again', 'again', 'a', 'silent'])
  expect(await keys('?from=-3d')).toEqual(['again', 'again', 'a', 'silent', 'old'])
  expect(await keys('?quota=r&limit=1')).toEqual(['again'])
  expect((await get('?from=yesterday')).status).toBe(400)
})

test('they are answered page by page, also where a removal ended nothing, and where many ended at once', async () => {
  for (const key of ['x', 'y', 'z']) await changes(key, [5 * HOUR_MS, alert('many'), ''], [4 * HOUR_MS, null, OVER])
  await changes(
    'lost',
    [5 * HOUR_MS, alert('many'), ''],
    [3.9 * HOUR_MS, null, OVER],
    [3.8 * HOUR_MS, alert('many'), ''],
    [3.7 * HOUR_MS, null, OVER],
  )
  const found: string[] = []
  const pages: number[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page = await get(`?tenant=many&limit=1${cursor && `&cursor=${cursor}`}`)
    found.push(...page.alerts.map(({ key }) => key))
    pages.push(page.alerts.length)
    cursor = page.nextCursor
  }
  expect(found).toEqual(['lost', 'x', 'y', 'z'])
  expect(pages).toEqual([1, 0, 1, 1, 1])
  expect((await get('?cursor=nonsense')).status).toBe(400)
})

test('a token of one tenant sees no other, though the quota was made another tenant’s', async () => {
  expect(await keys('', 'beta')).toEqual(['silent'])
  expect((await get('?tenant=acme', 'beta')).status).toBe(403)
  await changes('a', [9 * MINUTE_MS, alert('beta', { sinceMs: 5 }), ''], [8 * MINUTE_MS, null, OVER])
  expect((await get('', 'beta')).alerts.map(({ key, sinceMs }) => [key, sinceMs])).toEqual([
    ['a', 5],
    ['silent', 7],
  ])
})
