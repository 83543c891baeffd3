import { describe, expect, test } from 'vitest'
import {
  isUsedUp,
  limitWords,
  runsOutWords,
  shadowWords,
  shareUsed,
  slowedWords,
  upstreamWords,
} from '../../../dashboards/console/standing.ts'
import { NOW_MS } from '../../analyzer/api/forecast-fixture.ts'
import { answerOf } from './answers.ts'

const at = (p50: number | null) => ({ p10: null, p50, p90: null })
const usedUp = answerOf({ exhaustionAtMs: { p10: NOW_MS - 9_000, p50: NOW_MS - 9_000, p90: NOW_MS - 9_000 } })

describe('a subject', () => {
  test('runs out at an instant, not before the reset, or nobody can say', () => {
    expect(runsOutWords(answerOf({ exhaustionAtMs: at(NOW_MS + 120_000) }), NOW_MS)).toBe('in 2 min')
    expect(runsOutWords(answerOf({ exhaustionAtMs: at(null) }), NOW_MS)).toBe('not before the reset')
    expect(runsOutWords(answerOf({ exhaustionAtMs: at(null), probability: null }), NOW_MS)).toBe('cannot be said')
    expect(runsOutWords(usedUp, NOW_MS)).toBe('used up')
  })

  test('uses a share of its limit, all of one that is 0, and none of one that is unknown', () => {
    expect([answerOf(), answerOf({ limit: 0 }), answerOf({ limit: null })].map(shareUsed)).toEqual([0.4, 1, 0])
    // Of a rate with a burst, more than its limit may be used.
    expect([usedUp, answerOf({ used: 101 })].map(isUsedUp)).toEqual([true, false])
    expect(limitWords(answerOf())).toBe('of 100 requests')
    expect(limitWords(answerOf({ limit: null }))).toBe('requests, limit unknown')
  })
})

test('a quota that denies nothing says so', () => {
  expect(shadowWords(answerOf({ enforcement: 'shadow' }))).toBe(' (shadow: denies nothing)')
  expect([answerOf({ enforcement: 'pace' }), answerOf({ enforcement: null })].map(shadowWords)).toEqual(['', ''])
})

test('what the provider said is told as far as it said it', () => {
  expect(upstreamWords(answerOf(), NOW_MS)).toBeNull()
  const upstream = {
    limit: 100,
    remaining: 20,
    resetAtMs: NOW_MS + 60_000,
    deniedUntilMs: null,
    asOfMs: NOW_MS - 5_000,
  }
  expect(upstreamWords(answerOf({ upstream }), NOW_MS)).toBe(
    'The provider said 5 s ago: 20 requests left, of 100, to be refilled in 1 min.',
  )
  const refusal = { limit: null, remaining: null, resetAtMs: null, deniedUntilMs: NOW_MS + 30_000, asOfMs: 0 }
  expect(upstreamWords(answerOf({ upstream: refusal }), NOW_MS)).toBe('The provider said come again in 30 s.')
  const nothing = { limit: null, remaining: null, resetAtMs: null, deniedUntilMs: null, asOfMs: NOW_MS - 5_000 }
  expect(upstreamWords(answerOf({ upstream: nothing }), NOW_MS)).toBeNull()
})

test('a pace, and which of the quotas binds first, are told where there is one', () => {
  expect(slowedWords(answerOf(), NOW_MS)).toEqual([])
  const part = {
    pace: { amount: 30, periodMs: 60_000, untilMs: NOW_MS + 3_600_000 },
    bindsFirst: [{ quota: 'tokens-per-day', probability: 0.62 }],
  }
  expect(slowedWords(answerOf(part), NOW_MS)).toEqual([
    'Slowed down to 30 requests per 1 min, so that what is left lasts; it ends in 1 h.',
    'Of all its quotas tokens-per-day is the most likely to run out first (62%).',
  ])
})
