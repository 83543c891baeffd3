import { describe, expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { describeForecaster } from '../../contract/forecaster.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const BEGIN_MS = Date.UTC(2026, 0, 5)

const answer = (ask: ForecastAsk) => forecast(ask, fitForecast(ask), CALIBRATOR)
describeForecaster('all sources, mixed and calibrated', answer)

/** Half-way through a day, after `days` whole ones, each hour as `perHour` says. */
function halfADay(days: number, perHour: (hour: number, day: number) => number, limit: number): ForecastAsk {
  const hours = Array.from({ length: days * 24 + 12 }, (_, hour) => perHour(hour % 24, Math.floor(hour / 24)))
  const nowMs = BEGIN_MS + hours.length * HOUR_MS
  const windowStartMs = BEGIN_MS + days * DAY_MS
  const used = hours.slice(days * 24).reduce((sum, units) => sum + units, 0)
  const history = toHistory(hours, BEGIN_MS, HOUR_MS, nowMs)
  return { history, nowMs, windowStartMs, windowEndMs: windowStartMs + DAY_MS, used, limit }
}

describe('days that all go alike', () => {
  const nightly = (hour: number) => (hour < 18 ? 10 : 100)

  test('the evening that every day had is expected, though the rate so far says otherwise', () => {
    // 120 used by noon, 780 by midnight: a straight line would end at 240.
    const exhausted = answer(halfADay(20, nightly, 500))
    expect(exhausted.probability).toBeGreaterThan(0.8)
    expect(exhausted.confidence).toBe('normal')
    const at = new Date(exhausted.exhaustionAtMs.p50 ?? 0).getUTCHours()
    expect(at).toBeGreaterThanOrEqual(19)
    expect(at).toBeLessThanOrEqual(22)
    expect(answer(halfADay(20, nightly, 2000)).probability).toBeLessThan(0.1)
  })

  test('headroom is what the limit leaves', () => {
    const { usageAtReset, headroom } = answer(halfADay(20, nightly, 1000))
    expect(usageAtReset?.p50).toBeGreaterThan(600)
    expect(usageAtReset?.p50).toBeLessThan(900)
    expect(headroom?.p10).toBeCloseTo(1000 - (usageAtReset?.p90 ?? 0))
  })
})

test.each([7, 30])('of %i days what is left for 84 minutes is used up in about as many', days => {
  const perHour = (hour: number) => 1000 + 50 * Math.sin(hour * 12.9898)
  const hours = Array.from({ length: 62 * 24 }, (_, hour) => perHour(hour))
  const nowMs = BEGIN_MS + hours.length * HOUR_MS
  const windowStartMs = nowMs - 2 * DAY_MS
  const history = toHistory(hours, BEGIN_MS, HOUR_MS, nowMs)
  const used = hours.slice(-48).reduce((sum, units) => sum + units, 0)
  const ask = { history, nowMs, windowStartMs, windowEndMs: windowStartMs + days * DAY_MS, used, limit: used + 1400 }
  const { p10, p50, p90 } = answer(ask).exhaustionAtMs
  const minutesUntil = (atMs: number | null) => ((atMs ?? 0) - nowMs) / MINUTE_MS
  expect(minutesUntil(p10)).toBeGreaterThan(40)
  expect(minutesUntil(p50)).toBeGreaterThan(65)
  expect(minutesUntil(p50)).toBeLessThan(105)
  expect(minutesUntil(p90)).toBeLessThan(200)
})

describe('what is not known is said', () => {
  test('a window of fewer than five steps has a rate and no probability', () => {
    const ask = halfADay(3, () => 60, 10)
    const short = { ...ask, windowStartMs: ask.nowMs - MINUTE_MS, windowEndMs: ask.nowMs + MINUTE_MS, used: 1 }
    expect(answer(short)).toMatchObject({ probability: null, headroom: null, confidence: 'none', burnRate: 0.2 })
    expect(answer(short).why).toContain('under 5 hours')
  })

  test('a key that was never used has no forecast', () => {
    expect(answer(halfADay(3, () => 0, 10))).toMatchObject({ probability: null, confidence: 'none', burnRate: 0 })
  })

  test('the first hours of a key are forecast with low confidence', () => {
    const { confidence, probability, why } = answer(halfADay(0, () => 10, 150))
    expect(confidence).toBe('low')
    expect(probability).toBeGreaterThan(0.5)
    expect(why).toContain('12 hours of history')
    expect(answer(halfADay(1, () => 10, 150)).why).toContain('one earlier day')
  })

  test('a key that fell silent is said to be idle', () => {
    expect(answer(halfADay(9, (_, day) => (day < 8 ? 10 : 0), 150)).why).toContain('idle for the last day')
  })
})

describe('a limit that is reached', () => {
  test('is dated when it was reached', () => {
    // 10 an hour since midnight: 35 were used half-way through the fourth hour.
    const { exhaustionAtMs, probability } = answer(halfADay(2, () => 10, 35))
    expect(probability).toBe(1)
    expect(exhaustionAtMs.p50).toBe(BEGIN_MS + 2 * DAY_MS + 3.5 * HOUR_MS)
  })

  test('of 0 is exhausted from the beginning and has no burn rate', () => {
    const ask = halfADay(2, () => 0, 0)
    expect(answer(ask)).toMatchObject({ probability: 1, burnRate: null, why: 'The limit is 0.' })
    expect(answer(ask).exhaustionAtMs.p50).toBe(ask.windowStartMs)
  })
})

test('the burn rate is 1 at exactly the pace that the limit allows', () => {
  expect(answer(halfADay(5, () => 10, 240)).burnRate).toBeCloseTo(1)
})
