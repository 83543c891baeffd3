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
const standing = { unit: 'requests', limit: 10, used: 4, reserved: 0, remaining: 6, enforcement: 'deny' } as const

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

test('the time to come again is never too early', () => {
  expect([1, 1_000, 1_001, null].map(retryAfterMs => retryAfterSeconds(decision({ retryAfterMs })))).toEqual([
    1,
    1,
    2,
    null,
  ])
})
