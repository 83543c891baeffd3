/** The whole loop on simulated time: what is forecast and read becomes a change, and the limiter decides by it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import type { HeldChange } from '../../../analyzer/control/fold.ts'
import { createLivePolicy } from '../../../analyzer/control/live-policy.ts'
import { uniform } from '../../../analyzer/forecast/random.ts'
import { startDecisionSumming } from '../../../analyzer/limit/decision-summing.ts'
import { openEmbeddedLimits } from '../../../analyzer/limit/embedded.ts'
import { createLimiter, type Decision, type Limiter } from '../../../analyzer/limit/limiter.ts'
import { createPolicy, type Policy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { openFitting } from '../../../analyzer/tick/fitting.ts'
import { WHOLE } from '../../../analyzer/tick/shard.ts'
import { type SteeringDeps, steer } from '../../../analyzer/tick/steering.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'
import { createTicker } from '../../../analyzer/tick/ticker.ts'
import type { ControlKind } from '../../../collector/log/control-change.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { openLog, silent } from '../limit/call-records.ts'
import { callDimensions, testQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** The begin of an hour, a day ago. */
const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 24 * HOUR_MS

let testStore: TestStore
let nowMs: number
let changes: HeldChange[]
let limiter: Limiter
let control: Control
let policy: () => Policy
let closing: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  nowMs = startMs
  changes = []
  for (const table of ['calls', 'decisions', 'forecasts'])
    await testStore.store.client.command({ query: `TRUNCATE TABLE ${table}` })
})
afterEach(async () => {
  for (const close of closing.toReversed()) await close()
  closing = []
})

/** A limiter and an analyzer that share nothing but the control log and the store. */
async function open(quotas: readonly Quota[]): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const log = await openLog(join(dir, 'log'))
  const live = createLivePolicy(quotas, [])
  const onChange = (change: HeldChange) => {
    changes.push(change)
    live.fold(change)
  }
  control = await openControl({ log, onChange, logger: silent })
  const limits = { kind: 'embedded', flushMs: 50, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openEmbeddedLimits(limits, { dir: join(dir, 'limits'), log: silent, now: () => nowMs })
  const summing = startDecisionSumming({ log, logger: silent })
  policy = live.current
  limiter = createLimiter({
    policy,
    store,
    summing,
    logger: silent,
    asOfMs: at => at,
    nameOf: String,
    onCheck: () => undefined,
  })
  const ticker = createTicker({
    client: testStore.store.client,
    policy,
    subjectsMax: 10,
    fitting: openFitting(0),
    shard: WHOLE,
    now: () => nowMs,
  })
  closing = [
    () => rm(dir, { recursive: true, force: true }),
    () => log.close(),
    () => store.close(),
    () => summing.close(),
    () => control.close(),
  ]
  return async () => {
    const { forecasts, asOfMs } = await ticker.tick()
    await steer(
      { control, policy, now: () => nowMs },
      forecasts.filter(forecast => forecast.asOfMs === asOfMs),
    )
  }
}

const check = async (dims: Parameters<typeof callDimensions>[0]): Promise<Decision> =>
  limiter.check(
    limiter.prepare({ dims: callDimensions(dims), cost: {}, clientIp: null, requestId: null, isDryRun: false }),
  )

