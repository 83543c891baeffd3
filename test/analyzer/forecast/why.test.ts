import { describe, expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { toOutlook } from '../../../analyzer/forecast/outlook.ts'
import { unknowable, whyOf } from '../../../analyzer/forecast/why.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** A Monday. */
const BEGIN_MS = Date.UTC(2026, 0, 5)

/** What is said at the end of so many hours, half-way through a window. */
function said(count: number, perHour: (hour: number, day: number) => number, windowMs = DAY_MS): string {
  const hours = Array.from({ length: count }, (_, hour) => perHour(hour % 24, Math.floor(hour / 24)))
  const nowMs = BEGIN_MS + count * HOUR_MS
  const history = toHistory(hours, BEGIN_MS, HOUR_MS, nowMs)
  const [windowStartMs, windowEndMs] = [nowMs - windowMs / 2, nowMs + windowMs / 2]
  const outlook = toOutlook(history, { atMs: nowMs, untilMs: windowEndMs, windowMs })
  return whyOf({ history, nowMs, windowStartMs, windowEndMs, used: 0, limit: 1_000 }, outlook, null)
}

describe('the level of the last day', () => {
  const office = (hour: number, day: number) => (day % 7 < 5 && hour >= 8 && hour < 18 ? 100 : 0)

  test('is no news where it is what it always is on this day of the week, or at this time of the day', () => {
    for (let hours = 20 * 24 + 13; hours < 27 * 24; hours += 24) {
      expect(said(hours, office), `${hours} hours`).not.toContain('times the')
    }
    for (let hours = 25 * 24; hours < 26 * 24; hours += 4) {
      expect(
        said(hours, hour => (hour < 12 ? 10 : 100), 6 * HOUR_MS),
        `${hours} hours`,
      ).not.toContain('times the')
    }
  })

  test('is compared with the week before, as far as that is known', () => {
    const doubled = (days: number) => said(days * 24, (_, day) => (day < days - 1 ? 10 : 20))
    expect(doubled(12)).toContain('; the last day had 2.0 times the mean use of the 7 days before')
    expect(doubled(4)).toContain('; the last day had 2.0 times the mean use of the 3 days before')
    expect(doubled(2)).toContain('; the last day had 2.0 times the use of the day before')
    // Steady since the end of the first day, of which an hour was used.
    expect(said(25, hour => (hour >= 0 ? 10 : 0))).not.toContain('times')
    expect(said(47, (hour, day) => (day === 0 && hour < 22 ? 0 : 10))).not.toContain('times')
  })

  test('is told for how long nothing was used', () => {
    expect(said(14 * 24, (_, day) => (day < 9 ? 10 : 0))).toContain('; idle for the last 5 days')
    expect(said(14 * 24 + 12, (_, day) => (day < 13 ? 10 : 0))).toContain('; idle for the last day')
  })
})

test('the first use is not said to be longer ago than it is: which instant of its step it was nobody knows', () => {
  const nowMs = BEGIN_MS + HOUR_MS / 2
  const history = toHistory([7], BEGIN_MS, HOUR_MS, nowMs)
  const question = { history, nowMs, windowStartMs: BEGIN_MS, windowEndMs: BEGIN_MS + DAY_MS, used: 7, limit: 10 }
  expect(unknowable(question, false)).toBe('Its first use was less than 30 minutes ago.')
})
