import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { openFitting } from '../../../analyzer/tick/fitting.ts'
import { type FollowedQuota, isFollowed } from '../../../analyzer/tick/followed-quota.ts'
import { writeKept } from '../../../analyzer/tick/kept-forecasts.ts'
import { isInShard, ofShard, parseShard } from '../../../analyzer/tick/shard.ts'
import { createOthers } from '../../../analyzer/tick/stored-forecasts.ts'
import { createTicker } from '../../../analyzer/tick/ticker.ts'
import { readRows } from '../../../analyzer/usage/selection.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { forecast } from '../api/forecast-fixture.ts'
import { testQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** The middle of an hour, a day ago. */
const middayMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 24 * HOUR_MS + 30 * MINUTE_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())

function followed(options: Record<string, unknown>): FollowedQuota {
  const quota = testQuota(options)
  if (!isFollowed(quota)) throw new Error('expected a quota that is followed')
  return quota
}

test('is written as the second of three, and nothing else', () => {
  expect(parseShard('2/3')).toEqual({ index: 1, count: 3 })
  for (const wrong of ['0/3', '4/3', '1', '1/0', 'a/b', '1/257', '-1/2']) expect(parseShard(wrong), wrong).toBeNull()
})

test('every subject is in one shard, whatever the order of its dimensions, and quotas without any are spread', () => {
  const quota = followed({ per: ['tenant', 'consumer'] })
  const turned = followed({ per: ['consumer', 'tenant'] })
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.integer({ min: 1, max: 8 }), (tenant, consumer, count) => {
      const shards = Array.from({ length: count }, (_, index) => ({ index, count }))
      const own = shards.filter(shard => isInShard(shard, quota, [tenant, consumer]))
      expect(own).toHaveLength(1)
      expect(shards.filter(shard => isInShard(shard, turned, [consumer, tenant]))).toEqual(own)
      expect(shards.filter(shard => isInShard(shard, followed({ per: [] }), []))).toHaveLength(1)
    }),
    { numRuns: 50 },
  )
})

test('the store finds the same subjects', async () => {
  const values = [
    '',
    'app',
    'über',
    '日本',
    "it's",
    'a\u001fb',
    'x'.repeat(300),
    ...Array.from({ length: 60 }, (_, n) => `k${n}`),
  ]
  await storeCalls(
    testStore.store,
    values.map(consumer => ({ startedAtMs: middayMs, consumer, tenant: 'shards' })),
  )
  const quota = followed({ per: ['tenant', 'consumer'] })
  const selection = {
    unit: 'requests',
    match: { sql: "tenant = 'shards'", params: {} },
    columns: ['consumer'],
  } as const
  for (const shard of [0, 1, 2].map(index => ({ index, count: 3 }))) {
    const { sql, params } = ofShard(selection, shard, quota).match
    const found: string[] = []
    const query = `SELECT consumer FROM calls WHERE ${sql}`
    await readRows<[string]>(testStore.store.client, query, { ...params }, ([consumer]) => found.push(consumer))
    const expected = values.filter(consumer => isInShard(shard, quota, ['shards', consumer]))
    expect(found.toSorted()).toEqual(expected.toSorted())
    expect(found.length).toBeGreaterThan(10)
  }
})