describe('enforcement by pace', () => {
  /** An hour of 20 calls a minute and of 2 a minute, as in the six hours before; answers what passed in each minute. */
  async function simulate(quota: Quota, isSteered: boolean) {
    const random = uniform(7)
    nowMs = startMs
    const history = ['loud', 'light'].flatMap(consumer =>
      Array.from({ length: 6 * 60 * (consumer === 'loud' ? 20 : 2) }, () => ({
        ...{ consumer, startedAtMs: Math.round(startMs - random() * 6 * HOUR_MS) },
      })),
    )
    await storeCalls(testStore.store, history)
    const tick = await open([quota])
    const allowed: Record<string, number[]> = { loud: [], light: [] }
    const denied: Record<string, number> = { loud: 0, light: 0 }
    for (let minute = 0; minute < 60; minute++) {
      nowMs = startMs + minute * MINUTE_MS + 1
      if (isSteered) await tick()
      for (const [consumer, perMinute] of [['loud', 20] as const, ['light', 2] as const]) {
        let passed = 0
        const calls = []
        for (let call = 0; call < perMinute; call++) {
          nowMs = startMs + minute * MINUTE_MS + Math.round(((call + random()) * MINUTE_MS) / perMinute)
          const { isAllowed } = await check({ consumer })
          if (isAllowed) passed++
          else denied[consumer] = (denied[consumer] ?? 0) + 1
          calls.push({ consumer, startedAtMs: nowMs, outcome: isAllowed ? 'ok' : 'limited' })
        }
        if (isSteered) await storeCalls(testStore.store, calls)
        allowed[consumer]?.push(passed)
      }
    }
    return { allowed, denied, tick }
  }
  const sum = (values: readonly number[] = []) => values.reduce((total, value) => total + value, 0)
  const hourly = (enforcement: string) => testQuota({ limit: 600, enforcement, pace: { floorShare: 0.5 } })

  test('makes a quota last until its reset that would else be gone at half-time, and leaves light users alone', async () => {
    const unpaced = await simulate(hourly('deny'), false)
    expect(changes).toEqual([])
    expect(sum(unpaced.allowed.loud?.slice(45))).toBe(0)
    for (const close of closing.toReversed()) await close()
    closing = []
    await testStore.store.client.command({ query: 'TRUNCATE TABLE calls' })
    const { allowed, denied, tick } = await simulate(hourly('pace'), true)
    const total = sum(allowed.loud)
    expect(total).toBeLessThanOrEqual(600)
    expect(total).toBeGreaterThan(500)
    // No ten minutes without: a rate spreads what is left.
    for (let minute = 0; minute + 10 <= 60; minute += 10)
      expect(sum(allowed.loud?.slice(minute, minute + 10))).toBeGreaterThan(20)
    expect(denied.light).toBe(0)
    const paces = changes.filter(({ kind }) => kind === 'pace')
    expect(paces.every(({ by, value }) => by === 'analyzer' && JSON.stringify(value).includes('loud'))).toBe(true)
    expect(paces[0]?.reason).toMatch(/^Slowed down to \d+ requests per 150 s: the limit of 600 would be reached/)
    // Steady demand asks for few changes: hysteresis.
    expect(paces.length).toBeLessThan(20)

    // It says so, and ends with the window.
    const { quotas } = await check({ consumer: 'loud' })
    expect(quotas.map(({ quota }) => quota)).toEqual(['quota', 'quota:pace'])
    nowMs = startMs + 60 * MINUTE_MS + 1
    expect((await check({ consumer: 'loud' })).quotas.map(({ quota }) => quota)).toEqual(['quota'])
    nowMs = startMs + 12 * HOUR_MS
    await tick()
    expect(changes.at(-1)).toMatchObject({ kind: 'pace', value: null, by: 'analyzer' })
  }, 240_000)
})

