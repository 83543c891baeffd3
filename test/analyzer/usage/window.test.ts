import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bucketAt,
  HELD_WINDOW,
  isResetting,
  parseWindow,
  type ResettingWindow,
  seriesStepMs,
  windowAt,
} from '../../../analyzer/usage/window.ts'
import type { WindowOptions } from '../../../analyzer/usage/window-options.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const fixed = (everySeconds: number, anchor = '1970-01-01T00:00:00Z'): WindowOptions => ({
  kind: 'fixed',
  everySeconds,
  anchor,
})
const calendar = (every: 'day' | 'week' | 'month' | 'year', timezone = 'UTC', startsOn = 1): WindowOptions => ({
  kind: 'calendar',
  every,
  timezone,
  startsOn,
})
const resetting = (options: WindowOptions): ResettingWindow => {
  const spec = parseWindow(options)
  if (!isResetting(spec)) throw new Error('expected a window that resets')
  return spec
}
const at = (options: WindowOptions, instant: string) => {
  const { startMs, endMs } = windowAt(resetting(options), Date.parse(instant))
  return [new Date(startMs).toISOString(), new Date(endMs).toISOString()]
}

describe('fixed windows', () => {
  test('repeat from their anchor, before it too', () => {
    const options = fixed(3_600, '2026-05-05T10:20:00.123Z')
    expect(at(options, '2026-05-05T11:20:00.122Z')).toEqual(['2026-05-05T10:20:00.123Z', '2026-05-05T11:20:00.123Z'])
    expect(at(options, '2026-05-05T11:20:00.123Z')[0]).toBe('2026-05-05T11:20:00.123Z')
    expect(at(options, '2026-05-01T00:00:00Z')[0]).toBe('2026-04-30T23:20:00.123Z')
  })

  test('have one definition for the same windows, and another for others', () => {
    const definition = (options: WindowOptions) => parseWindow(options).definition
    expect(definition(fixed(60, '2026-05-05T10:20:00Z'))).toBe(definition(fixed(60)))
    expect(definition(fixed(60, '2026-05-05T10:20:01Z'))).not.toBe(definition(fixed(60)))
    expect(definition(fixed(60))).not.toBe(definition(fixed(120)))
  })
})

describe('calendar windows', () => {
  test.each([
    [
      'a day of 23 hours',
      calendar('day', 'Europe/Berlin'),
      '2026-03-29T12:00:00Z',
      '2026-03-28T23:00:00.000Z',
      '2026-03-29T22:00:00.000Z',
    ],
    [
      'a day of 25 hours',
      calendar('day', 'Europe/Berlin'),
      '2026-10-25T12:00:00Z',
      '2026-10-24T22:00:00.000Z',
      '2026-10-25T23:00:00.000Z',
    ],
    [
      'a week from Monday',
      calendar('week'),
      '2026-11-21T12:00:00Z',
      '2026-11-16T00:00:00.000Z',
      '2026-11-23T00:00:00.000Z',
    ],
    [
      'a week from Sunday',
      calendar('week', 'UTC', 7),
      '2026-11-21T12:00:00Z',
      '2026-11-15T00:00:00.000Z',
      '2026-11-22T00:00:00.000Z',
    ],
    [
      'a month over the year',
      calendar('month', 'Asia/Tokyo', 15),
      '2027-01-03T00:00:00Z',
      '2026-12-14T15:00:00.000Z',
      '2027-01-14T15:00:00.000Z',
    ],
    [
      'February of a leap year',
      calendar('month'),
      '2028-02-29T12:00:00Z',
      '2028-02-01T00:00:00.000Z',
      '2028-03-01T00:00:00.000Z',
    ],
    [
      'a year from April',
      calendar('year', 'UTC', 4),
      '2026-03-31T23:59:59Z',
      '2025-04-01T00:00:00.000Z',
      '2026-04-01T00:00:00.000Z',
    ],
    [
      'a day whose midnight is skipped',
      calendar('day', 'Africa/Cairo'),
      '2026-04-24T12:00:00Z',
      '2026-04-23T22:00:00.000Z',
      '2026-04-24T21:00:00.000Z',
    ],
    [
      'a date that does not exist there',
      calendar('day', 'Pacific/Apia'),
      '2011-12-30T09:59:59Z',
      '2011-12-29T10:00:00.000Z',
      '2011-12-30T10:00:00.000Z',
    ],
  ] as const)('%s', (_name, options, instant, start, end) => {
    expect(at(options, instant)).toEqual([start, end])
  })
})

