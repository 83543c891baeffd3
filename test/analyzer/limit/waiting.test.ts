import { afterEach, describe, expect, test } from 'vitest'
import { NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { testQuota } from '../quotas.ts'
import { openReserving, type Reserving, START_MS } from './reserving.ts'

const MINUTE_MS = 60_000
const RESET_MS = 50 * MINUTE_MS
const WINDOWS = {
  fixed: { kind: 'fixed', everySeconds: 3600 },
  sliding: { kind: 'sliding', everySeconds: 600, slots: 10 },
  rate: { kind: 'rate', everySeconds: 600 },
} as const
type Kind = keyof typeof WINDOWS
const who = { tenant: 'acme', consumer: 'web', dimensions: { providerKey: 'main' } }
const subject = { consumer: 'web' }

let opened: Reserving
afterEach(() => opened.close())

const spend = (total_tokens: number) => opened.post('/v1/record', { ...who, cost: { total_tokens } })
const ask = async (total_tokens: number) => {
  const { allowed, retryAfterMs } = (await opened.post('/v1/reservations', { ...who, cost: { total_tokens } })).body
  return { allowed, retryAfterMs }
}
/** Denied now, allowed after the wait that was told; answers the wait. */
async function waitFor(total_tokens: number): Promise<number> {
  const { allowed, retryAfterMs } = await ask(total_tokens)
  expect([allowed, typeof retryAfterMs]).toEqual([false, 'number'])
  opened.clock.nowMs += retryAfterMs
  expect(await ask(total_tokens)).toMatchObject({ allowed: true })
  return retryAfterMs
}

describe('the wait that a denial tells is true, though a grant ends meanwhile, in a window that is', () => {
  const open = async (kind: Kind, grantedMs: number) => {
    const tokens = testQuota({
      name: 'tokens',
      per: ['consumer'],
      unit: 'total_tokens',
      limit: 10,
      window: WINDOWS[kind],
    })
    const grant = { quota: 'tokens', subject, amount: 20, fromMs: 0, untilMs: START_MS + grantedMs }
    opened = await openReserving([tokens], { ...NO_ADJUSTMENTS, grants: [grant] })
    await spend(28)
  }
  for (const kind of ['fixed', 'sliding', 'rate'] as const) {
    test(kind, async () => {
      await open(kind, MINUTE_MS)
      // More than there is without the grant: it passes while that holds, or never.
      expect(await ask(15)).toEqual({ allowed: false, retryAfterMs: null })
      await waitFor(5)
    })

    test(`${kind}, and exact while it holds`, async () => {
      await open(kind, 2 * RESET_MS)
      const waitMs = await waitFor(15)
      expect(waitMs).toBe({ fixed: RESET_MS, sliding: 11 * MINUTE_MS, rate: (13 * 10 * MINUTE_MS) / 30 }[kind])
    })
  }
})

describe('after a refusal of the provider the wait is as long as it said, and longer where', () => {
  const open = async (kind: Kind, untilMs: number, used: number) => {
    const options = { name: 'tokens', per: ['consumer', 'providerKey'], unit: 'total_tokens', limit: 'upstream' }
    const learned = {
      ...{ quota: 'tokens', subject: { ...subject, providerKey: 'main' }, limit: 10 },
      ...{ deniedUntilMs: START_MS + untilMs, elsewhere: 0, untilMs: START_MS + RESET_MS },
    }
    opened = await openReserving([testQuota({ ...options, window: WINDOWS[kind] })], {
      ...NO_ADJUSTMENTS,
      learned: [learned],
    })
    await spend(used)
  }
  for (const kind of ['fixed', 'sliding', 'rate'] as const) {
    test(`what is used is in the way: ${kind}`, async () => {
      await open(kind, 5_000, 10)
      expect(await waitFor(8)).toBeGreaterThan(5_000)
    })
  }
  test('nothing is', async () => {
    await open('fixed', 5_000, 2)
    expect(await waitFor(8)).toBe(5_000)
  })
})

test('of quotas that have to fit at once the wait is as long as the last one needs, also where that fits now', async () => {
  const quota = (name: string, limit: number, everySeconds: number) =>
    testQuota({ name, per: ['consumer'], unit: 'total_tokens', limit, window: { kind: 'fixed', everySeconds } })
  const grant = { quota: 'hourly', subject, amount: 20, fromMs: 0, untilMs: START_MS + MINUTE_MS }
  const quotas = [quota('hourly', 10, 3600), quota('brief', 12, 600)]
  opened = await openReserving(quotas, { ...NO_ADJUSTMENTS, grants: [grant] })
  await spend(12)
  const denied = (await opened.post('/v1/reservations', { ...who, cost: { total_tokens: 1 } })).body
  expect(denied).toMatchObject({ allowed: false, binding: 'hourly', retryAfterMs: RESET_MS })
  expect(await waitFor(1)).toBe(RESET_MS)
})

test('calls under way are waited for as long as the quota holds them that holds them longest', async () => {
  const quota = (name: string, limit: number, ttlSeconds: number) =>
    testQuota({ name, unit: 'concurrent_requests', limit, window: undefined, reservation: { ttlSeconds } })
  opened = await openReserving([quota('few', 1, 5), quota('many', 9, 600)])
  const ask = async () => (await opened.post('/v1/reservations', who)).body
  const { expiresAtMs } = await ask()
  const { binding, retryAfterMs } = await ask()
  expect({ binding, isTrue: START_MS + retryAfterMs > expiresAtMs }).toEqual({ binding: 'few', isTrue: true })
})

test('a burst that takes hours to drain passes again when it has', async () => {
  const window = { kind: 'rate', everySeconds: 3600, burst: 100 }
  opened = await openReserving([testQuota({ per: ['consumer'], unit: 'total_tokens', limit: 10, window })])
  await spend(100)
  opened.clock.nowMs += 5 * 60 * MINUTE_MS
  expect(await waitFor(60)).toBe(60 * MINUTE_MS)
})
