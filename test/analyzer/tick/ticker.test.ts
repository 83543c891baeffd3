import pino from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Adjustments, createPolicy, NO_ADJUSTMENTS, type Policy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { openFitting } from '../../../analyzer/tick/fitting.ts'
import { WHOLE } from '../../../analyzer/tick/shard.ts'
import { createTicker } from '../../../analyzer/tick/ticker.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import type { WindowOptions } from '../../../analyzer/usage/window-options.ts'
import { openStore } from '../../../collector/store/open.ts'
import { freePorts } from '../../free-ports.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { testQuota } from '../quotas.ts'
import { storeCalls, storeDecisions } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** The middle of an hour, a day ago: instants on both sides can be written without being dropped as too old. */
const middayMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - DAY_MS + 30 * MINUTE_MS

let testStore: TestStore
let nowMs = middayMs
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  nowMs = middayMs
  for (const table of ['calls', 'decisions', 'forecasts']) {
    await testStore.store.client.command({ query: `TRUNCATE TABLE ${table}` })
  }
})

const tickerWith = (policy: () => Policy, subjectsMax = 100) =>
  createTicker({
    client: testStore.store.client,
    policy,
    subjectsMax,
    fitting: openFitting(0),
    shard: WHOLE,
    now: () => nowMs,
  })
const tickerOf = (quotas: readonly Quota[], subjectsMax = 100) => {
  const policy = createPolicy(quotas)
  return tickerWith(() => policy, subjectsMax)
}

/** One call a minute from `fromMs` on. */
const minutely = (fromMs: number, toMs: number, consumer = 'app') =>
  Array.from({ length: Math.floor((toMs - fromMs) / MINUTE_MS) }, (_, index) => ({
    startedAtMs: fromMs + index * MINUTE_MS,
    consumer,
  }))

const decide = (quota: string, subject: Record<string, string>, sums: { spent: number; deniedCost: number }) =>
  storeDecisions(testStore.store, [{ quota, subject, atMs: nowMs - MINUTE_MS, ...sums }])

describe('what a subject used is exact', () => {
  const windows: Record<string, Partial<WindowOptions>> = {
    hour: { kind: 'fixed', everySeconds: 3600 },
    'hour off the clock': { kind: 'fixed', everySeconds: 3600, anchor: '2026-01-01T00:17:03.217Z' },
    '100 minutes': { kind: 'fixed', everySeconds: 6000 },
    day: { kind: 'calendar', every: 'day', timezone: 'Asia/Kolkata' },
    'three days off the clock': { kind: 'fixed', everySeconds: 3 * 86_400, anchor: '2026-01-01T00:17:03.217Z' },
    month: { kind: 'calendar', every: 'month', timezone: 'Europe/Berlin', startsOn: 7 },
  }

  for (const [name, window] of Object.entries(windows)) {
    test(`in a window of ${name}, at first, with what comes, late calls and calls dated ahead, and in the next window`, async () => {
      const quota = testQuota({ window })
      const starts: number[] = []
      const send = async (more: number[]) => {
        starts.push(...more)
        await storeCalls(
          testStore.store,
          more.map(startedAtMs => ({ startedAtMs, arrivedAtMs: nowMs })),
        )
      }
      const ticker = tickerOf([quota])
      const check = async () => {
        const { forecasts } = await ticker.tick()
        const { startMs, endMs } = bucketAt(quota.window, nowMs)
        expect(forecasts[0]?.used).toBe(starts.filter(atMs => atMs >= startMs && atMs < endMs).length)
      }
      await send(
        Array.from({ length: 2_000 }, (_, index) => nowMs - index * 733_331).filter(atMs => atMs > nowMs - 16 * DAY_MS),
      )
      await check()
      await send([nowMs - 1, nowMs - MINUTE_MS])
      await check()
      // Of a gateway whose clock is ahead.
      await send([nowMs + 3 * HOUR_MS, bucketAt(quota.window, nowMs).endMs - 1])
      await check()
      // Calls from before the part that is read anew are found by a complete reading, at most once a minute.
      const { startMs } = bucketAt(quota.window, nowMs)
      nowMs += 2 * MINUTE_MS
      await send([startMs, startMs - 1, nowMs - 50 * HOUR_MS])
      await ticker.tick()
      await check()
      nowMs += HOUR_MS + MINUTE_MS
      await send([nowMs - 10])
      await check()
    })
  }
})

