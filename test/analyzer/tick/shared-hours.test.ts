import type { ClickHouseClient } from '@clickhouse/client'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createSharedHours, type Hours, type HoursAsk } from '../../../analyzer/tick/shared-hours.ts'
import type { Selection } from '../../../analyzer/usage/selection.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const untilMs = nowMs - 36 * HOUR_MS
const requests: Selection = { unit: 'requests', match: { sql: '1', params: {} }, columns: ['consumer'] }
const ask: HoursAsk = { nowMs, untilMs, subjects: 10, isCut: false }

let testStore: TestStore
/** First hours of the ranges that were read. */
let readFrom: unknown[] = []
/** Fails when that many have been read. */
let failsAfter = Number.POSITIVE_INFINITY
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  readFrom = []
  failsAfter = Number.POSITIVE_INFINITY
  await testStore.store.client.command({ query: 'TRUNCATE TABLE calls' })
})

const sharedHours = () => {
  const { client } = testStore.store
  const query: ClickHouseClient['query'] = params => {
    if (readFrom.length >= failsAfter) throw new Error('the store is away')
    readFrom.push(params.query_params?.fromMs)
    return client.query(params)
  }
  return createSharedHours({ query } as ClickHouseClient)
}

const callsAt = (consumer: string, ...hoursAgo: number[]) =>
  storeCalls(
    testStore.store,
    hoursAgo.map(ago => ({ startedAtMs: untilMs - ago * HOUR_MS, consumer })),
  )

/** Hours before `untilMs` in which each consumer made calls, and how many. */
const shown = ({ packed, subjects }: Hours) =>
  Object.fromEntries(
    Array.from(subjects.values(), ({ subject, at }) => {
      const { length, slots, units } = packed.read(at)
      const byHour = Array.from({ length }, (_, index) => [untilMs / HOUR_MS - (slots[index] ?? 0), units[index]])
      return [subject.join(), byHour]
    }),
  )

test('are read once, whoever asks, and later only those that are new', async () => {
  await callsAt('app', 50, 3, 3, 1)
  const hours = sharedHours()
  const first = await hours.read(requests, ask)
  expect(shown(first)).toEqual({
    app: [
      [50, 1],
      [3, 2],
      [1, 1],
    ],
  })
  expect(await hours.read({ ...requests }, ask)).toBe(first)
  expect(readFrom).toHaveLength(1)
  await callsAt('app', 0)
  await callsAt('new', 0)
  expect(await hours.read(requests, { ...ask, nowMs: nowMs + HOUR_MS, untilMs: untilMs + HOUR_MS })).toBe(first)
  expect(readFrom[1]).toBe(untilMs)
  expect(shown(first)).toEqual({
    app: [
      [50, 1],
      [3, 2],
      [1, 1],
      [0, 1],
    ],
    new: [[0, 1]],
  })
  await hours.read({ ...requests, unit: 'total_tokens' }, ask)
  expect(readFrom).toHaveLength(3)
})

test('with late calls among them are read again, all of them, and so are all after a day', async () => {
  await callsAt('app', 3, 1)
  const hours = sharedHours()
  const first = await hours.read(requests, ask)
  await callsAt('app', 3, 2)
  expect(shown(await hours.read(requests, ask))).toEqual({
    app: [
      [3, 1],
      [1, 1],
    ],
  })
  first.isStale = true
  expect(shown(await hours.read(requests, ask))).toEqual({
    app: [
      [3, 2],
      [2, 1],
      [1, 1],
    ],
  })
  await callsAt('app', 1)
  await hours.read(requests, { ...ask, nowMs: nowMs + DAY_MS })
  expect(shown(first)).toEqual({
    app: [
      [3, 2],
      [2, 1],
      [1, 2],
    ],
  })
})

test('of subjects that have had none for longer than calls are held are forgotten', async () => {
  await callsAt('app', 3)
  await callsAt('gone', 4)
  const hours = sharedHours()
  const first = await hours.read(requests, ask)
  await hours.read(requests, { ...ask, nowMs: nowMs + 27 * DAY_MS })
  expect(Object.keys(shown(first))).toEqual(['app', 'gone'])
  await hours.read(requests, { ...ask, nowMs: nowMs + 30 * DAY_MS - 36 * HOUR_MS - HOUR_MS })
  expect(shown(first)).toEqual({ app: [[3, 1]] })
})

test('of many subjects are read piece by piece, and where that fails, all over again', async () => {
  await callsAt('app', 700, 300, 2)
  const hours = sharedHours()
  failsAfter = 1
  const many = { ...ask, subjects: 10_000 }
  await expect(hours.read(requests, many)).rejects.toThrow('away')
  failsAfter = Number.POSITIVE_INFINITY
  expect(shown(await hours.read(requests, many))).toEqual({
    app: [
      [300, 1],
      [2, 1],
    ],
  })
  expect(readFrom).toHaveLength(4)
})

test('of the most used subjects only are nobody else’s', async () => {
  await callsAt('app', 2)
  const hours = sharedHours()
  const first = await hours.read(requests, { ...ask, isCut: true })
  expect(await hours.read(requests, { ...ask, isCut: true })).not.toBe(first)
})
