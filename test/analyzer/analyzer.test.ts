import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type AnalyzerDeps, openAnalyzer } from '../../analyzer/analyzer.ts'
import { openControl } from '../../analyzer/control/control.ts'
import { createPolicy } from '../../analyzer/policy/policy.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { principalOf, testServer } from './api/server.ts'
import { openLog } from './limit/call-records.ts'
import { testQuota } from './quotas.ts'
import { storeCalls } from './store-calls.ts'

const MINUTE_MS = 60_000

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

const openTestAnalyzer = async (deps: Partial<AnalyzerDeps> = {}) => {
  const policy = createPolicy([testQuota({ window: { kind: 'calendar', every: 'month' } })])
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const logger = pino({ level: 'silent' })
  const log = await openLog(dir)
  const control = await openControl({ log, logger })
  const analyzer = await openAnalyzer({
    options: { tickSeconds: 1, subjectsMax: 10, shard: '1/1', threads: 1 },
    alerts: { channels: {}, groupSeconds: 30 },
    currency: 'USD',
    ...{
      store: testStore.store,
      control,
      configured: new Set(),
      policy: () => policy,
      labelColumns: [],
      nameOf: String,
    },
    ...{ principalOf, mayStay: () => true, logger, ...deps },
  })
  const close = async () => {
    await analyzer.close()
    await control.close()
    await log.close()
    await rm(dir, { recursive: true, force: true })
  }
  return { analyzer, close }
}

test('that no tick ends any more is said, too', async () => {
  const { store } = testStore
  let behindMs = 0
  let hanging: ((error: Error) => void)[] | null = null
  const query: typeof store.client.query = asked =>
    hanging === null ? store.client.query(asked) : new Promise((_, reject) => hanging?.push(reject))
  const client: typeof store.client = Object.assign(Object.create(store.client), { query })
  const { analyzer, close } = await openTestAnalyzer({ store: { ...store, client }, now: () => Date.now() + behindMs })
  await expect.poll(() => analyzer.readiness()).toEqual({ isReady: true, reasons: [] })

  hanging = []
  await expect.poll(() => hanging?.length).toBeGreaterThan(0)
  expect(analyzer.status().skipped).toBeNull()
  behindMs = 60_000
  const [, seconds] = /^no tick has ended for (\d+) s, the store may hang$/.exec(analyzer.status().skipped ?? '') ?? []
  expect(Number(seconds)).toBeGreaterThanOrEqual(60)
  for (const fail of hanging) fail(new Error('gone'))
  await close()
})

test('a store that is not there yet is no warning, one that was lost is', async () => {
  const { store } = testStore
  let isAway = true
  const query: typeof store.client.query = asked =>
    isAway ? Promise.reject(new Error('away')) : store.client.query(asked)
  const client: typeof store.client = Object.assign(Object.create(store.client), { query })
  const lines: { level: number; msg: string }[] = []
  const logger = pino({}, { write: line => lines.push(JSON.parse(line)) })
  const { analyzer, close } = await openTestAnalyzer({ store: { ...store, client }, logger })
  const levels = () => lines.flatMap(({ level, msg }) => (msg === 'ticks are skipped' ? [level] : []))
  await expect.poll(levels).toEqual([pino.levels.values.info])
  isAway = false
  await expect.poll(() => analyzer.readiness()).toEqual({ isReady: true, reasons: [] })
  isAway = true
  await expect.poll(levels).toEqual([pino.levels.values.info, pino.levels.values.warn])
  await close()
})

describe('alerts', () => {
  let status: number
  let told: string[]
  let channel: Server
  beforeAll(async () => {
    channel = createServer((request, response) => {
      request
        .on('data', body => status === 204 && told.push(JSON.parse(body).data.title))
        .on('end', () => {
          response.writeHead(status).end()
        })
    })
    await new Promise<void>(resolve => channel.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => testStore.store.client.command({ query: 'TRUNCATE TABLE calls' }))
  afterAll(() => channel?.close())

  const openAlerting = async (client: typeof testStore.store.client) => {
    status = 204
    told = []
    const { store } = testStore
    const nowMs = Date.now()
    const anchor = new Date(nowMs - 86_400_000).toISOString()
    const window = { kind: 'fixed', everySeconds: 10 * 86_400, anchor }
    const policy = createPolicy([testQuota({ match: { consumer: 'alerting' }, limit: 3, window })])
    const calls = [1, 2, 3].map(minutes => ({ startedAtMs: nowMs - minutes * MINUTE_MS, consumer: 'alerting' }))
    await storeCalls(store, calls)
    const url = `http://127.0.0.1:${(channel.address() as AddressInfo).port}/`
    const alerts = { channels: { ops: { kind: 'webhook', url, headers: {} } as const }, groupSeconds: 1 }
    return await openTestAnalyzer({ store: { ...store, client }, policy: () => policy, alerts })
  }

  test('are told also while the store does not keep forecasts', async () => {
    const { client } = testStore.store
    const insert = () => Promise.reject(new Error('no space left'))
    const { analyzer, close } = await openAlerting(Object.assign(Object.create(client), { insert }))
    await expect.poll(() => told).toEqual(['acme / alerting has run out of quota'])
    expect(analyzer.status().skipped).toBe('no space left')
    await close()
  })

  test('that wait for a channel are told also while the store is away', async () => {
    const { client } = testStore.store
    let isAway = false
    const query: typeof client.query = asked => (isAway ? Promise.reject(new Error('away')) : client.query(asked))
    const { analyzer, close } = await openAlerting(Object.assign(Object.create(client), { query }))
    status = 500
    await expect.poll(async () => (await analyzer.readiness()).reasons).toContainEqual(expect.stringContaining('500'))
    isAway = true
    await expect.poll(() => analyzer.status().skipped).toBe('away')
    status = 204
    await expect.poll(() => told).toEqual(['acme / alerting has run out of quota'])
    await close()
  })
})

test('calls become forecasts by themselves, and the loss of the store is said and survived', async () => {
  const nowMs = Date.now()
  const calls = Array.from({ length: 40 }, (_, index) => ({ startedAtMs: nowMs - (index + 1) * MINUTE_MS }))
  await storeCalls(testStore.store, calls)
  const { analyzer, close } = await openTestAnalyzer()
  expect(await analyzer.readiness()).toEqual({ isReady: false, reasons: ['the first tick has not ended yet'] })
  const server = await testServer(analyzer.routes)
  const forecasts = async () => (await server.inject('/v1/forecasts')).json().forecasts as { used: number }[]
  await expect.poll(forecasts).toHaveLength(1)
  expect(await analyzer.readiness()).toEqual({ isReady: true, reasons: [] })

  await testStore.engine.stop()
  await expect
    .poll(() => analyzer.readiness())
    .toEqual({ isReady: true, reasons: [expect.stringContaining('skipped')] })
  expect(await forecasts()).toHaveLength(1)
  expect(analyzer.status().skipped).not.toBeNull()
  await close()
  await server.close()
})
