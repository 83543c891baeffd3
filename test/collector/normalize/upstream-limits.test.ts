import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { headerReader } from '../../../collector/normalize/headers.ts'
import { upstreamLimitsOf } from '../../../collector/normalize/upstream-limits.ts'

const AT_MS = 1_784_620_800_000
const limitsOf = (headers: Record<string, unknown>) => upstreamLimitsOf(headerReader(headers), AT_MS)

describe('an upstream says', () => {
  test.each([
    [
      'as OpenAI does',
      {
        'x-ratelimit-limit-requests': '10000',
        'x-ratelimit-remaining-requests': '9999',
        'x-ratelimit-reset-requests': '12ms',
        'x-ratelimit-limit-tokens': '2000000',
        'x-ratelimit-remaining-tokens': '1998000',
        'x-ratelimit-reset-tokens': '6m0.5s',
      },
      {
        requests: { limit: 10_000, remaining: 9999, resetAtMs: AT_MS + 12 },
        total_tokens: { limit: 2_000_000, remaining: 1_998_000, resetAtMs: AT_MS + 360_500 },
      },
    ],
    [
      'as Azure does, that counts seconds and writes -1 for unknown',
      {
        'X-Ratelimit-Remaining-Requests': ['-1'],
        'X-Ratelimit-Limit-Requests': ['-1'],
        'X-Ratelimit-Remaining-Tokens': ['149000'],
        'X-Ratelimit-Reset-Tokens': ['17'],
      },
      { total_tokens: { limit: null, remaining: 149_000, resetAtMs: AT_MS + 17_000 } },
    ],
    [
      'without knowing when it refills',
      {
        'x-ratelimit-limit-tokens': '100',
        'x-ratelimit-remaining-tokens': '99',
        'x-ratelimit-reset-tokens': '-1',
        ratelimit: '"a";r=7;t=-1',
      },
      {
        requests: { limit: null, remaining: 7, resetAtMs: null },
        total_tokens: { limit: 100, remaining: 99, resetAtMs: null },
      },
    ],
    [
      'as Anthropic does',
      {
        'anthropic-ratelimit-requests-limit': '50',
        'anthropic-ratelimit-requests-remaining': '49',
        'anthropic-ratelimit-requests-reset': '2026-07-21T08:00:17Z',
        'anthropic-ratelimit-input-tokens-remaining': '20000',
        'anthropic-ratelimit-output-tokens-remaining': '8000',
        'anthropic-ratelimit-tokens-remaining': '28000',
      },
      {
        requests: { limit: 50, remaining: 49, resetAtMs: AT_MS + 17_000 },
        input_tokens: { limit: null, remaining: 20_000, resetAtMs: null },
        output_tokens: { limit: null, remaining: 8000, resetAtMs: null },
        total_tokens: { limit: null, remaining: 28_000, resetAtMs: null },
      },
    ],
    [
      'as Groq does',
      { 'x-ratelimit-remaining-requests': '14370', 'x-ratelimit-reset-requests': '2m59.56s' },
      { requests: { limit: null, remaining: 14_370, resetAtMs: AT_MS + 179_560 } },
    ],
    [
      'as OpenRouter does, with the milliseconds of the reset',
      { 'X-RateLimit-Limit': '20', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': '1784620860000' },
      { requests: { limit: 20, remaining: 0, resetAtMs: AT_MS + 60_000 } },
    ],
    [
      'as GitHub does, with the seconds of the reset',
      { 'X-RateLimit-Limit': '60', 'X-RateLimit-Remaining': '41', 'X-RateLimit-Reset': '1784620860' },
      { requests: { limit: 60, remaining: 41, resetAtMs: AT_MS + 60_000 } },
    ],
    [
      'as Envoy does, with a list',
      { 'x-ratelimit-limit': '10, 10;w=1;name="x"', 'x-ratelimit-remaining': '9', 'x-ratelimit-reset': '1' },
      { requests: { limit: 10, remaining: 9, resetAtMs: AT_MS + 1000 } },
    ],
    [
      'as draft 6 has it',
      { 'RateLimit-Limit': '100, 100;w=60', 'RateLimit-Remaining': '42', 'RateLimit-Reset': '17' },
      { requests: { limit: 100, remaining: 42, resetAtMs: AT_MS + 17_000 } },
    ],
    [
      'as draft 7 has it',
      { ratelimit: 'limit=100, remaining=42, reset=17', 'ratelimit-policy': '100;w=60' },
      { requests: { limit: 100, remaining: 42, resetAtMs: AT_MS + 17_000 } },
    ],
    [
      'as draft 11 has it, and the tightest policy of a unit holds',
      {
        'ratelimit-policy':
          '"burst";q=100;w=60;pk=:YWNtZQ==:, "daily";q=5000;w=86400, "size";q=9;w=1;qu="content-bytes", "tokens-day";q=7;w=1',
        ratelimit: '"daily";r=1200;t=30211, "burst";r=42;t=17;pk=:YWNtZQ==:, "size";r=8, "tokens-day";r=6;t=2',
      },
      {
        requests: { limit: 100, remaining: 42, resetAtMs: AT_MS + 17_000 },
        bytes: { limit: 9, remaining: 8, resetAtMs: null },
        total_tokens: { limit: 7, remaining: 6, resetAtMs: AT_MS + 2000 },
      },
    ],
  ])('%s', (_, headers, units) => {
    expect(limitsOf(headers)).toEqual({ units, retryAfterMs: null })
  })

  test.each([
    [{ 'retry-after': '17' }, 17_000],
    [{ 'retry-after': '2', 'retry-after-ms': '1540' }, 1540],
    [{ 'retry-after': '2', 'retry-after-ms': '-1' }, 2000],
    [{ 'Retry-After': 'Tue, 21 Jul 2026 08:00:17 GMT' }, 17_000],
    [{ 'retry-after': 'Tue, 21 Jul 2026 07:00:00 GMT' }, 0],
  ])('when to come back: %j', (headers, retryAfterMs) => {
    expect(limitsOf(headers)).toEqual({ units: {}, retryAfterMs })
  })

  test.each([
    {},
    { 'content-type': 'application/json' },
    { 'retry-after': 'soon' },
    { 'retry-after': '-1' },
    { 'retry-after': '1e300' },
    { ratelimit: '"' },
    { 'x-ratelimit-remaining': 'many' },
    { 'x-ratelimit-remaining': '-1' },
    { 'x-ratelimit-remaining': '99999999999999999999' },
  ])('nothing: %j', headers => {
    expect(limitsOf(headers)).toBeNull()
  })
})

test('whatever a header holds, limits are numbers that a record may hold', () => {
  const names = ['ratelimit', 'ratelimit-policy', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after']
  const value = fc.oneof(fc.string(), fc.double().map(String), fc.stringMatching(/^"[a-z]+";[rqt]=\d{1,20}$/))
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value), headers => {
      const limits = limitsOf(headers)
      for (const limit of Object.values(limits?.units ?? {})) {
        for (const number of Object.values(limit)) expect(number === null || Number.isSafeInteger(number)).toBe(true)
      }
    }),
  )
})

test.each(['"constructor"', '"__proto__"', '""', 'x'])('a unit of %s is nothing but a name', unit => {
  const limits = limitsOf({ ratelimit: '"a";r=1', 'ratelimit-policy': `"a";q=5;qu=${unit}` })
  const name = unit === '"constructor"' ? 'constructor' : 'requests'
  expect(Object.entries(limits?.units ?? {})).toEqual([[name, { limit: 5, remaining: 1, resetAtMs: null }]])
})