test('a tick whose process stops is broken off between subjects', async () => {
  const consumers = Array.from({ length: 200 }, (_, index) => `app ${index}`)
  const startedAtMs = Array.from({ length: 30 }, (_, index) => nowMs - (index + 1) * HOUR_MS)
  await storeCalls(
    testStore.store,
    consumers.flatMap(consumer => startedAtMs.map(atMs => ({ startedAtMs: atMs, consumer }))),
  )
  const stopping = new AbortController()
  const fitting = openFitting(0)
  let fitted = 0
  const fit: typeof fitting.fit = asks => {
    fitted += asks.length
    stopping.abort()
    return fitting.fit(asks)
  }
  const policy = createPolicy([testQuota({ window: { kind: 'calendar', every: 'day' } })])
  const ticker = createTicker({
    ...{ client: testStore.store.client, policy: () => policy, subjectsMax: 1_000, shard: WHOLE, now: () => nowMs },
    fitting: { ...fitting, fit },
    signal: stopping.signal,
  })
  await expect(ticker.tick()).rejects.toThrow()
  expect(fitted).toBeGreaterThan(0)
  expect(fitted).toBeLessThan(100)
})

test('without anything new no forecast is made again before it is due', async () => {
  await storeCalls(testStore.store, minutely(nowMs - HOUR_MS, nowMs))
  const ticker = tickerOf([testQuota({ window: { kind: 'calendar', every: 'day' } })])
  expect((await ticker.tick()).forecastsMade).toBe(1)
  nowMs += 5_000
  expect((await ticker.tick()).forecastsMade).toBe(0)
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 10 }])
  expect((await ticker.tick()).forecastsMade).toBe(1)
  nowMs += 2 * MINUTE_MS
  expect((await ticker.tick()).forecastsMade).toBe(1)
})

test('a gateway that only asks has use and demand, and is not counted twice by its records', async () => {
  const ticker = tickerOf([testQuota({ limit: 100 }), testQuota({ name: 'by-records', counts: 'records', limit: 100 })])
  const subject = { tenant: 'acme', consumer: 'app' }
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  await decide('quota', subject, { spent: 5, deniedCost: 2 })
  const used = async () => (await ticker.tick()).forecasts.map(forecast => forecast.used)
  expect(await used()).toEqual([20 - 1 + 5, 20])
  await decide('quota', subject, { spent: 3, deniedCost: 0 })
  expect(await used()).toEqual([20 - 1 + 8, 20])
  expect(await used()).toEqual([20 - 1 + 8, 20])
  await decide('quota', { tenant: 'acme', consumer: 'new' }, { spent: 4, deniedCost: 0 })
  expect(await used()).toEqual([27, 4, 20])
})

test('a window that is longer than calls are kept is said to be known in part only', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  const anchor = new Date(nowMs - 40 * DAY_MS).toISOString()
  const window = { kind: 'fixed', everySeconds: 90 * 86_400, anchor }
  const [forecast] = (await tickerOf([testQuota({ window, limit: 1 })]).tick()).forecasts
  expect(forecast).toMatchObject({ used: 20, probability: 1, confidence: 'low' })
  expect(forecast?.why).toContain('only the last 30 days')
})

test('demand that was refused is forecast, though it was not used', async () => {
  const calls = minutely(nowMs - 20 * MINUTE_MS, nowMs)
  const refused = calls.flatMap(call => Array.from({ length: 9 }, () => ({ ...call, outcome: 'limited' })))
  await storeCalls(testStore.store, [...calls, ...refused])
  const [forecast] = (await tickerOf([testQuota({ limit: 100 })]).tick()).forecasts
  expect(forecast?.used).toBe(20)
  expect(forecast?.usageAtReset?.p50).toBeGreaterThan(200)
  expect(forecast?.probability).toBeGreaterThan(0.9)
})

