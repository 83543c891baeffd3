import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { demandOf, usedInWindow } from '../../../analyzer/tick/demand.ts'
import { isFollowed } from '../../../analyzer/tick/followed-quota.ts'
import { rateLevel, slidingUse } from '../../../analyzer/tick/passing-use.ts'
import { loadQuotaSeries, type QuotaSeries } from '../../../analyzer/tick/quota-series.ts'
import { readFresh } from '../../../analyzer/usage/fresh.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { testQuota } from '../quotas.ts'
import { storeCalls, storeDecisions } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** The middle of an hour, a day ago. */
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - DAY_MS + 30 * MINUTE_MS
/** Began ten days ago, at an odd instant, and goes on for long. */
const long = {
  kind: 'fixed',
  everySeconds: 25 * 86_400,
  anchor: new Date(nowMs - 10 * DAY_MS + 217).toISOString(),
} as const
const subject = { tenant: 'acme', consumer: 'app' }

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  for (const table of ['calls', 'decisions']) {
    await testStore.store.client.command({ query: `TRUNCATE TABLE ${table}` })
  }
})

async function load(quota: Quota, subjectsMax = 100): Promise<QuotaSeries> {
  if (!isFollowed(quota)) throw new Error('expected a quota that is followed')
  const { client } = testStore.store
  const { seen } = await readFresh(client, 'decisions', { seen: null, nowMs })
  return await loadQuotaSeries(client, quota, { nowMs, budget: { left: subjectsMax }, decisionsSeen: seen })
}

/** What the subject used in the window of now. */
async function used(quota: Quota): Promise<number> {
  const series = await load(quota)
  const key = JSON.stringify(Object.values(subject))
  const one = series.subjects.get(key)
  return one ? usedInWindow(series, key, one, bucketAt(quota.window, nowMs)) : 0
}

/** One call a minute, and what its check had estimated. */
const minutes = (count: number) => Array.from({ length: count }, (_, index) => nowMs - (index + 1) * MINUTE_MS)

describe('checks and records of the same calls', () => {
  for (const [name, window] of [
    ['an hour', { kind: 'fixed', everySeconds: 3600 }],
    ['many days', long],
  ] as const) {
    test(`count by the record, which replaces the estimate of its check, in a window of ${name}`, async () => {
      const quota = testQuota({ unit: 'total_tokens', window })
      const starts = [...minutes(20), ...(name === 'an hour' ? [] : minutes(20).map(atMs => atMs - 5 * DAY_MS))]
      await storeCalls(
        testStore.store,
        starts.map(startedAtMs => ({ startedAtMs, total_tokens: 100 })),
      )
      const sums = starts.map(atMs => ({ quota: 'quota', subject, unit: 'total_tokens', atMs, allowed: 1, spent: 500 }))
      await storeDecisions(testStore.store, sums)
      expect(await used(quota)).toBe(starts.length * 100)
      // Two more whose calls have not ended yet count as they were estimated.
      const pending = {
        quota: 'quota',
        subject,
        unit: 'total_tokens',
        atMs: nowMs - 25 * MINUTE_MS,
        allowed: 2,
        spent: 1_000,
      }
      await storeDecisions(testStore.store, [pending])
      expect(await used(quota)).toBe(starts.length * 100 + 1_000)
      expect(await used({ ...quota, counts: 'checks' })).toBe(starts.length * 500 + 1_000)
      expect(await used({ ...quota, counts: 'records' })).toBe(starts.length * 100)
    })
  }
})

describe('sums of decisions', () => {
  test('of an earlier life of the log still count', async () => {
    const quota = testQuota({ counts: 'checks', window: long })
    const sums = { quota: 'quota', subject, allowed: 3, spent: 3 }
    await storeDecisions(testStore.store, [{ ...sums, atMs: nowMs - 5 * DAY_MS, logId: 'before' }])
    await storeDecisions(testStore.store, [{ ...sums, atMs: nowMs - HOUR_MS, logId: 'after' }])
    expect(await used(quota)).toBe(6)
  })

  test('in another unit, from before the quota was changed, do not', async () => {
    const sums = { quota: 'quota', subject, atMs: nowMs - MINUTE_MS, allowed: 3 }
    await storeDecisions(testStore.store, [
      { ...sums, unit: 'requests', spent: 3 },
      { ...sums, unit: 'total_tokens', spent: 700 },
    ])
    expect(await used(testQuota({ unit: 'total_tokens', counts: 'checks' }))).toBe(700)
  })

  test('of other dimensions, from before the quota was changed, count where they say enough', async () => {
    await storeDecisions(testStore.store, [
      { quota: 'quota', subject: { ...subject, model: 'large' }, atMs: nowMs - MINUTE_MS, allowed: 1, spent: 1 },
      { quota: 'quota', subject: { tenant: 'acme' }, atMs: nowMs - MINUTE_MS, allowed: 5, spent: 5 },
    ])
    expect(await used(testQuota({ counts: 'checks' }))).toBe(1)
  })
})

