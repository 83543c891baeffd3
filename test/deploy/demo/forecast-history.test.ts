/** Forecasts of the past know what was known then, and nothing of what came later. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { keepPastForecasts } from '../../../deploy/demo/forecast-history.ts'
import { testQuota } from '../../analyzer/quotas.ts'
import { storeCalls } from '../../analyzer/store-calls.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const HOUR_MS = 3_600_000
const NOW_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const QUOTA = testQuota({ name: 'hourly', unit: 'requests', limit: 100 })
const SLIDING = testQuota({
  name: 'sliding',
  unit: 'requests',
  limit: 100,
  window: { kind: 'sliding', everySeconds: 600, slots: 32 },
})

let store: TestStore
beforeAll(async () => {
  store = await openTestStore()
  // One call a minute for a day, and in the last hour three.
  const steady = Array.from({ length: 24 * 60 }, (_, minute) => NOW_MS - 24 * HOUR_MS + minute * 60_000 + 1_000)
  const more = Array.from({ length: 120 }, (_, index) => NOW_MS - HOUR_MS + index * 30_000 + 2_000)
  await storeCalls(
    store.store,
    [...steady, ...more].map(startedAtMs => ({ startedAtMs, total_tokens: 1 })),
  )
})
afterAll(() => store?.close())

test('one is kept in each twelfth of a window, with what was used by then', async () => {
  const kept = await keepPastForecasts(store.store, [QUOTA, SLIDING], { fromMs: NOW_MS - 3 * HOUR_MS, toMs: NOW_MS })
  const rows = await store.rows<{
    quota: string
    mark: string
    minute: number
    used: number
    hour: number
    probability: number
  }>(
    `SELECT quota, mark, dateDiff('minute', window_start, as_of) AS minute, used, probability,
       dateDiff('hour', window_start, fromUnixTimestamp64Milli(${NOW_MS})) AS hour
     FROM forecasts ORDER BY as_of, mark`,
  )
  expect(rows).toHaveLength(kept)
  expect(new Set(rows.map(({ quota }) => quota))).toEqual(new Set(['hourly']))
  const twelfths = rows.filter(({ mark }) => mark.includes('/'))
  expect(twelfths.filter(({ hour }) => hour === 2).map(({ mark }) => mark)).toEqual(
    Array.from({ length: 12 }, (_, part) => `${part}/12`),
  )
  for (const { minute, used, hour } of twelfths) expect(used).toBe(hour === 1 ? 3 * minute : minute)
  // What nobody could foresee is not foreseen.
  const before = twelfths.filter(({ hour }) => hour === 2)
  expect(Math.max(...before.map(({ probability }) => probability))).toBeLessThan(0.2)
  expect(twelfths.at(-1)?.probability).toBeGreaterThan(0.7)
})

test('only those of the time asked for', async () => {
  expect(await keepPastForecasts(store.store, [QUOTA], { fromMs: NOW_MS - 10 * 60_000, toMs: NOW_MS })).toBeLessThan(5)
})
