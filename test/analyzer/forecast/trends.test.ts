import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import {
  dailyTotals,
  factorChanges,
  levelChanges,
  outgrownBy,
  seasonProfile,
  toLogs,
  weeklyGrowth,
  weeklySlope,
} from '../../../analyzer/forecast/trends.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** A Monday. */
const BEGIN_MS = Date.UTC(2026, 0, 5)

const daysOf = (count: number, of: (day: number) => number) => Array.from({ length: count }, (_, day) => of(day))
const hoursOf = (days: number, of: (hour: number) => number) => {
  const hours = Array.from({ length: days * 24 }, (_, hour) => of(hour))
  return toHistory(hours, BEGIN_MS, HOUR_MS, BEGIN_MS + days * DAY_MS)
}
/** Quiet weekends. */
const weekday = (day: number) => (day % 7 < 5 ? 100 : 10)
/** Noise that is the same each time: a factor from 0.8 to 1.2. */
const noisy = (day: number) => 1 + 0.2 * Math.sin(day * 12.9898) * Math.cos(day * 78.233)

describe('growth by the week', () => {
  test('is exact where nothing else changes, whatever the weekdays and the scale', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.7, max: 1.5, noNaN: true }),
        fc.double({ min: 0.1, max: 1e6, noNaN: true }),
        fc.integer({ min: 14, max: 40 }),
        (factor, scale, count) => {
          const growth = weeklyGrowth(daysOf(count, day => scale * (1 + (day % 7)) * factor ** (day / 7)))
          expect(growth?.factor).toBeCloseTo(factor, 6)
        },
      ),
    )
  })

  test('is not moved by a wild day, and its interval holds it', () => {
    const growth = weeklyGrowth(daysOf(28, day => (day === 20 ? 50 : 1) * weekday(day) * noisy(day) * 1.2 ** (day / 7)))
    expect(growth?.factor).toBeGreaterThan(1.1)
    expect(growth?.factor).toBeLessThan(1.3)
    expect(growth?.low).toBeLessThan(1.2)
    expect(growth?.high).toBeGreaterThan(1.2)
    expect(growth?.low).toBeLessThanOrEqual(growth?.factor ?? 0)
  })

  test('skips days of which nothing is known, and needs two weeks', () => {
    expect(
      weeklySlope(daysOf(28, day => day).map((value, day) => (day % 5 === 0 ? null : value)))?.perWeek,
    ).toBeCloseTo(7)
    expect(weeklySlope(daysOf(13, day => day))).toBeNull()
    expect(weeklyGrowth(new Array(28).fill(0))).toBeNull()
  })
})

describe('changes of level', () => {
  const changesOf = (days: readonly number[]) => levelChanges(toLogs(days), 0.1).map(({ day }) => day)

  test('are found on their day, through weekends and noise', () => {
    expect(changesOf(daysOf(28, day => weekday(day) * noisy(day) * (day < 15 ? 1 : 2)))).toEqual([15])
    expect(changesOf(daysOf(30, day => noisy(day) * (day < 10 ? 1 : day < 20 ? 3 : 0.5)))).toEqual([10, 20])
  })

  test('say from where to where', () => {
    const [change] = levelChanges(
      daysOf(20, day => (day < 8 ? 0.01 : 0.2)),
      0.01,
    )
    expect(change).toEqual({ day: 8, before: 0.01, after: 0.2 })
  })

  test('of a key that stopped are to nothing, and of one that woke from nothing', () => {
    expect(factorChanges([...daysOf(20, () => 100), ...daysOf(8, () => 0)], 0.1)).toEqual([
      { day: 20, before: expect.closeTo(100), after: 0 },
    ])
    expect(factorChanges([...daysOf(20, () => 0), ...daysOf(8, () => 100)], 0.1)).toEqual([
      { day: 20, before: 0, after: expect.closeTo(100) },
    ])
  })

  test('are told without the weekend that they may fall on', () => {
    // Friday to Sunday are three times as busy as they were.
    const days = daysOf(28, day => weekday(day) * noisy(day) * (day < 25 ? 1 : 3))
    const [change] = levelChanges(toLogs(days), 0.1)
    expect(change?.day).toBe(25)
    expect((change?.after ?? 0) - (change?.before ?? 0)).toBeGreaterThan(Math.log(2))
  })

  test('are not seen in noise, one wild day or steady growth', () => {
    expect(changesOf(daysOf(28, day => weekday(day) * noisy(day)))).toEqual([])
    expect(changesOf(daysOf(28, day => (day === 14 ? 30 : 1) * weekday(day) * noisy(day)))).toEqual([])
    expect(changesOf(daysOf(28, day => 1.15 ** (day / 7) * noisy(day)))).toEqual([])
    // A day in three is used, by chance: most days are alike.
    expect(changesOf(Array.from('1101010001001001001000010010', Number))).toEqual([])
    expect(levelChanges([], 0.1)).toEqual([])
    expect(levelChanges(new Array(30).fill(0), 0.1)).toEqual([])
  })
})

