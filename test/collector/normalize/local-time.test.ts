import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wallClockOf } from '../../../collector/normalize/local-time.ts'

const HOUR_MS = 3_600_000
const utc = (iso: string) => Date.parse(`${iso}Z`)
const instant = (timezone: string, iso: string) => new Date(wallClockOf(timezone)(utc(iso))).toISOString()

describe('a wall clock', () => {
  test('knows summer time', () => {
    expect(instant('Europe/Berlin', '2026-07-21T10:00:00.123')).toBe('2026-07-21T08:00:00.123Z')
    expect(instant('Europe/Berlin', '2026-12-21T10:00:00')).toBe('2026-12-21T09:00:00.000Z')
    expect(instant('Asia/Kathmandu', '2026-07-21T10:00:00')).toBe('2026-07-21T04:15:00.000Z')
  })

  test('takes the first of two hours, and counts on through one that is left out', () => {
    expect(instant('Europe/Berlin', '2026-10-25T02:30:00')).toBe('2026-10-25T00:30:00.000Z')
    expect(instant('Europe/Berlin', '2026-10-25T03:00:00')).toBe('2026-10-25T02:00:00.000Z')
    expect(instant('Europe/Berlin', '2026-03-29T02:30:00')).toBe('2026-03-29T01:30:00.000Z')
    // Half an hour, on the southern side of the world.
    expect(instant('Australia/Lord_Howe', '2026-04-05T01:45:00')).toBe('2026-04-04T14:45:00.000Z')
  })

  test('is what the zone shows at the instant, whatever was asked before', () => {
    const format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: 'America/New_York',
      dateStyle: 'short',
      timeStyle: 'medium',
    })
    const wallClock = wallClockOf('America/New_York')
    fc.assert(
      fc.property(
        fc.integer({ min: utc('2020-01-01T00:00:00') / 1000, max: utc('2040-01-01T00:00:00') / 1000 }),
        seconds => {
          const shown = utc(format.format(seconds * 1000).replace(' ', 'T'))
          expect([seconds * 1000, seconds * 1000 - HOUR_MS]).toContain(wallClock(shown))
        },
      ),
    )
  })

  test('refuses a zone that is none', () => {
    expect(() => wallClockOf('Europe/Nowhere')).toThrow(RangeError)
  })
})