test('what is changed for a subject holds in its forecast, in the next tick and without new calls', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  const quota = testQuota({ limit: 30 })
  const subject = { tenant: 'acme', consumer: 'app' }
  let policy = createPolicy([quota])
  const ticker = tickerWith(() => policy)
  const forecastUnder = async (adjustments: Partial<Adjustments>) => {
    policy = createPolicy([quota], { ...NO_ADJUSTMENTS, ...adjustments })
    return (await ticker.tick()).forecasts[0]
  }
  expect(await forecastUnder({})).toMatchObject({ used: 20, limit: 30, limitChanges: [] })
  const grant = { quota: 'quota', subject, amount: 500, fromMs: nowMs + MINUTE_MS, untilMs: nowMs + DAY_MS }
  const granted = await forecastUnder({ grants: [grant] })
  expect(granted).toMatchObject({ limit: 30, limitChanges: [{ fromMs: nowMs + MINUTE_MS, limit: 530 }] })
  expect(granted?.probability).toBeLessThan(0.2)
  const overrides = [{ quota: 'quota', subject, limit: 20 }]
  const overridden = await forecastUnder({ overrides })
  expect(overridden?.probability).toBe(1)
  const burnRate = overridden?.burnRate ?? Number.NaN
  const { endMs } = bucketAt(quota.window, nowMs)
  const reset = { quota: 'quota', subject, used: 16, fromMs: nowMs - 4.5 * MINUTE_MS, untilMs: endMs }
  const forgiven = await forecastUnder({ overrides, resets: [reset] })
  expect(forgiven).toMatchObject({ limit: 20, used: 20 - 16 })
  expect(forgiven?.headroom?.p50).toBeCloseTo(20 - (forgiven?.usageAtReset?.p50 ?? 0))
  // What came to be known later was used before, too, but for the minute of the reset; what was counted too much is no room.
  expect((await forecastUnder({ overrides, resets: [{ ...reset, used: 7 }] }))?.used).toBe(20 - 15)
  expect((await forecastUnder({ overrides, resets: [{ ...reset, used: 500 }] }))?.used).toBe(20 - 16)
  // What was forgiven makes nobody slower.
  expect(forgiven?.burnRate).toBeCloseTo(burnRate)
})

test('a limit that was used up elsewhere is reached now, and is not 0', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  const quota = testQuota({ limit: 'upstream', match: { providerKey: 'k' } })
  const subject = { tenant: 'acme', consumer: 'app' }
  const forecastWith = async (elsewhere: number) => {
    const untilMs = bucketAt(quota.window, nowMs).endMs
    const learned = [{ quota: 'quota', subject, limit: 100, deniedUntilMs: null, elsewhere, untilMs }]
    const policy = createPolicy([{ ...quota, conditions: [] }], { ...NO_ADJUSTMENTS, learned })
    return (await tickerWith(() => policy).tick()).forecasts[0]
  }
  const nobodyKnowsWhen = { p10: nowMs, p50: nowMs, p90: nowMs }
  for (const elsewhere of [80, 100, 120]) {
    const forecast = await forecastWith(elsewhere)
    expect(forecast).toMatchObject({
      probability: 1,
      limit: 100,
      used: 20 + elsewhere,
      exhaustionAtMs: nobodyKnowsWhen,
    })
    expect(forecast?.why).toBe(
      `The limit is reached: by what the provider says is left, ${elsewhere} were used elsewhere.`,
    )
  }
  expect((await forecastWith(70))?.why).not.toContain('reached')
  // What went through here alone was too much.
  await storeCalls(
    testStore.store,
    minutely(nowMs - 30 * MINUTE_MS, nowMs).flatMap(call => [call, call, call]),
  )
  expect(await forecastWith(10)).toMatchObject({ why: 'The limit is reached.', used: 120 })
})

test('a sliding window and a rate are forecast as far as their length goes', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * HOUR_MS, nowMs))
  const windows = { sliding: { kind: 'sliding', everySeconds: 7_200 }, rate: { kind: 'rate', everySeconds: 7_200 } }
  const quotas = Object.entries(windows).flatMap(([name, window]) =>
    [90, 400].map(limit => testQuota({ name: `${name}-${limit}`, window, limit })),
  )
  const { forecasts } = await tickerOf(quotas).tick()
  const found = Object.fromEntries(forecasts.map(one => [one.quota, one]))
  expect(found['sliding-90']).toMatchObject({ probability: 1, exhaustionAtMs: { p50: nowMs } })
  expect(found['sliding-400']?.used).toBeGreaterThanOrEqual(120)
  expect(found['sliding-400']?.used).toBeLessThan(126)
  expect(found['sliding-400']?.usageAtReset?.p50).toBeCloseTo(120, -1.5)
  expect(found['sliding-400']?.probability).toBeLessThan(0.05)
  expect(found['rate-400']).toMatchObject({ windowEndMs: nowMs + 2 * HOUR_MS, confidence: 'normal' })
  expect(found['rate-400']?.probability).toBeLessThan(0.05)
  expect(found['rate-90']?.probability).toBe(1)
})

