import { describe, expect, test } from 'vitest'
import { type AlertAnswer, endsOf, scopesOf, silenceOf } from '../../../dashboards/console/silencing.ts'

const HOUR_MS = 3_600_000
const nowMs = Date.UTC(2026, 10, 21, 12)
const subject = { tenant: 'acme', consumer: 'web' }
const alert: AlertAnswer = {
  ...{ key: 'q:1', title: '', rule: 'used', quota: 'q', subject, tenant: 'acme', consumer: 'web', level: 1 },
  ...{ sinceMs: 1, endedAtMs: null, unit: 'requests', used: 5, limit: 5, probability: 1, confidence: 'normal' },
  ...{ exhaustionAtMs: { p10: 1, p50: 1, p90: 1 }, windowEndMs: nowMs + 0.5, why: '', asOfMs: 1, untold: [] },
  ...{ isSilenced: false, silencedUntilMs: null },
}
const wish = { scope: 'subject', end: '1h', at: '', reason: 'known' }

describe('a silence', () => {
  test.each([
    ['subject', 'q', subject],
    ['quota', 'q', null],
    ['all', null, null],
  ])('of %s is of %j and %j', (scope, quota, of) => {
    expect(silenceOf(alert, { ...wish, scope }, nowMs)).toEqual({
      ...{ quota, subject: of, reason: 'known' },
      untilMs: nowMs + HOUR_MS,
    })
  })

  test.each([
    ['8h', '', 8 * HOUR_MS],
    ['1d', '', 24 * HOUR_MS],
    ['7d', '', 7 * 24 * HOUR_MS],
    // Whole milliseconds, of a window that ends between two.
    ['reset', '', 1],
    ['at', new Date(nowMs + 90_000).toISOString(), 90_000],
  ])('that ends %s %s lasts %d ms', (end, at, lastsMs) => {
    expect(silenceOf(alert, { ...wish, end, at }, nowMs)?.untilMs).toBe(nowMs + lastsMs)
  })

  test.each([
    ['at', ''],
    ['at', '2020-01-01T00:00'],
  ])('that ends %s %j would be none', (end, at) => {
    expect(silenceOf(alert, { ...wish, end, at }, nowMs)).toBeNull()
  })
})

test('what is over cannot be an end', () => {
  const values = (atMs: number) => endsOf(alert, atMs).map(({ value }) => value)
  expect(values(nowMs)).toContain('reset')
  expect(values(nowMs + 1)).not.toContain('reset')
  expect(silenceOf(alert, { ...wish, end: 'reset' }, nowMs + 1)).toBeNull()
})

test('what it is of is said with names as they are seen', () => {
  const [first] = scopesOf({ ...alert, subject: { consumer: '\u202ebew' } })
  expect(first?.text).toBe('⟨U+202E⟩bew, q')
})
