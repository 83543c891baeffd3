import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDenialRoutes } from '../../../analyzer/api/denials.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeDecisions } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 30)
const MINUTE_MS = 60_000
const minute = (ago: number) => Math.floor(NOW_MS / MINUTE_MS) * MINUTE_MS - ago * MINUTE_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
  const denied = (consumer: string, ago: number, count: number, tenant = 'acme') => ({
    ...{ quota: 'q', subject: { tenant, consumer }, atMs: minute(ago), denied: count, deniedCost: 10 * count },
  })
  await storeDecisions(testStore.store, [
    denied('app', 5, 2),
    denied('app', 5, 1),
    denied('app', 1, 4),
    denied('other', 3, 1),
    denied('app', 2, 7, 'globex'),
    { ...denied('app', 0, 0), allowed: 3, spent: 3, deniedCost: 0 },
    denied('app', 2_000, 9),
    ...['/v1/chat', '/v1/search', ''].map((route, index) => ({
      ...{ quota: 'by-route', subject: { tenant: 'initech', route }, atMs: minute(index), denied: index + 1 },
    })),
  ])
})
afterAll(() => testStore?.close())

async function denials(query = '', tenant?: string) {
  const server = await testServer([
    createDenialRoutes({ client: testStore.store.client, labelColumns: ['team'], principalOf, now: () => NOW_MS }),
  ])
  const answer = await server.inject({
    url: `/v1/denials${query}`,
    headers: tenant === undefined ? {} : { 'x-tenant': tenant },
  })
  return { status: answer.statusCode, denials: answer.json().denials }
}

test('the denials of a day are added up by minute, quota and subject, the newest first', async () => {
  expect((await denials('?tenant=acme')).denials).toEqual([
    {
      quota: 'q',
      subject: { tenant: 'acme', consumer: 'app' },
      unit: 'requests',
      minuteMs: minute(1),
      denied: 4,
      deniedCost: 40,
    },
    {
      quota: 'q',
      subject: { tenant: 'acme', consumer: 'other' },
      unit: 'requests',
      minuteMs: minute(3),
      denied: 1,
      deniedCost: 10,
    },
    {
      quota: 'q',
      subject: { tenant: 'acme', consumer: 'app' },
      unit: 'requests',
      minuteMs: minute(5),
      denied: 3,
      deniedCost: 30,
    },
  ])
})

test('they are narrowed by consumer, quota, time and number', async () => {
  expect((await denials('?consumer=other')).denials).toHaveLength(1)
  expect((await denials('?quota=none')).denials).toEqual([])
  expect((await denials('?quota=q&from=-3m')).denials).toHaveLength(2)
  expect((await denials('?quota=q&limit=1')).denials).toMatchObject([{ minuteMs: minute(1) }])
})

test('they are narrowed by whatever tells the subjects of a quota', async () => {
  const ofRoute = async (route: string) =>
    (await denials(`?quota=by-route&tenant=initech&route=${encodeURIComponent(route)}`)).denials
  expect(await ofRoute('/v1/search')).toMatchObject([{ subject: { route: '/v1/search' }, denied: 2 }])
  expect(await ofRoute('')).toMatchObject([{ subject: { route: '' }, denied: 3 }])
  expect((await denials('?quota=by-route&team=none')).denials).toEqual([])
  expect((await denials('?colour=red')).status).toBe(400)
})

test('a caller of one tenant sees no other', async () => {
  expect((await denials('', 'globex')).denials).toMatchObject([{ denied: 7, subject: { tenant: 'globex' } }])
  expect((await denials('?tenant=acme', 'globex')).status).toBe(403)
})