test('a sliding window begins where what is used begins to count: with its oldest slot', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * HOUR_MS, nowMs))
  const windows = [4, 5, 7, 9].map(slots => ({ kind: 'sliding', everySeconds: 7_200, slots }))
  const quotas = windows.map(window => testQuota({ name: `slots-${window.slots}`, window }))
  const { forecasts } = await tickerOf(quotas).tick()
  const sinceBegin = forecasts.map(({ windowStartMs }) => (nowMs - windowStartMs) / MINUTE_MS)
  expect(forecasts.map(({ used }) => used)).toEqual(sinceBegin)
})

test('quotas that add up the same in the same windows share what is learnt, whatever their limits', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * HOUR_MS, nowMs))
  const here = openFitting(0)
  let learnt = 0
  const fitting = {
    ...here,
    fit: (asks: Parameters<typeof here.fit>[0]) => {
      learnt += asks.length
      return here.fit(asks)
    },
  }
  const quotas = [
    testQuota({ name: 'soft', limit: 70, enforcement: 'shadow' }),
    testQuota({ name: 'hard', limit: 55 }),
    testQuota({ name: 'daily', window: { kind: 'calendar', every: 'day' } }),
  ]
  const policy = createPolicy(quotas)
  const client = testStore.store.client
  const ticker = createTicker({
    client,
    policy: () => policy,
    subjectsMax: 10,
    fitting,
    shard: WHOLE,
    now: () => nowMs,
  })
  const snapshot = await ticker.tick()
  const [soft, hard] = snapshot.forecasts
  expect(snapshot.find('hard', ['acme', 'app'])).toBe(hard)
  expect(snapshot.find('hard', ['acme', 'nobody'])).toBeUndefined()
  expect(learnt).toBe(2)
  expect(soft?.usageAtReset?.p50).toBeCloseTo(hard?.usageAtReset?.p50 ?? 0, -1)
  expect(hard?.probability).toBeGreaterThan(soft?.probability ?? 1)
})

test('the most used subjects are followed, the others counted', async () => {
  const calls = ['a', 'b', 'c', 'd'].flatMap((consumer, index) =>
    minutely(nowMs - (index + 1) * 5 * MINUTE_MS, nowMs, consumer),
  )
  await storeCalls(testStore.store, calls)
  const ticker = tickerOf([testQuota({})], 2)
  const first = await ticker.tick()
  expect(first.forecasts.map(({ consumer }) => consumer).toSorted()).toEqual(['c', 'd'])
  expect(first.subjectsCut).toBe(2)
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, consumer: 'new' }])
  expect((await ticker.tick()).forecasts).toHaveLength(2)
})

describe('where there are too many subjects', () => {
  // It began ten days ago, on whichever day this runs.
  const anchor = new Date(middayMs - 10 * DAY_MS).toISOString()
  const month = { window: { kind: 'fixed', everySeconds: 20 * 86_400, anchor } } as const
  const quotas = [
    testQuota({ name: 'first', match: { consumer: 'first*' }, ...month }),
    testQuota({ name: 'second', match: { consumer: 'second*' }, ...month }),
  ]
  const calls = (name: string, ended: number, live: number) =>
    Array.from({ length: ended + live }, (_, index) => ({
      startedAtMs: nowMs - (index < ended ? 3 * DAY_MS : MINUTE_MS),
      consumer: `${name}-${index < ended ? 'ended' : 'live'}-${index}`,
    }))
  const followed = (forecasts: readonly { consumer: string | null }[]) =>
    Object.entries(Object.groupBy(forecasts, ({ consumer }) => (consumer ?? '').replace(/-\d+$/, '')))
      .map(([who, some]) => `${who} ${some?.length}`)
      .toSorted()

  test('those that called lately come before those that ended, of whichever quota, from the first tick on', async () => {
    await storeCalls(testStore.store, [...calls('first', 6, 1), ...calls('second', 3, 3)])
    const ticker = tickerOf(quotas, 6)
    const before = await ticker.tick()
    expect(followed(before.forecasts)).toEqual(['first-ended 2', 'first-live 1', 'second-live 3'])
    expect(before.subjectsCut).toBe(7)
    nowMs += HOUR_MS
    await storeCalls(
      testStore.store,
      calls('second', 0, 2).map(call => ({ ...call, consumer: `${call.consumer}9` })),
    )
    const after = await ticker.tick()
    expect(followed(after.forecasts)).toEqual(['first-live 1', 'second-live 5'])
    expect(after.subjectsCut).toBe(9)
  })

  test('an earlier quota comes first where there are too many of those that called lately, too', async () => {
    await storeCalls(testStore.store, [...calls('first', 2, 3), ...calls('second', 2, 3)])
    const { forecasts, subjectsCut } = await tickerOf(quotas, 4).tick()
    expect(followed(forecasts)).toEqual(['first-live 3', 'second-live 1'])
    expect(subjectsCut).toBe(6)
  })

  test('one that was cut off and calls when there is room is soon known by all that it used', async () => {
    await storeCalls(testStore.store, [...calls('first', 2, 0), ...calls('second', 1, 1)])
    let policy = createPolicy(quotas)
    const ticker = tickerWith(() => policy, 3)
    expect(followed((await ticker.tick()).forecasts)).toEqual(['first-ended 2', 'second-live 1'])
    policy = createPolicy(quotas.slice(1))
    await ticker.tick()
    nowMs += MINUTE_MS
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1_000, consumer: 'second-ended-0' }])
    await ticker.tick()
    nowMs += MINUTE_MS
    const { forecasts, subjectsCut } = await ticker.tick()
    expect(forecasts.find(({ consumer }) => consumer === 'second-ended-0')?.used).toBe(2)
    expect(subjectsCut).toBe(0)
  })

  test('no place stays free for those that called lately and have one', async () => {
    await storeCalls(testStore.store, [...calls('first', 6, 1), ...calls('second', 3, 3)])
    const ticker = tickerOf(quotas, 9)
    for (let hour = 0; hour < 3; hour++) {
      expect(followed((await ticker.tick()).forecasts)).toEqual(['first-ended 5', 'first-live 1', 'second-live 3'])
      nowMs += HOUR_MS
    }
  })
})

