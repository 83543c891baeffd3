import { describe, expect, test } from 'vitest'
import { type LearnAsk, learnedChange } from '../../../analyzer/policy/learned.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { testQuota } from '../quotas.ts'

const NOW_MS = 1_000_000
const said = { limit: 1_000, remaining: 700, resetAtMs: null, deniedUntilMs: null, asOfMs: NOW_MS - 1 }
const ask: LearnAsk = {
  ...{ said, known: null, used: 300, nowMs: NOW_MS, sinceMs: 0, isResetting: true },
  ...{ windowStartMs: NOW_MS - 500_000, windowEndMs: NOW_MS + 500_000 },
}
const known = { limit: 1_000, deniedUntilMs: null, elsewhere: 0, untilMs: ask.windowEndMs, asOfMs: said.asOfMs }

describe('what a provider says', () => {
  test('is a change when its limit is new, and none when it is the same', () => {
    expect(learnedChange(ask)).toEqual({ value: known, reason: 'The provider allows 1000.' })
    expect(learnedChange({ ...ask, known })).toBeNull()
    expect(learnedChange({ ...ask, known: { ...known, limit: 500 } })?.value.limit).toBe(1_000)
    expect(learnedChange({ ...ask, known, said: { ...said, limit: null, remaining: null } })).toBeNull()
  })

  test('is no limit of 0, after which no call could hear of another one', () => {
    const nothing = { ...said, limit: 0, remaining: 0 }
    expect(learnedChange({ ...ask, said: nothing })).toBeNull()
    expect(learnedChange({ ...ask, said: nothing, known })?.value).toMatchObject({ limit: 1_000, elsewhere: 700 })
  })

  test('tells what was used elsewhere, where that is more than calls that are under way', () => {
    expect(learnedChange({ ...ask, known, used: 270 })).toBeNull()
    const found = learnedChange({ ...ask, known, used: 100 })
    expect(found).toMatchObject({
      value: { elsewhere: 200 },
      reason: expect.stringContaining('200 were used elsewhere'),
    })
    const before = { ...known, elsewhere: 200 }
    expect(learnedChange({ ...ask, known: before, used: 110 })).toBeNull()
    expect(learnedChange({ ...ask, known: before, used: 300 })?.value.elsewhere).toBe(0)
    // Of another window, and where use fades away, nothing is known of it.
    expect(learnedChange({ ...ask, known, used: 0, windowStartMs: NOW_MS })).toBeNull()
    expect(learnedChange({ ...ask, known, used: 0, isResetting: false })).toBeNull()
  })

  test('tells what is left until the provider refills or lets calls pass again, and nothing of it later', () => {
    const ending = (fields: Partial<typeof said> | object, used = 100) =>
      learnedChange({ ...ask, known, used, said: { ...said, ...fields } })?.value
    expect(ending({ resetAtMs: NOW_MS + 1 })).toMatchObject({ elsewhere: 200, untilMs: NOW_MS + 1 })
    expect(ending({ resetAtMs: ask.windowEndMs + 1 })).toMatchObject({ elsewhere: 200, untilMs: ask.windowEndMs })
    expect(ending({ resetAtMs: NOW_MS })).toBeUndefined()
    const refused = { deniedUntilMs: NOW_MS + 60_000, resetAtMs: NOW_MS + 90_000 }
    expect(ending(refused)).toMatchObject({ elsewhere: 200, untilMs: NOW_MS + 60_000 })
    expect(ending({ deniedUntilMs: NOW_MS })).toBeUndefined()
    // What was said after a refusal had ended is told by nothing else.
    expect(ending({ deniedUntilMs: said.asOfMs })).toMatchObject({ elsewhere: 200, untilMs: ask.windowEndMs })
  })

  test('tells that what is known already ends earlier than was known', () => {
    const before = { ...known, elsewhere: 200 }
    const again = (resetAtMs: number) =>
      learnedChange({ ...ask, known: before, used: 100, said: { ...said, resetAtMs } })?.value.untilMs
    expect(again(NOW_MS + 100_000)).toBe(NOW_MS + 100_000)
    expect(again(ask.windowEndMs - 1)).toBeUndefined()
    const ending = { ...before, untilMs: NOW_MS + 100_000 }
    const lowered = learnedChange({ ...ask, known: ending, used: 100, said: { ...said, limit: 999 } })
    expect(lowered?.value).toMatchObject({ limit: 999, elsewhere: 200, untilMs: ending.untilMs })
  })

  test('tells nothing of what is left after a reset by hand, until it says it again', () => {
    const before = { ...known, elsewhere: 200 }
    expect(learnedChange({ ...ask, known: before, used: 0, sinceMs: NOW_MS })).toBeNull()
    expect(learnedChange({ ...ask, known: before, used: 0, sinceMs: said.asOfMs })).toMatchObject({
      value: { elsewhere: 300, asOfMs: said.asOfMs },
      reason: expect.stringContaining('300 were used elsewhere or before the reset.'),
    })
  })

  test('is heard when it refuses calls for a while, also without any limit', () => {
    const refused = { ...said, limit: null, remaining: null, deniedUntilMs: NOW_MS + 60_000, asOfMs: 0 }
    const change = learnedChange({ ...ask, said: refused })
    expect(change?.value).toMatchObject({ limit: null, deniedUntilMs: NOW_MS + 60_000 })
    expect(learnedChange({ ...ask, known: change?.value ?? null, said: refused })).toBeNull()
    expect(learnedChange({ ...ask, said: { ...refused, deniedUntilMs: NOW_MS + 1_000 } })).toBeNull()
    // A later refusal ends none that lasts longer.
    const longer = { ...known, limit: 900, deniedUntilMs: NOW_MS + 90_000 }
    expect(
      learnedChange({ ...ask, known: longer, said: { ...said, deniedUntilMs: NOW_MS + 60_000 } })?.value,
    ).toMatchObject({
      limit: 1_000,
      deniedUntilMs: NOW_MS + 90_000,
    })
  })
})

