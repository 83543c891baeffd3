import { expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { peersProbability, peersWeight, toPeers } from '../../../analyzer/forecast/peers.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Ten others, of 100 to 1000 units a day. */
const peers = toPeers(
  Array.from({ length: 10 }, (_, index) => (100 * (index + 1)) / DAY_MS),
  'subjects of the same tenant',
)

/** A key that was first used so many minutes ago, one unit a minute, a quarter through its day. */
function young(minutes: number, limit: number, others = peers): ForecastAsk {
  const stepMs = 10 * MINUTE_MS
  const nowMs = 40 * DAY_MS + 6 * HOUR_MS
  const steps = Math.ceil(minutes / 10)
  const values = Array.from({ length: 300 }, (_, step) => (step >= 300 - steps ? Math.min(10, minutes) : 0))
  const history = toHistory(values, nowMs - 300 * stepMs, stepMs, nowMs)
  return {
    history,
    nowMs,
    windowStartMs: nowMs - 6 * HOUR_MS,
    windowEndMs: nowMs + 18 * HOUR_MS,
    used: minutes,
    limit,
    peers: others,
  }
}
const answer = (ask: ForecastAsk) => forecast(ask, fitForecast(ask), CALIBRATOR)

test('a few others are nobody', () => {
  expect(toPeers([1, 2, 3, 4], 'subjects')).toBeNull()
})

test('what half of the others ask for is as likely as not', () => {
  if (!peers) throw new Error('ten others are enough')
  expect(peersProbability(peers, 550, DAY_MS)).toBeCloseTo(0.5, 1)
  expect(peersProbability(peers, 5000, DAY_MS)).toBeLessThan(0.05)
  expect(peersProbability(peers, 20, DAY_MS)).toBeGreaterThan(0.95)
})

test('the longer a key is known, the less the others count', () => {
  const weights = [0, 1, 6, 24, 100].map(hours => peersWeight(hours * HOUR_MS, DAY_MS))
  expect(weights).toEqual(weights.toSorted((a, b) => b - a))
  expect(weights[0]).toBe(1)
  expect(weights[4]).toBe(0)
})

test('a key that is just seen is forecast by the others, and said to be', () => {
  const { probability, confidence, why } = answer(young(10, 5000))
  expect(probability).toBeLessThan(0.1)
  expect(confidence).toBe('low')
  expect(why).toBe('Its first use was less than 10 minutes ago: 10 other subjects of the same tenant count for 100 %.')
  expect(answer(young(10, 60)).probability).toBeGreaterThan(0.9)
  expect(answer(young(10, 5000, null)).probability).toBeNull()
})

test('what a key that is just seen will have used is expected by the others, too', () => {
  // A unit a minute would be 43,200 in a month; the others ask for 30 to 300.
  const few = Array.from({ length: 10 }, (_, index) => (index + 1) / DAY_MS)
  const ask = young(10, 1_000, toPeers(few, 'subjects of the same tenant'))
  const { probability, usageAtReset } = answer({ ...ask, windowEndMs: ask.nowMs + 30 * DAY_MS })
  expect(probability).toBeLessThan(0.01)
  expect(usageAtReset?.p10).toBeGreaterThan(20)
  expect(usageAtReset?.p90).toBeLessThan(400)
})

test('a key of some hours is forecast by both', () => {
  const alone = answer(young(180, 800, null)).probability ?? Number.NaN
  const together = answer(young(180, 800))
  expect(together.probability).toBeLessThan(alone)
  expect(together.why).toContain('Only 3 hours of history: the recent rate is extended; 10 other subjects')
})