test('whose a forecast is comes from `per` or from a match of one value', async () => {
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  const quotas = [
    testQuota({}),
    testQuota({ name: 'matched', per: [], match: { tenant: 'acme' } }),
    testQuota({ name: 'prefixed', per: ['model'], match: { tenant: 'ac*' } }),
  ]
  const { forecasts } = await tickerOf(quotas).tick()
  expect(forecasts.map(({ tenant, consumer, used }) => [tenant, consumer, used])).toEqual([
    ['acme', 'app', 20],
    ['acme', null, 20],
    [null, null, 20],
  ])
})

describe('of many quotas', () => {
  const tenants = Array.from({ length: 6 }, (_, index) => `tenant ${index}`)
  const quotas = tenants.map((tenant, index) => testQuota({ name: `of-${index}`, match: { tenant } }))
  const call = (tenant: string) =>
    storeCalls(testStore.store, [{ startedAtMs: nowMs - MINUTE_MS, arrivedAtMs: nowMs, tenant }])

  test('only those are read again of whose tenant a call has come, and those that are of any', async () => {
    const ticker = tickerOf([...quotas, testQuota({ name: 'any' })])
    await ticker.tick()
    for (const tenant of ['tenant 4', 'tenant 2']) {
      await call(tenant)
      nowMs += 1_000
      const query = vi.spyOn(testStore.store.client, 'query')
      const { forecasts } = await ticker.tick()
      const asked = JSON.stringify(query.mock.calls)
      query.mockRestore()
      expect(tenants.filter(one => asked.includes(one))).toEqual([tenant])
      expect(forecasts.filter(({ asOfMs }) => asOfMs === nowMs).map(one => one.quota)).toContain('any')
    }
    const used = ticker.snapshot().forecasts.map(one => `${one.quota} ${one.used}`)
    expect(used).toEqual(['of-2 1', 'of-4 1', 'any 1', 'any 1'])
  })

  test('what is kept is inserted together', async () => {
    for (const tenant of tenants) {
      await storeCalls(
        testStore.store,
        minutely(nowMs - 5 * HOUR_MS, nowMs).map(one => ({ ...one, tenant })),
      )
    }
    const insert = vi.spyOn(testStore.store.client, 'insert')
    await tickerOf(quotas).tick()
    expect(insert).toHaveBeenCalledOnce()
    insert.mockRestore()
  })
})

test('a quota may match as many values and prefixes as can be listed', async () => {
  const values = (end: string) => Array.from({ length: 999 }, (_, index) => `${index}`.padEnd(500, 'x') + end)
  const quotas = [
    testQuota({ name: 'values', match: { consumer: ['app', ...values('')] } }),
    testQuota({ name: 'prefixes', match: { consumer: [...values('*'), 'ap*'] } }),
  ]
  await storeCalls(testStore.store, minutely(nowMs - 3 * MINUTE_MS, nowMs))
  await storeCalls(testStore.store, minutely(nowMs - 3 * MINUTE_MS, nowMs, 'other'))
  const { forecasts, quotasFailed } = await tickerOf(quotas).tick()
  expect(quotasFailed).toEqual([])
  expect(forecasts.map(({ used }) => used)).toEqual([3, 3])
})