describe('a limit that the provider says', () => {
  const quota = testQuota({ name: 'key', per: ['providerKey'], limit: 'upstream' })
  const said = (requests: object, retryAfterMs: number | null = null) => ({
    provider_key: 'k',
    upstream_limits: JSON.stringify({ units: { requests: { resetAtMs: null, ...requests } }, retryAfterMs }),
  })
  const forecastAnew = async () => {
    const ticker = createTicker({
      client: testStore.store.client,
      policy,
      subjectsMax: 1,
      fitting: openFitting(0),
      shard: WHOLE,
      now: () => nowMs,
    })
    return (await ticker.tick()).forecasts
  }
  const look = async () => {
    const { isAllowed, quotas, retryAfterMs } = await check({ providerKey: 'k' })
    return { isAllowed, retryAfterMs, ...quotas[0] }
  }

  test('is unknown and denies nothing at first, then is learned, with what was used elsewhere, and forecast', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    await storeCalls(
      testStore.store,
      Array.from({ length: 10 }, (_, index) => ({ startedAtMs: nowMs - index * MINUTE_MS, provider_key: 'k' })),
    )
    await tick()
    expect(await look()).toMatchObject({ isAllowed: true, limit: null, remaining: null, used: 1 })
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, ...said({ limit: 50, remaining: 19 }) }])
    await tick()
    expect(changes.map(({ kind, reason }) => [kind, reason])).toEqual([
      ['upstream', 'The provider allows 50. By what it says is left, 20 were used elsewhere.'],
    ])
    expect(await look()).toMatchObject({ isAllowed: true, limit: 50, used: 2 + 20, remaining: 28 })
    await tick()
    const [forecast] = await forecastAnew()
    expect(forecast).toMatchObject({ limit: 50, used: 31, upstream: { limit: 50, remaining: 19 } })
    expect(forecast?.probability).toBeGreaterThan(0)
    expect(changes).toHaveLength(1)
    for (let call = 0; call < 28; call++) await look()
    expect(await look()).toMatchObject({ isAllowed: false, remaining: 0 })
  })

  test('is what was said last, though a gateway whose clock is ahead had said another', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    const arrivedAtMs = nowMs - 2
    await storeCalls(testStore.store, [
      { startedAtMs: nowMs + HOUR_MS, arrivedAtMs, ...said({ limit: 50, remaining: null }) },
      { startedAtMs: nowMs - 1, ...said({ limit: 60, remaining: null }) },
    ])
    await tick()
    expect(await look()).toMatchObject({ limit: 60 })
  })

  test('is gone for as long as a refusal says, whatever the counters say', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    const refusal = { startedAtMs: nowMs - 1, outcome: 'exhausted', ...said({ limit: 50, remaining: 49 }, 90_001) }
    await storeCalls(testStore.store, [refusal])
    await tick()
    expect(await look()).toMatchObject({ isAllowed: false, retryAfterMs: 90_000 })
    nowMs += 90_000
    expect(await look()).toMatchObject({ isAllowed: true, limit: 50 })
  })

  test('is known from an answer that ended before the last one and came after it', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, ...said({ limit: null, remaining: 10 }) }])
    await tick()
    const earlier = { startedAtMs: nowMs - 5_000, arrivedAtMs: nowMs, ...said({ limit: 50, remaining: 12 }) }
    await storeCalls(testStore.store, [earlier])
    await tick()
    expect(await look()).toMatchObject({ limit: 50, used: 1 + 38 })
  })

  test('is all there again when the provider refills or lets calls pass, though the window goes on', async () => {
    const tick = await open([quota])
    const say = (requests: object, retryAfterMs: number | null = null) =>
      storeCalls(testStore.store, [
        { startedAtMs: nowMs - 1, ...said({ limit: 50, remaining: 0, ...requests }, retryAfterMs) },
      ]).then(tick)
    nowMs = startMs + 20 * MINUTE_MS
    await say({ resetAtMs: nowMs + 10 * MINUTE_MS })
    for (let call = 0; call < 2; call++) await look()
    expect(await look()).toMatchObject({ isAllowed: false, retryAfterMs: 10 * MINUTE_MS })
    nowMs += 10 * MINUTE_MS
    await tick()
    expect(await look()).toMatchObject({ isAllowed: true, used: 2, remaining: 48 })

    await say({ resetAtMs: nowMs - 1 })
    expect(await look()).toMatchObject({ isAllowed: true, used: 3 })

    await storeCalls(testStore.store, [
      { startedAtMs: nowMs, outcome: 'exhausted', ...said({ limit: 50, remaining: 0 }, 60_000) },
    ])
    await tick()
    expect(await look()).toMatchObject({ isAllowed: false, retryAfterMs: 60_000 })
    nowMs += 60_000
    await tick()
    expect(await look()).toMatchObject({ isAllowed: true, used: 4 })
  })

  test('is not less for what was left in a window before, where the provider does not say what is left', async () => {
    const tick = await open([quota])
    const [before, resetAtMs] = [startMs + 50 * MINUTE_MS, startMs + 2 * HOUR_MS]
    nowMs = startMs + 70 * MINUTE_MS
    await storeCalls(testStore.store, [
      { startedAtMs: before, ...said({ limit: 50, remaining: 0, resetAtMs }) },
      { startedAtMs: nowMs - 1, ...said({ limit: null, remaining: null }) },
    ])
    await tick()
    expect(await look()).toMatchObject({ isAllowed: true, limit: 50, used: 1 })
    const [forecast] = await forecastAnew()
    expect(forecast?.upstream).toMatchObject({ limit: 50, remaining: null, resetAtMs: null, asOfMs: nowMs - 1 })
  })

  test('may be gone before it was ever said, and is then noted once', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    const upstream_limits = JSON.stringify({ units: {}, retryAfterMs: 90_001 })
    const refusal = { startedAtMs: nowMs - 1, outcome: 'exhausted', provider_key: 'k', upstream_limits }
    await storeCalls(testStore.store, [refusal])
    for (let ticks = 0; ticks < 3; ticks++) await tick()
    expect(changes).toHaveLength(1)
    expect(await look()).toMatchObject({ isAllowed: false, retryAfterMs: 90_000 })
    // Of a limit that is not known nothing burns or is left.
    const [forecast] = await forecastAnew()
    expect([forecast?.probability, forecast?.limit, forecast?.burnRate, forecast?.headroom]).toEqual([
      1,
      null,
      null,
      null,
    ])
  })

  test('was counted elsewhere until a reset by hand: what the provider said before says nothing of what is left', async () => {
    const tick = await open([quota])
    nowMs = startMs + 20 * MINUTE_MS
    const own = Array.from({ length: 10 }, (_, index) => ({
      startedAtMs: nowMs - index * MINUTE_MS,
      provider_key: 'k',
    }))
    await storeCalls(testStore.store, [...own, { startedAtMs: nowMs - 1, ...said({ limit: 50, remaining: 0 }) }])
    for (let call = 0; call < 11; call++) await look()
    await tick()
    expect(await look()).toMatchObject({ isAllowed: false, used: 50 })

    // It was bought more: only a call that passes can hear of it.
    nowMs += MINUTE_MS
    const forgotten = {
      quota: 'key',
      subject: { providerKey: 'k' },
      used: 11,
      fromMs: nowMs,
      untilMs: startMs + HOUR_MS,
    }
    const key = control.keys('upstream')[0] ?? ''
    await control.change({ kind: 'reset', key, version: 0, value: forgotten, by: 'anna', reason: null })
    expect(await look()).toMatchObject({ isAllowed: true, used: 1, remaining: 49 })
    await tick()
    expect(await look()).toMatchObject({ isAllowed: true, used: 2 })

    // It was not: the provider goes on counting what came before.
    nowMs += MINUTE_MS
    await storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, ...said({ limit: 50, remaining: 6 }) }])
    await tick()
    expect(changes.at(-1)?.reason).toBe('By what it says is left, 43 were used elsewhere or before the reset.')
    expect(await look()).toMatchObject({ used: 3 + 43 })
  })

  test('is forgotten once the provider has not been heard for as long as calls are kept, and learned again', async () => {
    const tick = await open([quota])
    const hear = () => storeCalls(testStore.store, [{ startedAtMs: nowMs - 1, ...said({ limit: 50, remaining: 49 }) }])
    await hear()
    await tick()
    nowMs += 2 * DAY_MS
    await hear()
    await tick()
    expect(changes.map(({ reason }) => reason)).toEqual(['The provider allows 50.', 'The provider still says so.'])
    nowMs += 29 * DAY_MS
    await tick()
    expect(changes).toHaveLength(2)
    nowMs += 2 * DAY_MS
    await tick()
    expect(changes.at(-1)).toMatchObject({ kind: 'upstream', value: null, by: 'analyzer' })
    expect(control.current('upstream', changes[0]?.key ?? '')).toEqual({ version: 0, value: null })
    expect(await look()).toMatchObject({ limit: null })
    await hear()
    await tick()
    expect(await look()).toMatchObject({ limit: 50 })
  })

  test('is held for so many at most: beyond them, who was not heard lately gives way', async () => {
    const held = new Map<string, unknown>()
    const control: SteeringDeps['control'] = {
      current: (_kind, key) => ({ version: held.has(key) ? 1 : 0, value: held.get(key) ?? null }),
      keys: kind => (kind === 'upstream' ? [...held.keys()] : []),
      change: async ({ key, value }) => void (value === null ? held.delete(key) : held.set(key, value)),
    }
    const deps = { control, policy: () => createPolicy([quota]), now: () => nowMs }
    const heard = {
      ...{ quota: 'key', subject: { providerKey: 'new' }, used: 1, asOfMs: nowMs, windowStartMs: nowMs },
      ...{ windowEndMs: nowMs + HOUR_MS, probability: null },
      upstream: { limit: 50, remaining: 49, resetAtMs: null, deniedUntilMs: null, asOfMs: nowMs },
    } as unknown as SubjectForecast
    const fill = (asOfMs: number) => {
      const value = { quota: 'key', limit: 50, deniedUntilMs: null, elsewhere: 0, untilMs: nowMs + DAY_MS, asOfMs }
      for (let one = 0; one < 10_000; one++) held.set(`key:${one}`, value)
    }
    fill(nowMs - DAY_MS)
    expect(await steer(deps, [heard])).toBe(0)
    // Though its window is open.
    fill(nowMs - 3 * DAY_MS)
    expect(await steer(deps, [heard])).toBe(100)
    expect(held.size).toBe(9_900)
    expect(await steer(deps, [heard])).toBe(1)
    expect(held.size).toBe(9_901)
  })
})

