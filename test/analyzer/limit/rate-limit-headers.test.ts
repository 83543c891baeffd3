import { expect, test } from 'vitest'
import type { Decision } from '../../../analyzer/limit/limiter.ts'
import { rateLimitHeaders, retryAfterSeconds } from '../../../analyzer/limit/rate-limit-headers.ts'
import { testQuota } from '../quotas.ts'

const nowMs = Date.UTC(2026, 1, 10, 12)
const decision = (fields: Partial<Decision>): Decision => ({
  isAllowed: true,
  reference: null,
  asOfMs: nowMs,
  nowMs,
  binding: null,
  retryAfterMs: null,
  quotas: [],
  violated: [],
  isDegraded: false,
  block: null,
  ...fields,
})
const standing = {
  unit: 'requests',
  limit: 10,
  used: 4,
  reserved: 0,
  remaining: 6,
  countsLongerMs: 0,
  overshootMax: 0,
  enforcement: 'deny',
} as const

test('every enforced quota is a policy of its own, with the length of its window and the time to its reset', () => {
  const month = testQuota({ name: 'month', unit: 'cost', window: { kind: 'calendar', every: 'month' } })
  const hour = testQuota({ name: 'hour' })
  const shadow = testQuota({ name: 'shadow', enforcement: 'shadow' })
  const quotas = [
    { ...standing, quota: 'hour', resetAtMs: nowMs + 59_001 },
    { ...standing, quota: 'month', unit: 'cost' as const, limit: 4e15, remaining: 3e15, resetAtMs: nowMs + 1 },
    { ...standing, quota: 'shadow', resetAtMs: nowMs, enforcement: 'shadow' as const },
  ]
  const byName = new Map([month, hour, shadow].map(quota => [quota.name, quota]))
  expect(rateLimitHeaders(decision({ quotas }), byName)).toEqual({
    ratelimit: '"hour";r=6;t=60, "month";r=999999999999999;t=1',
    'ratelimit-policy': `"hour";q=10;w=3600;qu="request", "month";q=999999999999999;w=${28 * 86_400};qu="cost"`,
  })
  expect(rateLimitHeaders(decision({}), byName)).toEqual({})
})

test('a sliding window has its length, a rate its period, and what is under way none', () => {
  const named = [
    testQuota({ name: 'sliding', window: { kind: 'sliding', everySeconds: 90 } }),
    testQuota({ name: 'rate', window: { kind: 'rate', everySeconds: 60, burst: 3 } }),
    testQuota({ name: 'held', unit: 'concurrent_requests', window: undefined }),
  ]
  const quotas = named.map(({ name, unit }) => ({ ...standing, quota: name, unit, resetAtMs: nowMs + 5_000 }))
  const headers = rateLimitHeaders(decision({ quotas }), new Map(named.map(quota => [quota.name, quota])))
  expect(headers['ratelimit-policy']).toBe(
    '"sliding";q=10;w=90;qu="request", "rate";q=10;w=60;qu="request", "held";q=10;qu="concurrent-requests"',
  )
  expect(headers.ratelimit).toBe('"sliding";r=6;t=5, "rate";r=6;t=5, "held";r=6;t=5')
})

test('the time to come again is never too early', () => {
  expect([1, 1_000, 1_001, null].map(retryAfterMs => retryAfterSeconds(decision({ retryAfterMs })))).toEqual([
    1,
    1,
    2,
    null,
  ])
})