describe('kept forecasts', () => {
  const rows = () =>
    testStore.rows<{ mark: string; probability: number; subject: string }>(
      'SELECT * FROM forecasts ORDER BY as_of, mark',
    )

  test('are one a twelfth of the window and one a crossing, also over a restart', async () => {
    const startMs = middayMs - 30 * MINUTE_MS
    await storeCalls(testStore.store, minutely(startMs - DAY_MS, startMs))
    const quota = testQuota({ limit: 50 })
    let ticker = tickerOf([quota])
    for (let minute = 0; minute < 60; minute++) {
      nowMs = startMs + minute * MINUTE_MS
      await storeCalls(testStore.store, minutely(nowMs - MINUTE_MS, nowMs))
      await ticker.tick()
      // A process that was killed and started again has nothing but the table.
      if (minute === 27) ticker = tickerOf([quota])
    }
    const marks = (await rows()).map(({ mark }) => mark)
    const fractions = marks.filter(mark => mark.endsWith('/12'))
    expect(fractions).toEqual(Array.from({ length: 12 }, (_, index) => `${index}/12`))
    expect(marks.filter(mark => mark === 'above threshold')).toHaveLength(1)
    expect(marks.length).toBeLessThanOrEqual(24)
    expect((await rows())[0]).toMatchObject({ subject: '{"tenant":"acme","consumer":"app"}', quota: 'quota' })
  })

  test('are not written where nothing can be said', async () => {
    await storeCalls(testStore.store, minutely(nowMs - 10 * MINUTE_MS, nowMs))
    await tickerOf([testQuota({ window: { kind: 'fixed', everySeconds: 60 } })]).tick()
    expect(await rows()).toEqual([])
  })
})

test('a backlog that comes after the first look at an empty table is not too old to be new', async () => {
  const ticker = tickerOf([testQuota({ per: [] })])
  expect((await ticker.tick()).forecasts.map(({ used }) => used)).toEqual([0])
  await storeCalls(testStore.store, minutely(nowMs - 29 * MINUTE_MS, nowMs))
  expect((await ticker.tick()).forecasts.map(({ used }) => used)).toEqual([29])
})

test('what a gateway dates ahead, as its clock is, is not asked for again when its time comes', async () => {
  const aheadMs = 20 * MINUTE_MS
  const fromMs = nowMs - 30 * HOUR_MS
  await storeCalls(testStore.store, [
    ...minutely(fromMs, nowMs, 'right'),
    ...minutely(fromMs, nowMs + aheadMs, 'ahead'),
    // Nothing says that it will go on like this.
    ...minutely(fromMs, nowMs - 25 * MINUTE_MS, 'once'),
    ...minutely(nowMs, nowMs + aheadMs, 'once'),
    ...minutely(fromMs, fromMs + MINUTE_MS, 'burst'),
    ...minutely(nowMs - aheadMs, nowMs + aheadMs, 'burst'),
  ])
  const { forecasts } = await tickerOf([testQuota({ limit: 70 })]).tick()
  const of = (consumer: string) => {
    const { used = 0, usageAtReset, probability } = forecasts.find(one => one.consumer === consumer) ?? {}
    return { used, atReset: usageAtReset?.p50 ?? 0, probability: probability ?? 1 }
  }
  expect([of('right').used, of('ahead').used]).toEqual([30, 50])
  for (const consumer of ['right', 'ahead']) {
    expect(of(consumer).atReset).toBeCloseTo(60, -1)
    expect(of(consumer).probability).toBeLessThan(0.3)
  }
  expect(of('once').atReset).toBeGreaterThan(of('once').used)
  expect(forecasts.filter(({ used, usageAtReset }) => (usageAtReset?.p10 ?? 0) < used)).toEqual([])
})

test('calls that a clock gone wrong dated ahead do not hide those that come after them', async () => {
  const ticker = tickerOf([testQuota({})])
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 10, arrivedAtMs: nowMs + HOUR_MS }])
  const used = async () => (await ticker.tick()).forecasts.map(forecast => forecast.used)
  expect(await used()).toEqual([1])
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 5 }])
  expect(await used()).toEqual([2])
})

