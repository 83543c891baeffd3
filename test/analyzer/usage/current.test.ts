import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readUsage } from '../../../analyzer/usage/current.ts'
import { keyOfSubject, type Selection } from '../../../analyzer/usage/selection.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const beginMs = nowMs - 10 * HOUR_MS

const requests: Selection = { unit: 'requests', match: { sql: '1', params: {} }, columns: ['consumer'] }

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
const client = () => testStore.store.client

test('what was used is exact to the millisecond, whatever the bounds', async () => {
  const starts = Array.from({ length: 400 }, (_, index) => beginMs + index * 83_777)
  await storeCalls(
    testStore.store,
    starts.map((startedAtMs, index) => ({ startedAtMs, consumer: `app-${index % 3}` })),
  )
  const edge = fc.oneof(
    fc.integer({ min: beginMs - HOUR_MS, max: nowMs + HOUR_MS }),
    fc.constantFrom(...starts, ...starts.map(atMs => atMs + 1)),
    fc.nat(11).map(hours => beginMs + hours * HOUR_MS),
  )
  await fc.assert(
    fc.asyncProperty(edge, edge, async (fromMs, toMs) => {
      const usage = await readUsage(client(), requests, fromMs, toMs)
      for (const app of [0, 1, 2]) {
        const inside = starts.filter((atMs, index) => index % 3 === app && atMs >= fromMs && atMs < toMs)
        expect(usage.get(keyOfSubject([`app-${app}`])) ?? 0).toBe(inside.length)
      }
    }),
    { numRuns: 40 },
  )
})
