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

describe('the borders of a calendar are those of its dates', () => {
  /** Zones with odd offsets and switches, and instants at which clocks were, or will be, put forward or back. */
  const switches: readonly (readonly [timezone: string, ...instants: string[]])[] = [
    ['UTC', '2028-02-29T00:00:00Z', '2026-12-31T23:59:59Z'],
    ['Australia/Lord_Howe', '2026-04-04T15:00:00Z', '2026-10-03T15:30:00Z'],
    ['Asia/Kathmandu', '2027-12-31T18:15:00Z', '2028-02-28T18:15:00Z'],
    // One minute of the next day, then an hour of the one before once more.
    ['America/St_Johns', '2010-11-07T02:31:00Z', '2026-03-08T05:30:00Z', '2026-11-01T04:30:00Z'],
    ['Pacific/Apia', '2011-12-30T10:00:00Z'],
    ['Pacific/Chatham', '2026-04-04T14:00:00Z', '2026-09-26T14:00:00Z'],
    ['Africa/Casablanca', '2026-02-15T02:00:00Z', '2026-03-22T02:00:00Z'],
    ['Asia/Tehran', '2022-03-21T20:30:00Z', '2022-09-21T19:30:00Z'],
    ['America/Havana', '2026-03-08T05:00:00Z', '2026-11-01T05:00:00Z'],
    ['Asia/Beirut', '2026-03-28T22:00:00Z', '2026-10-24T21:00:00Z'],
    ['Africa/Cairo', '2026-04-23T22:00:00Z', '2026-10-29T21:00:00Z'],
    ['America/Asuncion', '2024-03-24T03:00:00Z', '2024-10-06T04:00:00Z'],
    ['Antarctica/Troll', '2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'],
    ['Europe/Dublin', '2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'],
  ]
  const everies = { day: 1, week: 7, month: 28, year: 12 } as const
  const calendars = (timezone: string) =>
    (['day', 'week', 'month', 'year'] as const).flatMap(every =>
      Array.from({ length: everies[every] }, (_, index) => calendar(every, timezone, index + 1)),
    )

  const formats = new Map<string, Intl.DateTimeFormat>()
  /** Which period an instant's date is in, as a number that rises: reckoned by nothing but the date that a clock there shows. */
  function periodAt(options: WindowOptions, atMs: number): number {
    if (options.kind !== 'calendar') throw new Error('expected a calendar')
    const { every, timezone, startsOn } = options
    const format = formats.get(timezone) ?? new Intl.DateTimeFormat('en-CA', { timeZone: timezone })
    formats.set(timezone, format)
    const [year = 0, month = 0, day = 0] = format.format(atMs).split('-').map(Number)
    const days = Date.UTC(year, month - 1, day) / DAY_MS
    // The epoch was a Thursday.
    if (every === 'week') return days - ((((days + 3) % 7) + 8 - startsOn) % 7)
    if (every === 'month') return 12 * year + month - (day < startsOn ? 1 : 0)
    return every === 'year' ? year - (month < startsOn ? 1 : 0) : days
  }

  function expectBorders(options: WindowOptions, atMs: number): void {
    const { startMs, endMs } = windowAt(resetting(options), atMs)
    const period = periodAt(options, startMs)
    expect(startMs <= atMs && atMs < endMs).toBe(true)
    expect(periodAt(options, startMs - 1)).toBeLessThan(period)
    expect(periodAt(options, endMs - 1)).toBeLessThanOrEqual(period)
    expect(periodAt(options, endMs)).toBeGreaterThan(period)
    // A clock that goes back over midnight shows the date of before once more.
    if (atMs - startMs > 3 * HOUR_MS) expect(periodAt(options, atMs)).toBe(period)
  }

  test.each(switches)('in %s about %s', (timezone, ...instants) => {
    for (const options of calendars(timezone)) {
      for (const instant of instants) {
        for (const apartMs of [-HOUR_MS, -60_000, -1, 0, 60_000, HOUR_MS]) {
          expectBorders(options, Date.parse(instant) + apartMs)
        }
      }
    }
  })

  test('in any of these zones at any time', () => {
    const zone = fc.constantFrom(...switches.map(([timezone]) => timezone))
    const options = zone.chain(timezone => fc.constantFrom(...calendars(timezone)))
    const instant = fc.integer({ min: Date.UTC(2012, 0, 1), max: Date.UTC(2037, 0, 1) })
    fc.assert(fc.property(options, instant, expectBorders), { numRuns: 200 })
  })
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
