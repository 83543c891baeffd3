import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { keyOf, subjectKeyOf } from '../../../analyzer/policy/subject.ts'
import { callDimensions, testQuota } from '../quotas.ts'

const quota = testQuota({ name: 'q', limit: 100 })
const subject = { tenant: 'acme', consumer: 'web' }
const key = subjectKeyOf(quota, callDimensions({ consumer: 'web' }))

test('a subject that is told by names is the one that calls have, whatever its characters', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (tenant, consumer) => {
      expect(keyOf(quota, { consumer, tenant })).toBe(subjectKeyOf(quota, callDimensions({ tenant, consumer })))
    }),
  )
  expect(keyOf(quota, { tenant: 'acme' })).toBeNull()
  expect(keyOf(quota, { ...subject, route: '/' })).toBeNull()
  expect(keyOf(undefined, subject)).toBeNull()
})

test('an override replaces the limit, grants that are in force add to it, and a reset counts in its window', () => {
  const grant = { quota: 'q', amount: 10, fromMs: 1_000, untilMs: 2_000 }
  const { allowance } = createPolicy([quota], {
    ...NO_ADJUSTMENTS,
    overrides: [{ quota: 'q', subject, limit: 50 }],
    grants: [
      { ...grant, subject },
      { ...grant, subject: null, amount: 1 },
    ],
    resets: [{ quota: 'q', subject, used: 7, fromMs: 500, untilMs: 3_600_000 }],
  })
  expect(allowance(quota, key, 999)).toEqual({ limit: 50, elsewhere: 0, sinceMs: 500, deniedUntilMs: null })
  expect(allowance(quota, key, 1_000)).toEqual({ limit: 61, elsewhere: 0, sinceMs: 500, deniedUntilMs: null })
  expect(allowance(quota, key, 3_600_000)).toEqual({ limit: 50, elsewhere: 0, sinceMs: 0, deniedUntilMs: null })
  expect(allowance(quota, 'somebody else', 1_000)).toEqual({
    limit: 101,
    elsewhere: 0,
    sinceMs: 0,
    deniedUntilMs: null,
  })
  expect(allowance(testQuota({ name: 'other', limit: 3 }), key, 1_000)).toEqual({
    limit: 3,
    elsewhere: 0,
    sinceMs: 0,
    deniedUntilMs: null,
  })
})

test('the limits to come are told in order, as often as they change, until the window ends', () => {
  const grants = [
    { quota: 'q', subject, amount: 10, fromMs: 1_000, untilMs: 3_000 },
    { quota: 'q', subject: null, amount: 5, fromMs: 2_000, untilMs: 9_000 },
    { quota: 'q', subject, amount: 0, fromMs: 2_500, untilMs: 2_600 },
  ]
  const overrides = [{ quota: 'q', subject, limit: 50 }]
  const { limits, allowance } = createPolicy([quota], { ...NO_ADJUSTMENTS, overrides, grants })
  const steps = [
    { fromMs: 500, limit: 50 },
    { fromMs: 1_000, limit: 60 },
    { fromMs: 2_000, limit: 65 },
    { fromMs: 3_000, limit: 55 },
  ]
  expect(limits(quota, key, { fromMs: 500, toMs: 9_000 })).toEqual(steps)
  for (const { fromMs, limit } of steps) expect(allowance(quota, key, fromMs).limit).toBe(limit)
  expect(limits(quota, 'somebody else', { fromMs: 500, toMs: 1_500 })).toEqual([{ fromMs: 500, limit: 100 }])
})

test('of many changes to come the first are told, and the limit that the window ends with', () => {
  const nights = Array.from({ length: 20 }, (_, night) => night * 1_000)
  const grants = nights.map(atMs => ({ quota: 'q', subject, amount: 10, fromMs: atMs + 400, untilMs: atMs + 900 }))
  for (const [fromMs, first] of [
    [0, 100],
    [500, 110],
  ] as const) {
    const steps = createPolicy([quota], { ...NO_ADJUSTMENTS, grants }).limits(quota, key, { fromMs, toMs: 30_000 })
    expect(steps.length).toBeLessThanOrEqual(9)
    expect(steps[7]?.fromMs).toBeLessThan(5_000)
    expect(steps[0]).toEqual({ fromMs, limit: first })
    expect(steps.at(-1)?.limit).toBe(100)
  }
})

test('what is adjusted for nobody there is has no effect', () => {
  const { allowance } = createPolicy([quota], {
    ...NO_ADJUSTMENTS,
    overrides: [
      { quota: 'gone', subject, limit: 1 },
      { quota: 'q', subject: { tenant: 'acme' }, limit: 1 },
    ],
  })
  expect(allowance(quota, key, 0)).toEqual({ limit: 100, elsewhere: 0, sinceMs: 0, deniedUntilMs: null })
})