test('what has ended is removed, what people made an hour later, and what has not stays', async () => {
  const subject = { tenant: 'acme', consumer: 'app' }
  const ending = (untilMs: number) => ({ quota: 'quota', subject, amount: 1, fromMs: 0, untilMs })
  const block = (untilMs: number | null) => ({ what: 'consumer', value: 'app', untilMs })
  const { untilMs: _, ...endless } = block(null)
  const made: [kind: ControlKind, key: string, value: unknown][] = [
    ['reset', 'over', { ...ending(startMs), used: 1 }],
    ['reset', 'under way', { ...ending(startMs + 1), used: 1 }],
    ['grant', 'over', ending(startMs - HOUR_MS)],
    ['grant', 'just over', ending(startMs - HOUR_MS + 1)],
    ['block', 'over', block(startMs - HOUR_MS)],
    ['block', 'just over', block(startMs - HOUR_MS + 1)],
    ['block', 'for good', block(null)],
    ['block', 'without a word of its end', endless],
    ['silence', 'over', { quota: null, subject: null, untilMs: startMs - HOUR_MS }],
    ['silence', 'just over', { quota: null, subject: null, untilMs: startMs - HOUR_MS + 1 }],
  ]
  await open([testQuota({})])
  for (const [kind, key, value] of made)
    await control.change({ kind, key, version: 0, value, by: 'anna', reason: null })
  changes = []
  expect(await steer({ control, policy, now: () => nowMs }, [])).toBe(4)
  expect(changes.map(({ kind, key, value, by }) => [kind, key, value, by])).toEqual([
    ['reset', 'over', null, 'analyzer'],
    ['grant', 'over', null, 'analyzer'],
    ['block', 'over', null, 'analyzer'],
    ['silence', 'over', null, 'analyzer'],
  ])
  expect(await steer({ control, policy, now: () => nowMs }, [])).toBe(0)
})