test('two analyzers follow all subjects between them, and each answers what the other stored', async () => {
  const nowMs = middayMs
  const consumers = Array.from({ length: 20 }, (_, n) => `app-${n}`)
  await storeCalls(
    testStore.store,
    consumers.flatMap(consumer =>
      Array.from({ length: 25 }, (_, minute) => ({ consumer, startedAtMs: nowMs - (minute + 1) * MINUTE_MS })),
    ),
  )
  const policy = createPolicy([
    testQuota({ match: { tenant: 'acme' }, limit: 40 }),
    testQuota({ name: 'all', per: [] }),
  ])
  // Made while the quotas told their subjects apart by something else, or counted something else.
  const window = { windowStartMs: nowMs - HOUR_MS, windowEndMs: nowMs + HOUR_MS, asOfMs: nowMs - MINUTE_MS }
  const old = (quota: string, subject: Record<string, string>, more = {}) => ({
    mark: '3/12',
    forecast: { ...forecast(quota, 'app-0', 0.5), ...window, subject, ...more },
  })
  await writeKept(testStore.store.client, [
    ...['a', 'b', 'c'].map(consumer => old('all', { consumer })),
    ...['a', 'b', 'c'].map(model => old('quota', { tenant: 'acme', consumer: 'app-0', model })),
    ...consumers.map(consumer => old('quota', { tenant: 'acme', consumer: `old-${consumer}` }, { unit: 'bytes' })),
  ])
  const tickerOf = (index: number) =>
    createTicker({
      ...{ client: testStore.store.client, policy: () => policy, subjectsMax: 100, now: () => nowMs },
      ...{ fitting: openFitting(0), shard: { index, count: 2 } },
    })
  const first = await tickerOf(0).tick()
  const second = await tickerOf(1).tick()
  const names = (forecasts: typeof first.forecasts) => forecasts.map(({ quota, consumer }) => `${quota} ${consumer}`)
  const all = [...consumers.map(consumer => `quota ${consumer}`), 'all null']
  expect([...names(first.forecasts), ...names(second.forecasts)].toSorted()).toEqual(all.toSorted())
  expect(Math.min(first.forecasts.length, second.forecasts.length)).toBeGreaterThan(3)
  expect(first.others).toEqual([])
  expect(names(second.others).toSorted()).toEqual(names(first.forecasts).toSorted())
  const byName = new Map(first.forecasts.map(one => [`${one.quota} ${one.consumer}`, one]))
  for (const other of second.others) {
    const made = byName.get(`${other.quota} ${other.consumer}`)
    expect(other).toMatchObject({
      isStored: true,
      used: made?.used,
      exhaustionAtMs: made?.exhaustionAtMs,
      asOfMs: nowMs,
    })
    expect(other.probability).toBeCloseTo(made?.probability ?? -1)
  }
})

test('what others stored is read again within a minute, also after the clock was set back', async () => {
  const policy = createPolicy([testQuota({ name: 'set-back' })])
  const readOthers = createOthers(testStore.store.client, { index: 0, count: 2 })
  const consumers = Array.from({ length: 8 }, (_, n) => `app-${n}`)
  const store = (used: number) =>
    writeKept(
      testStore.store.client,
      consumers.map(consumer => ({
        mark: '3/12',
        forecast: {
          ...{ ...forecast('set-back', consumer, 0.5), used, asOfMs: middayMs + used },
          ...{ windowStartMs: middayMs - HOUR_MS, windowEndMs: middayMs + HOUR_MS },
        },
      })),
    )
  const usedAt = async (nowMs: number) => (await readOthers(policy, nowMs))[0]?.used
  await store(1)
  expect(await usedAt(middayMs)).toBe(1)
  await store(2)
  expect(await usedAt(middayMs + MINUTE_MS - 1)).toBe(1)
  expect(await usedAt(middayMs + MINUTE_MS)).toBe(2)
  await store(3)
  expect(await usedAt(middayMs - HOUR_MS / 2)).toBe(3)
})

test('what others stored has the limit that holds now, whatever it was stored under', async () => {
  const nowMs = middayMs
  const consumers = Array.from({ length: 8 }, (_, n) => `app-${n}`)
  const window = { windowStartMs: nowMs - HOUR_MS, windowEndMs: nowMs + HOUR_MS, asOfMs: nowMs - MINUTE_MS }
  const stored = (quota: string, limit: number | null) =>
    consumers.map(consumer => ({ mark: '3/12', forecast: { ...forecast(quota, consumer, 0.5), ...window, limit } }))
  await writeKept(testStore.store.client, [...stored('granted', 40), ...stored('unsaid', null)])
  const quotas = [
    testQuota({ name: 'granted', limit: 50 }),
    testQuota({ name: 'unsaid', limit: 'upstream', match: { providerKey: 'k' } }),
  ]
  const grant = { quota: 'granted', subject: null, amount: 7, fromMs: 0, untilMs: nowMs + MINUTE_MS }
  const policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, grants: [grant] })
  const others = await createOthers(testStore.store.client, { index: 0, count: 2 })(policy, nowMs)
  const limits = others.map(({ quota, limit, limitChanges }) => JSON.stringify([quota, limit, limitChanges]))
  expect([...new Set(limits)].toSorted()).toEqual([
    JSON.stringify(['granted', 57, [{ fromMs: grant.untilMs, limit: 50 }]]),
    JSON.stringify(['unsaid', null, []]),
  ])
})