test('calls that a clock gone wrong dated before all that is known have nothing read again', async () => {
  const longAgoMs = Date.UTC(1970, 0, 1, 0, 5)
  await storeCalls(testStore.store, minutely(nowMs - 40 * HOUR_MS, nowMs - 20 * HOUR_MS))
  const ticker = tickerOf([testQuota({ window: { kind: 'calendar', every: 'month' } })])
  await ticker.tick()
  const before = ticker.snapshot().forecasts[0]?.used ?? 0
  for (let calls = 1; calls < 4; calls++) {
    nowMs += MINUTE_MS
    const arrivedAtMs = nowMs
    await storeCalls(testStore.store, [{ startedAtMs: longAgoMs, arrivedAtMs, consumer: 'wrong' }])
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - 10, arrivedAtMs }])
    const query = vi.spyOn(testStore.store.client, 'query')
    expect((await ticker.tick()).forecasts.map(({ used }) => used)).toEqual([before + calls])
    const asked = query.mock.calls.map(([{ query_params: params }]) => Number(params?.fromMs ?? nowMs))
    query.mockRestore()
    expect(asked.filter(fromMs => fromMs < nowMs - HOUR_MS)).toEqual([])
  }
  await storeCalls(testStore.store, [{ startedAtMs: longAgoMs, arrivedAtMs: nowMs, consumer: 'wrong' }])
  expect((await ticker.tick()).forecasts.map(({ used }) => used)).toEqual([before + 3])
})

test('nor do checks that a clock gone wrong dated ahead', async () => {
  const ticker = tickerOf([testQuota({ counts: 'checks' })])
  const subject = { tenant: 'acme', consumer: 'app' }
  const check = (atMs: number) => storeDecisions(testStore.store, [{ quota: 'quota', subject, atMs, spent: 1 }])
  const used = async () => (await ticker.tick()).forecasts.map(forecast => forecast.used)
  await check(nowMs - MINUTE_MS)
  expect(await used()).toEqual([1])
  await check(nowMs + 3 * DAY_MS)
  expect(await used()).toEqual([1])
  await check(nowMs - MINUTE_MS)
  expect(await used()).toEqual([2])
  nowMs += HOUR_MS / 2 - 1
  await check(nowMs - MINUTE_MS)
  expect(await used()).toEqual([3])
  const again = await tickerOf([testQuota({ counts: 'checks' })]).tick()
  expect(again.forecasts.map(forecast => forecast.used)).toEqual([3])
})

test('of quotas of whose tenants nothing is stored nothing is read, and they are followed once one calls or is asked about', async () => {
  let asked = 0
  const client = new Proxy(testStore.store.client, {
    get: (target, name) => {
      if (name === 'query') asked += 1
      return Reflect.get(target, name)
    },
  })
  const tickerOfTenants = (tenants: readonly string[]) => {
    const policy = createPolicy(tenants.map(tenant => testQuota({ name: `of-${tenant}`, match: { tenant } })))
    return createTicker({
      ...{ client, policy: () => policy, subjectsMax: 100, fitting: openFitting(0), shard: WHOLE, now: () => nowMs },
    })
  }
  await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
  const few = await tickerOfTenants(['acme', 'silent']).tick()
  expect(few.forecasts.map(({ quota }) => quota)).toEqual(['of-acme'])
  const askedForFew = asked
  const many = Array.from({ length: 50 }, (_, number) => `tenant-${number}`)
  const ticker = tickerOfTenants(['acme', ...many])
  await ticker.tick()
  expect(asked).toBe(2 * askedForFew)
  nowMs += 5_000
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, arrivedAtMs: nowMs, tenant: 'tenant-7' }])
  await decide('of-tenant-8', { tenant: 'tenant-8', consumer: 'app' }, { spent: 3, deniedCost: 0 })
  const { forecasts } = await ticker.tick()
  expect(forecasts.map(({ quota, used }) => [quota, used])).toEqual([
    ['of-acme', 20],
    ['of-tenant-7', 1],
    ['of-tenant-8', 3],
  ])
})

