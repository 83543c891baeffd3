import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AlertAsk,
  isExhaustionProbable,
  isExhaustionStillProbable,
  isStillUsed,
  isUsedUp,
  lastingMs,
  usedShare,
} from '../../../analyzer/alert/rules.ts'
import { testQuota } from '../quotas.ts'

const HOUR_MS = 3_600_000
const never = { p10: null, p50: null, p90: null }
const NOW_MS = HOUR_MS / 2
const reached = { p10: NOW_MS, p50: NOW_MS, p90: NOW_MS }
const asked = (fields: Partial<AlertAsk> = {}): AlertAsk => ({
  used: 0,
  limit: 100,
  probability: 0,
  exhaustionAtMs: (fields.used ?? 0) >= (fields.limit ?? 100) ? reached : never,
  confidence: 'normal',
  windowStartMs: 0,
  windowEndMs: HOUR_MS,
  asOfMs: NOW_MS,
  ...fields,
})
const quota = testQuota({ alerts: { used: [0.95, 0.8], exhaustionProbability: 0.7 } })

describe('what is used up', () => {
  test.each([
    [79, null],
    [80, 0.8],
    [94, 0.8],
    [95, 0.95],
    [99, 0.95],
    [100, 1],
    [150, 1],
  ])('%d of 100 is told as %s', (used, share) => {
    expect(usedShare(quota, asked({ used }))).toBe(share)
  })

  test('all of it is told where nothing is configured', () => {
    expect(usedShare(testQuota({}), asked({ used: 99 }))).toBeNull()
    expect(usedShare(testQuota({}), asked({ used: 100 }))).toBe(1)
  })

  test('a quota of 0 is meant to be used up, and a limit that nobody has said is not', () => {
    expect(usedShare(quota, asked({ limit: 0, used: 5, probability: 1 }))).toBeNull()
    expect(usedShare(quota, asked({ limit: null, used: 5, probability: null }))).toBeNull()
  })

  test('a provider who refuses calls has nothing left, whatever it says of its limit', () => {
    const refused = asked({
      limit: null,
      used: 5,
      probability: 1,
      exhaustionAtMs: reached,
    })
    expect(isUsedUp(refused)).toBe(true)
    expect(usedShare(quota, refused)).toBe(1)
  })

  test('what is certain to be used up later is not used up', () => {
    const later = { p10: HOUR_MS - 3, p50: HOUR_MS - 2, p90: HOUR_MS - 1 }
    expect(isUsedUp(asked({ probability: 1, exhaustionAtMs: later }))).toBe(false)
  })

  test('a share is used up by exactly so much, whatever the limit', () => {
    for (let hundredths = 1; hundredths < 100; hundredths++) {
      const watched = testQuota({ alerts: { used: [Number(`0.${String(hundredths).padStart(2, '0')}`)] } })
      for (const limit of [100, 300, 7_000]) {
        const used = Math.ceil((hundredths * limit) / 100)
        const shares = [used - 1, used].map(some => usedShare(watched, asked({ used: some, limit })))
        expect(shares, `${used} of ${limit}`).toEqual([null, hundredths / 100])
      }
    }
  })

  test('it stays so while a tenth less is used', () => {
    expect([90, 86, 85].map(used => isStillUsed(0.95, asked({ used })))).toEqual([true, true, false])
  })

  test('what is told is still used', () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.integer({ min: 1, max: 500 }), (used, limit) => {
        const ask = asked({ used, limit })
        const share = usedShare(quota, ask)
        return share === null || isStillUsed(share, ask)
      }),
    )
  })
})

describe('what will probably be used up', () => {
  test.each([
    [{ probability: 0.69 }, false, true],
    [{ probability: 0.7 }, true, true],
    [{ probability: 0.35 }, false, true],
    [{ probability: 0.34 }, false, false],
    [{ probability: 0.9, confidence: 'low' as const }, true, true],
    [{ probability: 0.9, confidence: 'none' as const }, false, true],
    [{ probability: null }, false, false],
    [{ probability: 1, used: 100 }, false, true],
    [{ probability: 1, limit: 0, used: 5 }, false, false],
  ])('%o: begins %s, goes on %s', (fields, begins, goesOn) => {
    expect(isExhaustionProbable(quota, asked(fields))).toBe(begins)
    expect(isExhaustionStillProbable(quota, asked(fields))).toBe(goesOn)
  })

  test('it has to last for a minute of an hour, and for five minutes of a month', () => {
    expect(lastingMs(asked())).toBe(60_000)
    expect(lastingMs(asked({ windowEndMs: 30 * 24 * HOUR_MS }))).toBe(300_000)
  })
})
