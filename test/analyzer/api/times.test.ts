import { expect, test } from 'vitest'
import { parseDuration, parseInstant } from '../../../analyzer/api/times.ts'

test('durations have a unit', () => {
  expect(['90s', '1m', '15m', '2h', '7d'].map(text => parseDuration('step', text))).toEqual([
    90_000, 60_000, 900_000, 7_200_000, 604_800_000,
  ])
  for (const text of ['', '1', 'm', '-1m', '1.5h', '1w']) expect(() => parseDuration('step', text)).toThrow('step:')
})

test('instants are dates with a zone, milliseconds, or a while ago', () => {
  expect(parseInstant('from', '2026-01-01T00:00:00Z', 0)).toBe(Date.UTC(2026, 0))
  expect(parseInstant('from', '2026-01-01T01:00:00.5+01:00', 0)).toBe(Date.UTC(2026, 0) + 500)
  expect(parseInstant('from', '1767225600000', 0)).toBe(Date.UTC(2026, 0))
  expect(parseInstant('from', '-1h', 3_600_001)).toBe(1)
  expect(parseInstant('from', '-1d', 1)).toBe(0)
  expect(parseInstant('from', '2026-01-01T01:00+0100', 0)).toBe(Date.UTC(2026, 0))
  const noTimes = ['', 'now', '2026-01-01', '2026-01-01T00:00:00']
  const noDates = ['2026-13-01T00:00:00Z', '2026-02-30T00:00:00Z', '2026-01-01T00:00 (noon) Z', '99999999999999']
  for (const text of [...noTimes, ...noDates]) {
    expect(() => parseInstant('from', text, 0), text).toThrow('from:')
  }
})
