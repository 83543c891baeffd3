import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expectedHours, UNUSUAL_SCORE, unseenScore, unusualUse } from '../../../analyzer/forecast/anomalies.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'

const HOUR_MS = 3_600_000
const HOURS = 28 * 24

/** The same each time: a factor from 0.8 to 1.2. */
const noise = (hour: number) => 1 + 0.2 * Math.sin(hour * 12.9898) * Math.cos(hour * 78.233)
/** Busy days, quiet nights. */
const usual = (hour: number) => (hour % 24 < 8 ? 10 : 100) * noise(hour)
const historyOf = (of: (hour: number) => number, count = HOURS) =>
  toHistory(
    Array.from({ length: count }, (_, hour) => of(hour)),
    0,
    HOUR_MS,
    count * HOUR_MS,
  )

describe('what a day is like', () => {
  test('is not unusual', () => {
    expect(unusualUse(historyOf(usual), 0)).toEqual([])
  })

  test('too much and too little are, with what was expected', () => {
    const history = historyOf(hour => (hour === 600 || hour === 601 ? 6 * usual(hour) : hour === 660 ? 0 : usual(hour)))
    const [much, little, ...others] = unusualUse(history, 590 * HOUR_MS)
    expect(others).toEqual([])
    expect(much).toMatchObject({ fromMs: 600 * HOUR_MS, toMs: 602 * HOUR_MS })
    expect(much?.used).toBeGreaterThan(much?.expected.high ?? Number.POSITIVE_INFINITY)
    expect(much?.score).toBeGreaterThan(UNUSUAL_SCORE)
    expect(little).toMatchObject({ fromMs: 660 * HOUR_MS, used: 0 })
    expect(little?.expected.low).toBeGreaterThan(0)
    expect(little?.score).toBeLessThan(-UNUSUAL_SCORE)
  })

  test('includes the spikes that it always has', () => {
    const spiky = historyOf(hour => (hour % 31 === 0 ? 20 : 1) * usual(hour))
    expect(unusualUse(spiky, 300 * HOUR_MS)).toEqual([])
  })

  test('is a job every night, as large as chance has it', () => {
    const nightly = (factor: number) =>
      historyOf(hour => (hour % 24 === 3 ? 100 * noise(hour) * (hour === 27 * 24 + 3 ? factor : 1) : 0))
    expect(unusualUse(nightly(1), 0)).toEqual([])
    expect(unusualUse(nightly(5), 0)).toMatchObject([{ fromMs: (27 * 24 + 3) * HOUR_MS }])
  })

  test.each([
    ['on weekdays', (day: number) => day % 7 < 5],
    ['on two days of seven', (day: number) => day % 7 === 1 || day % 7 === 4],
    ['every third day', (day: number) => day % 3 === 0],
    ['once a week', (day: number) => day % 7 === 3],
  ])('is a job %s, after three weeks', (_, isDue) => {
    const lastDay = [...Array(HOURS / 24).keys()].findLast(isDue) ?? Number.NaN
    const last = lastDay * 24 + 3
    const runs = (factor: number) =>
      historyOf(hour => {
        const isRunning = hour % 24 === 3 && isDue(Math.floor(hour / 24))
        return isRunning ? 100 * noise(hour) * (hour === last ? factor : 1) : 0
      })
    expect(unusualUse(runs(1), 21 * 24 * HOUR_MS)).toEqual([])
    expect(unusualUse(runs(100), 21 * 24 * HOUR_MS)).toMatchObject([{ fromMs: last * HOUR_MS }])
  })

  test('is what it has become, a day after it changed', () => {
    const changed = historyOf(hour => (hour < 500 ? 1 : 3) * usual(hour))
    expect(unusualUse(changed, 550 * HOUR_MS)).toEqual([])
  })
})

test('an hour is judged by what came before it, and by nothing else', () => {
  const hours = fc.array(fc.nat(1000), { minLength: 180, maxLength: 260 })
  fc.assert(
    fc.property(hours, fc.array(fc.nat(100_000), { maxLength: 30 }), (values, later) => {
      const known = expectedHours(
        historyOf(hour => values[hour] ?? 0, values.length),
        0,
      )
      const longer = [...values, ...later]
      const all = expectedHours(
        historyOf(hour => longer[hour] ?? 0, longer.length),
        0,
      )
      expect(all.slice(0, known.length)).toEqual(known)
      for (const { used, low, high, score } of all) {
        expect(low).toBeLessThanOrEqual(high)
        expect(Math.abs(score) > UNUSUAL_SCORE + 1e-9).toBe(used < low - 1e-6 || used > high + 1e-6)
      }
    }),
    { numRuns: 20 },
  )
})

test('of a week or less, and of nothing, nothing is said', () => {
  expect(expectedHours(historyOf(usual, 6 * 24), 0)).toEqual([])
  expect(
    expectedHours(
      historyOf(() => 0),
      0,
    ),
  ).toEqual([])
})

test('what was never seen is as unusual as new things have been rare', () => {
  expect(unseenScore(0, 0)).toBeCloseTo(0)
  expect(unseenScore(1_000, 1)).toBeGreaterThan(unseenScore(100, 1))
  expect(unseenScore(1_000, 500)).toBeLessThan(unseenScore(1_000, 1))
  // Two in a thousand and two.
  expect(unseenScore(1_000, 1)).toBeCloseTo(2.88, 2)
})
