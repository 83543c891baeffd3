import { afterAll, beforeAll, expect, test } from 'vitest'
import { readLateness } from '../../../analyzer/usage/lateness.ts'
import type { Selection } from '../../../analyzer/usage/selection.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'

const HOUR_MS = 3_600_000
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const EDGES_MS = [1_000, 60_000, HOUR_MS]

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

test('calls count by how late they arrived, of those that have had the time and of the selection', async () => {
  const call = (startedAtMs: number, lateMs: number, model = 'large') => ({
    startedAtMs,
    arrivedAtMs: startedAtMs + lateMs,
    model,
  })
  await storeCalls(testStore.store, [
    call(nowMs - 2 * HOUR_MS, 500),
    call(nowMs - 2 * HOUR_MS, 30_000),
    call(nowMs - 3 * HOUR_MS, 59_999),
    call(nowMs - 3 * HOUR_MS, 1_800_000),
    // An import of what is long past, too young to know, too old to matter, of another model.
    call(nowMs - 3 * HOUR_MS, 90 * HOUR_MS),
    call(nowMs - 60_000, 500),
    call(nowMs - 20 * HOUR_MS, 500),
    call(nowMs - 2 * HOUR_MS, 500, 'small'),
  ])
  const selection: Selection = {
    unit: 'requests',
    match: { sql: 'model = {model:String}', params: { model: 'large' } },
    columns: [],
  }
  expect(await readLateness(testStore.store.client, selection, nowMs, EDGES_MS)).toEqual([1, 3, 4])
  const none: Selection = { ...selection, match: { sql: 'model = {model:String}', params: { model: 'tiny' } } }
  expect(await readLateness(testStore.store.client, none, nowMs, EDGES_MS)).toEqual([0, 0, 0])
})