describe('a store that fails', () => {
  test('while a quota is read costs none of the subjects that may be followed', async () => {
    await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
    let isFailing = true
    const { client } = testStore.store
    const failing = new Proxy(client, {
      get: (target, name) => {
        if (name !== 'query') return Reflect.get(target, name)
        return (ask: { query: string }) => {
          if (isFailing && ask.query.includes('AS step')) throw new Error('gone')
          return target.query(ask)
        }
      },
    })
    const policy = createPolicy([testQuota({})])
    const ticker = createTicker({
      client: failing,
      policy: () => policy,
      subjectsMax: 1,
      fitting: openFitting(0),
      shard: WHOLE,
      now: () => nowMs,
    })
    await expect(ticker.tick()).rejects.toThrow('gone')
    await expect(ticker.tick()).rejects.toThrow('gone')
    isFailing = false
    nowMs += MINUTE_MS
    expect(await ticker.tick()).toMatchObject({ forecasts: [{ consumer: 'app' }], subjectsCut: 0 })
  })

  test.each([
    [
      'UNKNOWN_TABLE',
      "Unknown table 'forecasts' in scope SELECT 1",
      'the tables are not there yet: the collector makes them',
    ],
    [
      'UNKNOWN_DATABASE',
      'Database quotacast does not exist. ',
      'the tables are not there yet: the collector makes them',
    ],
    ['NO_COMMON_TYPE', 'There is no supertype in scope SELECT 1', 'There is no supertype'],
  ])('says of %s what it means, and never the statement', async (type, message, reason) => {
    const client = { query: () => Promise.reject(Object.assign(new Error(message), { type })) } as never
    const deps = { client, policy: () => createPolicy([testQuota({})]), subjectsMax: 1, fitting: openFitting(0) }
    const ticker = createTicker({ ...deps, shard: WHOLE, now: () => nowMs })
    await expect(ticker.tick()).rejects.toThrow(message)
    expect(ticker.snapshot().skipped).toBe(reason)
  })

  test('skips the tick with a reason and keeps the forecasts', async () => {
    const log = pino({ level: 'silent' })
    const [port = 0] = await freePorts(1)
    const away = await openStore({ ...testStore.options, port }, { dir: testStore.dir, log })
    const policy = createPolicy([testQuota({})])
    const ticker = createTicker({
      client: away.client,
      policy: () => policy,
      subjectsMax: 1,
      fitting: openFitting(0),
      shard: WHOLE,
      now: () => nowMs,
    })
    await expect(ticker.tick()).rejects.toThrow()
    expect(ticker.snapshot()).toMatchObject({ asOfMs: null, forecasts: [] })
    expect(ticker.snapshot().skipped).toMatch(/ECONNREFUSED|refused/)
    await away.close()
  })

  test('for one quota does not stop the others', async () => {
    await storeCalls(testStore.store, minutely(nowMs - 20 * MINUTE_MS, nowMs))
    const broken = testQuota({ name: 'broken', match: { label: 'x' } }, ['label'])
    const good = testQuota({})
    const conditions = [{ field: 'no_such_dimension' as never, values: new Set(['x']), prefixes: [] }]
    const ticker = tickerOf([{ ...broken, conditions }, good])
    const { forecasts, quotasFailed, skipped } = await ticker.tick()
    expect(forecasts.map(({ quota }) => quota)).toEqual(['quota'])
    expect(quotasFailed.map(({ quota }) => quota)).toEqual(['broken'])
    expect(skipped).toBeNull()
  })

  test('for one quota is asked for it less and less often, and it is named meanwhile', async () => {
    let asked = 0
    let isFailing = true
    const client = new Proxy(testStore.store.client, {
      get: (target, name) => {
        if (name !== 'query') return Reflect.get(target, name)
        return (ask: { query: string; query_params?: { quota?: string } }) => {
          // Read of each quota once in a whole reading.
          if (!ask.query.includes('FROM decisions') || ask.query_params?.quota !== 'heavy') return target.query(ask)
          asked += 1
          if (isFailing) throw new Error('too much memory')
          return target.query(ask)
        }
      },
    })
    const policy = createPolicy([testQuota({ name: 'heavy' }), testQuota({})])
    const ticker = createTicker({
      ...{ client, policy: () => policy, subjectsMax: 10, fitting: openFitting(0), shard: WHOLE, now: () => nowMs },
    })
    const askedIn = async (ticks: number) => {
      const before = asked
      for (let tick = 0; tick < ticks; tick += 1) {
        nowMs += 5_000
        const { quotasFailed } = await ticker.tick()
        expect(quotasFailed).toEqual([{ quota: 'heavy', reason: 'too much memory' }])
      }
      return asked - before
    }
    expect(await askedIn(2)).toBe(2)
    expect(await askedIn(12)).toBe(2)
    expect(await askedIn(12)).toBe(1)
    isFailing = false
    nowMs += 5 * MINUTE_MS
    expect((await ticker.tick()).quotasFailed).toEqual([])
  })
})
