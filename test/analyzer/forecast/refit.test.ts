import { describe, expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { toHistory, totalBetween } from '../../../analyzer/forecast/history.ts'
import { toPeers } from '../../../analyzer/forecast/peers.ts'
import { forecastNext } from '../../../analyzer/forecast/refit.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const DAY_MS = 24 * HOUR_MS

/** Office hours for a month by the ten minutes. */
const history = toHistory(
  Float64Array.from({ length: 30 * 144 }, (_, step) =>
    step % 144 > 48 && step % 144 < 108 ? 50 + (step % 7) : step % 3,
  ),
  0,
  10 * MINUTE_MS,
  30 * DAY_MS,
)

function askAt(nowMs: number, limit = 3000): ForecastAsk {
  const windowStartMs = Math.floor(nowMs / DAY_MS) * DAY_MS
  const steps = Math.floor(nowMs / history.stepMs)
  const known = { ...history, endMs: nowMs, total: history.total.subarray(0, steps + 1) }
  const used = totalBetween(known, windowStartMs, nowMs)
  return { history: known, nowMs, windowStartMs, windowEndMs: windowStartMs + DAY_MS, used, limit }
}

const next = (ask: ForecastAsk, state: Parameters<typeof forecastNext>[1], phase = 0.5) =>
  forecastNext(ask, state, { forest: CALIBRATOR, phase })

test('what was learnt serves until it is old, and says nearly what it would if it were learnt again', () => {
  const first = next(askAt(20.3 * DAY_MS), null)
  const laterMs = 20.3 * DAY_MS + 50 * MINUTE_MS
  const later = next(askAt(laterMs), first.state)
  expect(later.state).toBe(first.state)
  const anew = next(askAt(laterMs), null)
  expect(Math.abs((later.forecast.probability ?? 0) - (anew.forecast.probability ?? 1))).toBeLessThan(0.1)
  expect(next(askAt(20.3 * DAY_MS + 70 * MINUTE_MS), first.state).state).not.toBe(first.state)
})

test('another limit is answered from what was learnt, a new window is not', () => {
  const { state } = next(askAt(20.99 * DAY_MS), null)
  const roomy = next(askAt(20.99 * DAY_MS, 30_000), state)
  expect(roomy.state).toBe(state)
  expect(roomy.forecast.probability).toBeLessThan(0.05)
  expect(next(askAt(21.01 * DAY_MS), state).state).not.toBe(state)
})

test('a window that ends later is learnt again: an outlook says nothing of what is beyond it', () => {
  const ask = askAt(20.3 * DAY_MS)
  const { state } = next(ask, null)
  expect(next({ ...ask, windowEndMs: ask.windowEndMs + DAY_MS }, state).state).not.toBe(state)
})

test('what is kept of a subject under a quota is less than a kilobyte', () => {
  expect(next(askAt(20.3 * DAY_MS), null).state?.outlook.values.byteLength).toBeLessThan(1024)
})

test('subjects of other phases are learnt again at other times, within half an hour to an hour and a half', () => {
  const goodUntilMs = (phase: number) => next(askAt(20.3 * DAY_MS), null, phase).state?.untilMs ?? 0
  const untilMs = [0, 0.5, 0.99].map(phase => goodUntilMs(phase) - 20.3 * DAY_MS)
  expect(untilMs[0]).toBeCloseTo(30 * MINUTE_MS, -3)
  expect(untilMs[1]).toBeCloseTo(HOUR_MS, -3)
  expect(untilMs[2]).toBeLessThan(1.5 * HOUR_MS)
})

describe('nothing is learnt where nothing could be said', () => {
  const ask = askAt(20.3 * DAY_MS)
  const { stepMs } = ask.history
  const steps = ask.history.total.length - 1
  /** Of a subject that was first used in the last step. */
  const total = ask.history.total.map((_, step) => (step === steps ? 7 : 0))
  const young = { ...ask, history: { ...ask.history, total }, used: 7 }
  const outlook = fitForecast(young)

  test('of a subject that was first used just now, unless others tell of it', () => {
    const made = next(young, null)
    expect(made.state).toBeNull()
    expect(made.forecast).toEqual(forecast(young, outlook, CALIBRATOR))
    expect(next({ ...young, used: 3_000 }, null).forecast).toEqual(
      forecast({ ...young, used: 3_000 }, outlook, CALIBRATOR),
    )
    const peers = toPeers(
      [1, 2, 3, 4, 5, 6].map(units => units / HOUR_MS),
      'others',
    )
    expect(next({ ...young, peers }, null).state).not.toBeNull()
  })

  test('of windows that end before their calls are known', () => {
    const short = { ...ask, windowStartMs: ask.nowMs - stepMs, windowEndMs: ask.nowMs + stepMs }
    expect(next(short, null)).toEqual({ forecast: forecast(short, fitForecast(short), CALIBRATOR), state: null })
  })
})
