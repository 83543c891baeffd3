import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openAnalyzer } from '../../analyzer/analyzer.ts'
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

test('calls become forecasts by themselves, and the loss of the store is said and survived', async () => {
  const nowMs = Date.now()
  const calls = Array.from({ length: 40 }, (_, index) => ({ startedAtMs: nowMs - (index + 1) * MINUTE_MS }))
  await storeCalls(testStore.store, calls)
  const policy = createPolicy([testQuota({ window: { kind: 'calendar', every: 'month' } })])
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const log = await openLog(dir)
  const control = await openControl({ log, logger: pino({ level: 'silent' }) })
  const analyzer = await openAnalyzer({
    options: { tickSeconds: 1, subjectsMax: 10, shard: '1/1', threads: 1 },
    alerts: { channels: {}, groupSeconds: 30 },
    currency: 'USD',
    store: testStore.store,
    control,
    configured: new Set(),
    policy: () => policy,
    labelColumns: [],
    principalOf,
    logger: pino({ level: 'silent' }),
  })
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
  await analyzer.close()
  await server.close()
  await control.close()
  await log.close()
  await rm(dir, { recursive: true, force: true })
})
