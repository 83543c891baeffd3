import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type PaceAsk, paceChange, paceQuotaOf } from '../../../analyzer/policy/pace.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { subjectKey } from '../../../analyzer/policy/subject.ts'
import { testQuota } from '../quotas.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const quota = testQuota({
  ...{ name: 'daily', limit: 2_400, enforcement: 'pace', pace: { probability: 0.8, floorShare: 0.25 } },
  window: { kind: 'calendar', every: 'day' },
})
const subject = { tenant: 'acme', consumer: 'web' }
/** Six hours into the day, half of it used. */
const ask: PaceAsk = {
  ...{ probability: 0.95, used: 1_200, limit: 2_400, pace: null, exhaustionAtMs: 12 * HOUR_MS },
  ...{ nowMs: 6 * HOUR_MS, windowStartMs: 0, windowEndMs: DAY_MS },
}

describe('a pace', () => {
  test('begins where exhaustion is probable, at what lets the rest last, and says why', () => {
    const change = paceChange(quota, ask)
    // 1200 for 18 hours, by the hour.
    expect(change?.amount).toBe(66)
    expect(change?.reason).toBe(
      'Slowed down to 66 requests per 3600 s: the limit of 2400 would be reached before the reset with 95 % (as likely ' +
        'as not by 1970-01-01T12:00:00.000Z), and 1200 are left until 1970-01-02T00:00:00.000Z.',
    )
    for (const probability of [null, 0.79]) expect(paceChange(quota, { ...ask, probability })).toBeNull()
    expect(paceChange(quota, { ...ask, used: 2_400 })).toBeNull()
  })

  test('stays while it is nearly right, follows what is left, and ends only when the danger is far', () => {
    expect(paceChange(quota, { ...ask, pace: 60 })).toBeNull()
    expect(paceChange(quota, { ...ask, pace: 40 })).toMatchObject({
      amount: 66,
      reason: expect.stringMatching(/^Relaxed/),
    })
    expect(paceChange(quota, { ...ask, pace: 100 })).toMatchObject({
      amount: 66,
      reason: expect.stringMatching(/^Tightened/),
    })
    expect(paceChange(quota, { ...ask, pace: 66, probability: 0.5 })).toBeNull()
    expect(paceChange(quota, { ...ask, pace: 66, probability: 0.39 })).toMatchObject({ amount: null })
  })

  test('never goes below its floor, nor below one', () => {
    const asks = fc.record({ used: fc.integer({ min: 0, max: 2_399 }), hour: fc.integer({ min: 0, max: 23 }) })
    fc.assert(
      fc.property(asks, ({ used, hour }) => {
        const { amount } = paceChange(quota, { ...ask, used, nowMs: hour * HOUR_MS }) ?? { amount: 0 }
        // A quarter of 100 an hour.
        expect(amount).toBeGreaterThanOrEqual(25)
        const lasting = ((2_400 - used) * 1) / (24 - hour)
        expect(amount).toBeLessThanOrEqual(Math.max(25, lasting))
      }),
    )
    expect(paceChange(testQuota({ enforcement: 'pace', limit: 3 }), { ...ask, used: 2, limit: 3 })?.amount).toBe(1)
  })
})

test('the pace of a quota is a rate beside it, without a limit for all but those that it is set for', () => {
  const paced = paceQuotaOf(quota)
  expect(paced).toMatchObject({ name: 'daily:pace', limit: null, window: { kind: 'rate', periodMs: HOUR_MS } })
  expect(paceQuotaOf(quota)).toBe(paced)
  expect(paceQuotaOf(testQuota({}))).toBeNull()
  const paces = [{ quota: 'daily', subject, amount: 66, untilMs: DAY_MS }]
  const policy = createPolicy([quota, testQuota({ name: 'other' })], { ...NO_ADJUSTMENTS, paces })
  expect(policy.quotas.map(({ name }) => name)).toEqual(['daily', 'other'])
  expect(policy.candidates('acme').map(({ name }) => name)).toEqual(['daily', 'daily:pace', 'other'])
  const limitOf = (values: readonly string[], nowMs: number) =>
    paced && policy.allowance(paced, subjectKey(values), nowMs).limit
  expect(limitOf(['acme', 'web'], DAY_MS - 1)).toBe(66)
  expect(limitOf(['acme', 'web'], DAY_MS)).toBeNull()
  expect(limitOf(['acme', 'app'], 0)).toBeNull()
  expect(policy.allowance(quota, subjectKey(['acme', 'web']), 0).limit).toBe(2_400)
})