describe('subjects', () => {
  const three = ['a', 'b', 'b', 'c', 'c', 'c'].map((consumer, index) => ({
    startedAtMs: nowMs - (index % 2) * 3 * DAY_MS - MINUTE_MS,
    consumer,
  }))

  test('that are cut off are counted, also when not one may be followed', async () => {
    await storeCalls(testStore.store, three)
    const keys = async (subjectsMax: number) => {
      const { subjects, subjectsCut } = await load(testQuota({ window: long }), subjectsMax)
      return [[...subjects.keys()].map(key => subjects.valuesOf(key)?.[1]), subjectsCut]
    }
    expect(await keys(5)).toEqual([['c', 'b', 'a'], 0])
    expect(await keys(2)).toEqual([['c', 'b'], 1])
    expect(await keys(0)).toEqual([[], 3])
  })

  test('that called lately come before those that ended, and use in the window before older use', async () => {
    const of = (consumer: string, counts: Record<number, number>) =>
      Object.entries(counts).flatMap(([daysAgo, count]) =>
        Array.from({ length: count }, () => ({ startedAtMs: nowMs - Number(daysAgo) * DAY_MS - MINUTE_MS, consumer })),
      )
    const window = [...of('rotated', { 3: 6 }), ...of('steady', { 9: 3, 0: 1 }), ...of('new', { 0: 2 })]
    await storeCalls(testStore.store, [...window, ...of('ended', { 20: 9 }), ...of('before', { 15: 5, 0: 1 })])
    const keys = async (subjectsMax: number) => {
      const { subjects } = await load(testQuota({ window: long }), subjectsMax)
      return [...subjects.keys()].map(key => subjects.valuesOf(key)?.[1])
    }
    expect(await keys(5)).toEqual(['steady', 'new', 'before', 'rotated', 'ended'])
    expect(await keys(2)).toEqual(['steady', 'new'])
  })

  test('that only ask take their places among those whose calls are recorded', async () => {
    const ago = (consumer: string, daysAgo: number) => ({ startedAtMs: nowMs - daysAgo * DAY_MS - MINUTE_MS, consumer })
    await storeCalls(testStore.store, [
      ago('steady', 0),
      ago('steady', 0),
      ago('steady', 0),
      ago('small', 0),
      ago('ended', 3),
    ])
    const asks = (consumer: string, spent: number, unit = 'requests') =>
      ({ quota: 'quota', subject: { ...subject, consumer }, unit, atMs: nowMs - MINUTE_MS, allowed: 1, spent }) as const
    await storeDecisions(testStore.store, [asks('asking', 2), asks('small', 1), asks('others', 9, 'errors')])
    const of = async (quota: object, subjectsMax: number) => {
      const { subjects, subjectsCut, liveCut } = await load(testQuota({ window: long, ...quota }), subjectsMax)
      return [[...subjects.keys()].map(key => subjects.valuesOf(key)?.[1]), subjectsCut, liveCut]
    }
    for (const counts of ['checks', 'checks_and_records'] as const) {
      expect(await of({ counts }, 5)).toEqual([['steady', 'asking', 'small', 'ended'], 0, 0])
      expect(await of({ counts }, 2)).toEqual([['steady', 'asking'], 2, 1])
    }
    expect(await of({ counts: 'records' }, 2)).toEqual([['steady', 'small'], 1, 0])
  })

  test('with dimensions that nobody knows are subjects too', async () => {
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - MINUTE_MS, tenant: '', consumer: '' }])
    const { subjects } = await load(testQuota({}))
    expect([...subjects.keys()]).toEqual(['["",""]'])
  })
})

test('a quota of seconds needs no long history', async () => {
  const { grid } = await load(testQuota({ window: { kind: 'fixed', everySeconds: 10 } }))
  expect(nowMs - grid.startMs).toBeLessThan(HOUR_MS)
  expect((await load(testQuota({ window: { kind: 'fixed', everySeconds: 300 } }))).grid.steps).toBeGreaterThan(2_000)
})