test('windows hold their instant and follow one another without a gap, whatever the clocks do', () => {
  const options = fc.oneof(
    fc.integer({ min: 1, max: 40 * 86_400 }).map(seconds => fixed(seconds, '2001-02-03T04:05:06.789Z')),
    fc
      .record({
        every: fc.constantFrom('day' as const, 'week' as const, 'month' as const, 'year' as const),
        timezone: fc.constantFrom(
          'UTC',
          'Europe/Berlin',
          'America/St_Johns',
          'Africa/Cairo',
          'Pacific/Apia',
          'Asia/Kathmandu',
        ),
        startsOn: fc.integer({ min: 1, max: 28 }),
      })
      .map(({ every, timezone, startsOn }) => {
        const max = { day: 1, week: 7, month: 28, year: 12 }[every]
        return calendar(every, timezone, ((startsOn - 1) % max) + 1)
      }),
  )
  const instant = fc.integer({ min: Date.UTC(1990, 0, 1), max: Date.UTC(2040, 0, 1) })
  fc.assert(
    fc.property(options, instant, (chosen, atMs) => {
      const spec = resetting(chosen)
      const window = windowAt(spec, atMs)
      expect(window.startMs <= atMs && atMs < window.endMs).toBe(true)
      expect(windowAt(spec, window.startMs - 1).endMs).toBe(window.startMs)
      expect(windowAt(spec, window.endMs).startMs).toBe(window.endMs)
      // A cache must not change the answer.
      expect(windowAt(resetting(chosen), window.endMs - 1)).toEqual(window)
    }),
    { numRuns: 300 },
  )
})

test.each([
  [fixed(60, 'yesterday'), '/anchor'],
  [fixed(60, '2026-01-01T00:00:00'), '/anchor'],
  [calendar('day', 'Mars/Olympus'), '/timezone'],
  [calendar('day', 'UTC', 2), '/startsOn'],
  [calendar('week', 'UTC', 8), '/startsOn'],
  [calendar('year', 'UTC', 13), '/startsOn'],
])('%j is refused at its option', (options, path) => {
  expect(() => parseWindow(options)).toThrow(expect.objectContaining({ code: 'WINDOW_INVALID', path }))
})

test('a slot holds the instant, and counts until the length of the window after its end', () => {
  const options = fc.record({
    everySeconds: fc.integer({ min: 1, max: 86_400 }),
    slots: fc.integer({ min: 4, max: 128 }),
  })
  fc.assert(
    fc.property(options, fc.integer({ min: 0, max: Date.UTC(2040, 0, 1) }), ({ everySeconds, slots }, atMs) => {
      const spec = parseWindow({ kind: 'sliding', everySeconds, slots })
      if (spec.kind !== 'sliding') throw new Error('expected it to slide')
      expect(spec.slotMs * slots).toBeLessThanOrEqual(spec.lengthMs)
      const { startMs, endMs } = bucketAt(spec, atMs)
      expect(startMs <= atMs && atMs < startMs + spec.slotMs).toBe(true)
      expect(endMs).toBe(startMs + spec.slotMs + spec.lengthMs)
    }),
  )
})

test('what drains, and what is held, is counted for longer than it can last', () => {
  const rate = parseWindow({ kind: 'rate', everySeconds: 60 })
  expect(bucketAt(rate, HOUR_MS + 1)).toEqual({ startMs: HOUR_MS, endMs: 3 * HOUR_MS })
  const burstIn = (everySeconds: number, burst: number, limit: number) =>
    bucketAt(parseWindow({ kind: 'rate', everySeconds, burst }, limit), 0).endMs / HOUR_MS
  // Stretches of one hour, of two hours, and no more than nine of them.
  expect([burstIn(60, 30, 1), burstIn(60, 121, 1), burstIn(3600, 50, 10), burstIn(3600, 1e9, 1)]).toEqual([2, 4, 8, 18])
  expect(bucketAt(HELD_WINDOW, DAY_MS + 1)).toEqual({ startMs: DAY_MS, endMs: 3 * DAY_MS })
})

test('a series steps by a 60th of its window, between a minute and an hour', () => {
  const minutes = (windowMs: number) => seriesStepMs(windowMs) / 60_000
  expect([60_000, HOUR_MS, 5 * HOUR_MS, DAY_MS, 7 * DAY_MS, 365 * DAY_MS].map(minutes)).toEqual([1, 1, 5, 20, 60, 60])
})
