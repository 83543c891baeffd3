import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

let opened: TestStore
beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened?.close())

test('forecasts stay for a thousand windows, for two days at least and 400 at most, in one part or in several', async () => {
  const { store, rows } = opened
  const nowMs = Date.now()
  const madeBefore = (days: number, windowMs: number) => {
    const atMs = nowMs - days * DAY_MS
    const toText = (ms: number) => new Date(ms).toISOString()
    const window = { window_start: toText(atMs), window_end: toText(atMs + windowMs), as_of: toText(atMs) }
    return { quota: `${windowMs / MINUTE_MS} minutes, ${days} days`, ...window }
  }
  const values = [
    ...[1, 3].map(days => madeBefore(days, MINUTE_MS)),
    ...[40, 43].map(days => madeBefore(days, HOUR_MS)),
    ...[399, 401].map(days => madeBefore(days, 365 * DAY_MS)),
  ]
  await store.client.insert({ table: 'forecasts', values, format: 'JSONEachRow' })
  await store.client.command({ query: 'OPTIMIZE TABLE forecasts FINAL' })
  const kept = await rows<{ quota: string }>('SELECT quota FROM forecasts ORDER BY as_of DESC')
  expect(kept.map(({ quota }) => quota)).toEqual([
    '1 minutes, 1 days',
    '60 minutes, 40 days',
    '525600 minutes, 399 days',
  ])
})
