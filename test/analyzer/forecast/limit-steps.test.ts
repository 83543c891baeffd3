import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { type ForecastAsk, fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { crossingOfSteps } from '../../../analyzer/forecast/limit-steps.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Noon after ten days of about 24 an hour, half a day's use behind and half of it ahead. */
const hours = Array.from({ length: 10 * 24 + 12 }, (_, hour) => 12 + ((hour * 7) % 24))
const nowMs = hours.length * HOUR_MS
const noon: ForecastAsk = {
  ...{ history: toHistory(hours, 0, HOUR_MS, nowMs), nowMs, used: 290, limit: 400 },
  ...{ windowStartMs: nowMs - 12 * HOUR_MS, windowEndMs: nowMs + 12 * HOUR_MS },
}
const outlook = fitForecast(noon)
const answer = (ask: Partial<ForecastAsk>) => forecast({ ...noon, ...ask }, outlook, CALIBRATOR)
const later = (hoursAhead: number, limit: number) => ({ fromMs: nowMs + hoursAhead * HOUR_MS, limit })

describe('a grant to come', () => {
  test('helps as far as it comes in time', () => {
    const without = answer({}).probability ?? 0
    const early = answer({ changes: [later(1, 800)] })
    const late = answer({ changes: [later(11, 800)] })
    expect(without).toBeGreaterThan(0.9)
    expect(early.probability).toBeLessThan(0.2)
    expect(late.probability).toBeGreaterThan(0.8)
    expect(late.probability).toBeLessThanOrEqual(without + 1e-9)
    expect(early.headroom?.p50).toBeCloseTo(800 - (early.usageAtReset?.p50 ?? 0))
  })

  test('that ends under what will be used runs out when it ends', () => {
    const { probability, exhaustionAtMs } = answer({ limit: 2_000, changes: [later(6, 400)] })
    expect(probability).toBeGreaterThan(0.8)
    expect(exhaustionAtMs.p50).toBeGreaterThanOrEqual(nowMs + 6 * HOUR_MS - 1)
    expect(answer({ limit: 2_000, changes: [later(6, 100)] }).exhaustionAtMs).toMatchObject({
      p10: nowMs + 6 * HOUR_MS,
      p90: nowMs + 6 * HOUR_MS,
    })
  })

  test('of nothing changes nothing', () => {
    expect(answer({ changes: [] })).toEqual(answer({}))
    expect(answer({ changes: [later(5, 400)] }).probability).toBeCloseTo(answer({}).probability ?? -1, 6)
  })
})

test('the chance of having run out never sinks, and is that of the last limit or more', () => {
  const limits = fc.array(fc.tuple(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 1_000 })), {
    minLength: 1,
    maxLength: 6,
  })
  const crossingOf = (limit: number) => ({
    shares: [0.25, 0.5, 1],
    probabilities: [0.1, 0.3, 0.9].map(p => p / Math.log2(1 + limit)),
  })
  fc.assert(
    fc.property(limits, changes => {
      const sorted = changes.toSorted(([a], [b]) => a - b)
      const steps = [
        { fromMs: 0, limit: 500 },
        ...sorted.map(([at, limit]) => ({ fromMs: (at * DAY_MS) / 100, limit })),
      ]
      const { shares, probabilities } = crossingOfSteps({ steps, nowMs: 0, windowEndMs: DAY_MS }, crossingOf)
      expect(shares).toEqual(shares.toSorted((a, b) => a - b))
      expect(probabilities).toEqual(probabilities.toSorted((a, b) => a - b))
      const last = crossingOf(steps.at(-1)?.limit ?? 0).probabilities.at(-1) ?? 0
      expect(probabilities.at(-1)).toBeGreaterThanOrEqual(last - 1e-9)
      expect([shares[0], shares.at(-1)]).toEqual([0, 1])
    }),
  )
})