test('weekends are no changes of level, however few of them are known', () => {
  for (let count = 1; count <= 21; count++) {
    for (let first = 0; first < 7; first++) {
      const days = daysOf(count, day => (weekday(first + day) - 10) * noisy(day))
      expect(levelChanges(toLogs(days), 0.1), `${count} days from ${first} on`).toEqual([])
    }
  }
})

test('the season is the shape of the week, from Monday on, whatever its size', () => {
  const isBusy = (hour: number) => hour % 168 === 10
  const profile = seasonProfile(hoursOf(21, hour => (isBusy(hour) ? 5 : 1) * (hour < 168 ? 1 : 100)))
  const mean = (167 + 5) / 168
  expect(profile).toHaveLength(168)
  expect(profile?.[10]).toBeCloseTo(5 / mean)
  expect(profile?.[11]).toBeCloseTo(1 / mean)
  expect(seasonProfile(hoursOf(6, () => 1))).toBeNull()
  expect(seasonProfile(hoursOf(14, () => 0))).toBeNull()
  // From Wednesday to Wednesday, Monday is still the first.
  const shifted = toHistory(
    Array.from({ length: 168 }, (_, hour) => (hour === 5 * 24 ? 1 : 0)),
    BEGIN_MS + 2 * DAY_MS,
    HOUR_MS,
    BEGIN_MS + 9 * DAY_MS,
  )
  expect(seasonProfile(shifted)?.[0]).toBeCloseTo(168)
})

describe('a quota is outgrown', () => {
  const grows = (factor: number, low = factor, high = factor) => ({ factor, low, high })
  const growing = hoursOf(28, hour => 100 * 1.1 ** (hour / 168))

  test('when growth has made up what the limit leaves', () => {
    const endMs = growing.endMs
    const outgrown = outgrownBy(growing, { windowMs: DAY_MS, limit: 2 * 2400 * 1.1 ** 4, growth: grows(1.1) })
    expect(outgrown?.typical.usage).toBeCloseTo(2400 * 1.1 ** 4, -2)
    expect(((outgrown?.typical.atMs ?? 0) - endMs) / (7 * DAY_MS)).toBeCloseTo(Math.log(2) / Math.log(1.1), 1)
  })

  test('now where it is too small already, and never without growth', () => {
    const ask = { windowMs: DAY_MS, limit: 100, growth: grows(1) }
    expect(outgrownBy(growing, ask)?.typical.atMs).toBe(growing.endMs)
    expect(outgrownBy(growing, { ...ask, limit: 1e9 })?.typical.atMs).toBeNull()
    expect(outgrownBy(growing, { ...ask, limit: 1e9, growth: grows(1.001) })?.busy.atMs).toBeNull()
  })

  test('sooner or later, or never, as sure as its growth is', () => {
    const growth = grows(1.1, 0.98, 1.2)
    const outgrown = outgrownBy(growing, { windowMs: DAY_MS, limit: 2 * 2400 * 1.1 ** 4, growth })
    const weeks = ((outgrown?.typical.earliestMs ?? 0) - growing.endMs) / (7 * DAY_MS)
    expect(weeks).toBeCloseTo(Math.log(2) / Math.log(1.2), 1)
    expect(outgrown?.typical.latestMs).toBeNull()
  })

  test('also where its windows are longer than what is known', () => {
    const month = { windowMs: 30 * DAY_MS, limit: 1e9, growth: grows(1.1) }
    // As large as 30 days would be about now.
    expect(outgrownBy(growing, month)?.typical.usage).toBeCloseTo(30 * 2400 * 1.1 ** 4, -4)
    expect(
      outgrownBy(
        hoursOf(6, () => 1),
        month,
      ),
    ).toBeNull()
    expect(
      outgrownBy(
        hoursOf(6, () => 1),
        { ...month, windowMs: DAY_MS },
      ),
    ).not.toBeNull()
  })

  test('by its busy windows before its typical ones', () => {
    const weekly = hoursOf(28, hour => (Math.floor(hour / 24) % 7 === 0 ? 1000 : 100))
    const outgrown = outgrownBy(weekly, { windowMs: DAY_MS, limit: 5000, growth: grows(1.1) })
    expect(outgrown?.busy.atMs).toBe(weekly.endMs)
    expect(outgrown?.typical.atMs).toBeGreaterThan(weekly.endMs)
  })
})

test('days begin with the first whole one that was used', () => {
  expect(dailyTotals(hoursOf(5, hour => (hour < 48 ? 0 : 1)))).toEqual([24, 24])
  expect(dailyTotals(hoursOf(3, () => 1))).toEqual([24, 24, 24])
  expect(dailyTotals(hoursOf(5, () => 0))).toEqual([])
})