describe('without a reset', () => {
  test('what has just passed is used', async () => {
    // Whole hours, so that what is read from the hourly projection lies where it was.
    const atMs = (days: number) => nowMs - days * DAY_MS - 30 * MINUTE_MS
    await storeCalls(
      testStore.store,
      [1, 3, 6, 8].map(days => ({ startedAtMs: atMs(days), total_tokens: days })),
    )
    const usedIn = async (days: number) => {
      const window = { kind: 'sliding', everySeconds: days * 86_400 }
      const series = await load(testQuota({ unit: 'total_tokens', window, counts: 'records' }))
      const one = series.subjects.get(JSON.stringify(Object.values(subject)))
      if (!one) throw new Error('expected the subject to be followed')
      const { window: spec } = series.quota
      if (spec.kind !== 'sliding') throw new Error('expected a sliding window')
      return slidingUse(series, one, spec, { nowMs, sinceMs: 0, forgiven: 0 })
    }
    const week = await usedIn(7)
    expect(week.used).toBe(10)
    // What was used six days ago counts for another day, and a slot (a 32nd of the week) at most.
    expect([0.9, 1.3, 3.9, 4.3, 7.3].map(days => week.counts(nowMs + days * DAY_MS))).toEqual([10, 4, 4, 1, 0])
    expect((await usedIn(2)).used).toBe(1)
  })

  test('a rate has a level: what came, less what drained since', async () => {
    const minute = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS
    await storeCalls(
      testStore.store,
      Object.entries({ 20: 7, 10: 60, 1: 4 }).map(([ago, units]) => ({
        startedAtMs: minute - Number(ago) * MINUTE_MS,
        total_tokens: units,
      })),
    )
    const window = { kind: 'rate', everySeconds: 3600 }
    const series = await load(testQuota({ unit: 'total_tokens', window, counts: 'records' }))
    const one = series.subjects.get(JSON.stringify(Object.values(subject)))
    const { window: spec } = series.quota
    if (!one || spec.kind !== 'rate') throw new Error('expected a rate that is followed')
    const level = (sinceMs: number) =>
      rateLevel(series, one, spec, { nowMs: minute, sinceMs, limits: [{ fromMs: 0, limit: 120 }] })
    // Two a minute drain: the first 7 have, of the 60 there are 40 left, of the 4 there are 2.
    expect(level(0)).toBeCloseTo(60 + 4 - 20)
    expect(level(minute - 5 * MINUTE_MS)).toBeCloseTo(2)
  })

  test('calls under way are not followed: no record tells of them', () => {
    expect(isFollowed(testQuota({ unit: 'concurrent_requests', window: undefined }))).toBe(false)
  })
})

test('demand is raised by the calls that have begun and are not logged yet', async () => {
  const quota = testQuota({ window: { kind: 'fixed', everySeconds: 7200 } })
  // One a minute for six hours, each logged when it ends, five minutes after it began.
  const starts = minutes(360).filter(atMs => atMs + 5 * MINUTE_MS <= nowMs)
  await storeCalls(
    testStore.store,
    starts.map(startedAtMs => ({ startedAtMs, arrivedAtMs: startedAtMs + 5 * MINUTE_MS - 1 })),
  )
  const series = await load(quota)
  const one = series.subjects.get(JSON.stringify(Object.values(subject)))
  if (!one) throw new Error('the subject is followed')
  const window = bucketAt(quota.window, nowMs)
  const into = new Float64Array(series.grid.steps + 1)
  const { history, missing } = demandOf(series, one, { nowMs, sinceMs: window.startMs }, into)
  expect(missing).toBeGreaterThan(2.5)
  expect(missing).toBeLessThan(5)
  expect(history.total.at(-1)).toBeCloseTo(starts.length + missing)
})

describe('peers', () => {
  const day = { kind: 'fixed', everySeconds: 86_400 } as const
  /** Ten hours of one call an hour, of another consumer each, two days ago. */
  const callsOf = (consumers: number, model: string) =>
    Array.from({ length: consumers * 10 }, (_, index) => ({
      startedAtMs: nowMs - 2 * DAY_MS + Math.floor(index / consumers) * HOUR_MS,
      consumer: `app-${index % consumers}`,
      model,
    }))

  test('are those that share all but the consumer, where there are enough of them, else the tenant', async () => {
    const quota = testQuota({ window: day, per: ['tenant', 'model', 'consumer'] })
    await storeCalls(testStore.store, [...callsOf(6, 'large'), ...callsOf(2, 'small')])
    const { peersOf } = await load(quota)
    expect(peersOf(['acme', 'large', 'new'])).toMatchObject({ count: 6, who: 'subjects with the same tenant, model' })
    expect(peersOf(['acme', 'small', 'new'])).toMatchObject({ count: 8, who: 'subjects of the same tenant' })
    expect(peersOf(['other', 'small', 'new'])).toMatchObject({ count: 8, who: 'subjects of this quota' })
  })

  test('count up to now: what is dated ahead is no part of a rate', async () => {
    const quota = testQuota({ window: day, per: ['tenant', 'model', 'consumer'] })
    await storeCalls(testStore.store, callsOf(6, 'large'))
    const ratesOf = async () => (await load(quota)).peersOf(['acme', 'large', 'new'])?.rates
    const before = await ratesOf()
    const ahead = Array.from({ length: 600 }, (_, index) => ({
      ...{ startedAtMs: nowMs + 50 * MINUTE_MS, arrivedAtMs: nowMs, consumer: `app-${index % 6}`, model: 'large' },
    }))
    await storeCalls(testStore.store, ahead)
    expect(await ratesOf()).toEqual(before)
  })
})
