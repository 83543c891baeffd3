import { describe, expect, test } from 'vitest'
import type { ForecastAnswer } from '../../../analyzer/api/forecast-schema.ts'
import { isUsedUp, limitWords, runsOutWords, shareUsed, upstreamWords } from '../../../dashboards/console/standing.ts'
import { forecast, NOW_MS } from '../../analyzer/api/forecast-fixture.ts'

const { tenant: _tenant, consumer: _consumer, ...base } = forecast('q', 'app', 0.6)
const answer = (part: Partial<ForecastAnswer> = {}): ForecastAnswer => ({
  ...{
    ...base,
    used: 40,
    limit: 100,
    limitChanges: [],
    upstream: null,
    blocked: null,
    bindsFirst: [],
    pace: null,
    dataAgeMs: 0,
  },
  ...part,
})
const at = (p50: number | null) => ({ p10: null, p50, p90: null })

describe('a subject', () => {
  test('runs out at an instant, not before the reset, or nobody can say', () => {
    expect(runsOutWords(answer({ exhaustionAtMs: at(NOW_MS + 120_000) }), NOW_MS)).toBe('in 2 min')
    expect(runsOutWords(answer({ exhaustionAtMs: at(null) }), NOW_MS)).toBe('not before the reset')
    expect(runsOutWords(answer({ exhaustionAtMs: at(null), probability: null }), NOW_MS)).toBe('cannot be said')
    expect(runsOutWords(answer({ used: 100 }), NOW_MS)).toBe('used up')
  })

  test('uses a share of its limit, all of one that is 0, and none of one that is unknown', () => {
    expect([answer(), answer({ limit: 0 }), answer({ limit: null })].map(shareUsed)).toEqual([0.4, 1, 0])
    expect([answer({ limit: 0, used: 0 }), answer({ limit: null })].map(isUsedUp)).toEqual([true, false])
    expect(limitWords(answer())).toBe('of 100 requests')
    expect(limitWords(answer({ limit: null }))).toBe('requests, limit unknown')
  })
})

test('what the provider said is told as far as it said it', () => {
  expect(upstreamWords(answer(), NOW_MS)).toBeNull()
  const upstream = {
    limit: 100,
    remaining: 20,
    resetAtMs: NOW_MS + 60_000,
    deniedUntilMs: null,
    asOfMs: NOW_MS - 5_000,
  }
  expect(upstreamWords(answer({ upstream }), NOW_MS)).toBe(
    'The provider said 5 s ago: 20 requests left, of 100, to be refilled in 1 min.',
  )
  const refusal = { limit: null, remaining: null, resetAtMs: null, deniedUntilMs: NOW_MS + 30_000, asOfMs: 0 }
  expect(upstreamWords(answer({ upstream: refusal }), NOW_MS)).toBe('The provider said come again in 30 s.')
})
