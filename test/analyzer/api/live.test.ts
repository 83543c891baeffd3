import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { createLive, type Live } from '../../../analyzer/api/live.ts'
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../analyzer/tick/ticker.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeDecisions } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const SILENCE_MS = 300
const HEARTBEAT_MS = 15_000
/** Of the rows of one tenant. */
const ROWS_PER_TENANT_MAX = 50

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

let snapshot: Snapshot = { ...EMPTY_SNAPSHOT, asOfMs: 1 }
let live: Live
let server: FastifyInstance
let url: string
const clients: AbortController[] = []
let revoked: string[] = []
const mayStay = (request: { headers: Record<string, unknown> }) =>
  !revoked.includes(String(request.headers['x-tenant']))

const serve = async () => {
  live = createLive({ client: testStore.store.client, snapshot: () => snapshot, principalOf, mayStay, now: Date.now })
  server = await testServer([live.routes])
  url = await server.listen({ host: '127.0.0.1', port: 0 })
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.abort()
  await server.close()
})

/** What a client was told so far. */
async function connect(tenant?: string) {
  const abort = new AbortController()
  clients.push(abort)
  const response = await fetch(`${url}/v1/live`, {
    headers: tenant === undefined ? {} : { 'x-tenant': tenant },
    signal: abort.signal,
  })
  const told = { status: response.status, type: response.headers.get('content-type'), text: '', hasEnded: false }
  const read = async () => {
    for await (const part of response.body ?? []) told.text += Buffer.from(part).toString()
    told.hasEnded = true
  }
  void read().catch(() => undefined)
  return told
}
const events = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`event: ${name}\\ndata: (.*)\\n`, 'g'))].map(([, data = '']) => JSON.parse(data))

test('a client is told what there is at once, each tick after, and each denial as far as it may see it', async () => {
  await serve()
  const all = await connect()
  const globex = await connect('globex')
  expect(all).toMatchObject({ status: 200, type: 'text/event-stream' })
  await expect.poll(() => events(globex.text, 'tick')).toMatchObject([{ asOfMs: 1, skipped: null }])

  snapshot = { ...snapshot, asOfMs: 2 }
  await storeDecisions(testStore.store, [
    { quota: 'q', subject: { tenant: 'acme', consumer: 'app' }, atMs: Date.now(), denied: 3, deniedCost: 30 },
  ])
  await live.publish()
  await expect.poll(() => events(all.text, 'tick').at(-1)).toMatchObject({ asOfMs: 2 })
  await expect.poll(() => events(all.text, 'denials').at(-1)?.denials).toMatchObject([{ denied: 3 }])
  await expect.poll(() => events(globex.text, 'denials')).toEqual([{ denied: 0, denials: [] }])

  // What has not changed is not told again.
  const before = all.text
  await live.publish()
  await sleep(SILENCE_MS)
  expect(all.text).toBe(before)
})

test('all denials are counted, also those that are not told one by one', async () => {
  const subjects = Array.from({ length: ROWS_PER_TENANT_MAX + 10 }, (_, index) => ({
    tenant: 'many',
    consumer: `app-${index}`,
  }))
  await storeDecisions(
    testStore.store,
    subjects.map(subject => ({ quota: 'q', subject, atMs: Date.now(), denied: 2 })),
  )
  await serve()
  const many = await connect('many')
  const newest = () => events(many.text, 'denials').at(-1)
  await expect.poll(() => newest()?.denials).toHaveLength(ROWS_PER_TENANT_MAX)
  expect(newest().denied).toBe(2 * subjects.length)
})

test('while no tick ends, how it stands is told all the same', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  await serve()
  const client = await connect()
  await expect.poll(() => events(client.text, 'tick')).toHaveLength(1)
  snapshot = { ...snapshot, skipped: 'the store hangs' }
  onTestFinished(() => {
    snapshot = { ...snapshot, skipped: null }
  })
  vi.advanceTimersByTime(2 * HEARTBEAT_MS)
  await expect.poll(() => events(client.text, 'tick')).toHaveLength(3)
  expect(events(client.text, 'tick').at(-1)).toMatchObject({ skipped: 'the store hangs' })
})

test('who is revoked is told nothing more, and the stream ends', async () => {
  await serve()
  const acme = await connect('acme')
  const globex = await connect('globex')
  for (const client of [acme, globex]) await expect.poll(() => events(client.text, 'tick')).toHaveLength(1)
  revoked = ['acme']
  onTestFinished(() => {
    revoked = []
  })
  snapshot = { ...snapshot, asOfMs: 7 }
  await live.publish()
  await expect.poll(() => acme.hasEnded).toBe(true)
  expect(events(acme.text, 'tick').filter(({ asOfMs }) => asOfMs === 7)).toEqual([])
  await expect.poll(() => events(globex.text, 'tick').at(-1)).toMatchObject({ asOfMs: 7 })
  expect(globex.hasEnded).toBe(false)
})

test('a server that closes does not wait for its streams', async () => {
  await serve()
  const client = await connect()
  await server.close()
  await expect.poll(() => client.hasEnded).toBe(true)
})

test('the store may be away: ticks are told all the same', async () => {
  live = createLive({
    client: { query: () => Promise.reject(new Error('away')) } as never,
    ...{ snapshot: () => snapshot, principalOf, mayStay, now: Date.now },
  })
  server = await testServer([live.routes])
  url = await server.listen({ host: '127.0.0.1', port: 0 })
  const client = await connect()
  snapshot = { ...snapshot, asOfMs: 3 }
  await live.publish()
  await expect.poll(() => events(client.text, 'tick').at(-1)).toMatchObject({ asOfMs: 3 })
})