test('a quota whose limit is to be learned has none before, and denies while the provider does', () => {
  const quota = testQuota({ per: ['providerKey'], limit: 'upstream' })
  const subject = { providerKey: 'k' }
  const learned = { quota: 'quota', subject, ...known, deniedUntilMs: NOW_MS, elsewhere: 70 }
  const at = (nowMs: number, adjustments = {}) =>
    createPolicy([quota], { ...NO_ADJUSTMENTS, ...adjustments }).allowance(quota, 'k', nowMs)
  expect(at(NOW_MS)).toEqual({ limit: null, deniedUntilMs: null, elsewhere: 0, sinceMs: 0 })
  expect(at(NOW_MS - 1, { learned: [learned] })).toMatchObject({ limit: 0, deniedUntilMs: NOW_MS })
  expect(at(NOW_MS, { learned: [learned] })).toMatchObject({ limit: 1_000, deniedUntilMs: null, elsewhere: 70 })
  expect(at(known.untilMs, { learned: [learned] })).toMatchObject({ limit: 1_000, elsewhere: 0 })
  const reset = { quota: 'quota', subject, used: 5, fromMs: NOW_MS, untilMs: known.untilMs }
  expect(at(NOW_MS, { learned: [learned], resets: [reset] })).toMatchObject({ limit: 1_000, elsewhere: 0 })
  const since = { ...learned, asOfMs: NOW_MS }
  expect(at(NOW_MS, { learned: [since], resets: [reset] })).toMatchObject({ limit: 1_000, elsewhere: 70 })
  const own = testQuota({ per: ['providerKey'], limit: 5 })
  expect(createPolicy([own], { ...NO_ADJUSTMENTS, learned: [learned] }).allowance(own, 'k', 0).limit).toBe(5)
})
