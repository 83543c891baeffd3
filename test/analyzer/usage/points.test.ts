import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPoints } from '../../../analyzer/usage/points.ts'
import type { Selection } from '../../../analyzer/usage/selection.ts'
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

test('points of minutes and of hours add up to the same', async () => {
  const calls = Array.from({ length: 300 }, (_, index) => ({
    startedAtMs: beginMs + index * 100_003,
    consumer: `app-${index % 2}`,
    outcome: index % 10 ? 'ok' : 'limited',
  }))
  await storeCalls(testStore.store, calls)
  const read = async (stepMs: number) => {
    const ask = { fromMs: beginMs, toMs: nowMs, stepMs, pointsMax: 1000 }
    const points = (await readPoints(client(), requests, ask)) ?? []
    expect(points).toEqual(
      points.toSorted((a, b) => a.subject.join().localeCompare(b.subject.join()) || a.startMs - b.startMs),
    )
    return points.reduce((sum, { units }) => sum + units, 0)
  }
  expect(await read(MINUTE_MS)).toBe(270)
  expect(await read(HOUR_MS)).toBe(270)
  expect(
    await readPoints(client(), requests, { fromMs: beginMs, toMs: nowMs, stepMs: MINUTE_MS, pointsMax: 5 }),
  ).toBeNull()
})
