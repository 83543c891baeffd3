import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { leadOf, type ScoredForecast, scoresOf } from '../../../analyzer/forecast/scoring.ts'

/** A forecast of a window `[0, 100)`. */
const forecast = (options: Partial<ScoredForecast>): ScoredForecast => ({
  windowKey: 'one',
  windowStartMs: 0,
  windowEndMs: 100,
  asOfMs: 0,
  isScheduled: true,
  probability: 0.5,
  exhaustionAtMs: { p10: null, p50: null, p90: null },
  usageAtReset: null,
  exhaustedAtMs: null,
  demand: 0,
  ...options,
})

test('four forecasts, scored by hand', () => {
  const scores = scoresOf([
    forecast({ windowKey: 'a', probability: 0.9, exhaustedAtMs: 60, exhaustionAtMs: { p10: 50, p50: 70, p90: null } }),
    forecast({ windowKey: 'a', probability: 1, exhaustedAtMs: 60, exhaustionAtMs: { p10: 10, p50: 20, p90: 30 } }),
    forecast({ windowKey: 'b', probability: 0.2, usageAtReset: { p10: 5, p50: 7, p90: 9 }, demand: 9 }),
    forecast({ windowKey: 'c', probability: 0.4, usageAtReset: { p10: 5, p50: 7, p90: 9 }, demand: 4 }),
  ])
  expect(scores).toMatchObject({ forecasts: 4, windows: 3, exhaustedShare: 0.5, brierOfBaseRate: 0.25 })
  expect(scores?.brier).toBeCloseTo((0.01 + 0 + 0.04 + 0.16) / 4)
  expect(scores?.logLoss).toBeCloseTo(-(Math.log(0.9) + Math.log(0.995) + Math.log(0.8) + Math.log(0.6)) / 4)
  // 0.9 and 1 share a bin: said 0.95, happened 1.
  expect(scores?.calibrationError).toBeCloseTo((2 * 0.05 + 0.2 + 0.4) / 4)
  expect(scores?.reliability[9]).toMatchObject({ forecasts: 2, happened: 1 })
  expect(scores?.reliability[5]).toMatchObject({ forecasts: 0, said: null, happened: null })
  expect(scores?.coverage).toEqual({ exhaustion: 0.75, usage: 0.5 })
})

test('what was kept for what it says is not scored', () => {
  expect(scoresOf([forecast({ isScheduled: false })])).toBeNull()
  expect(scoresOf([])).toBeNull()
})

const forecasts = fc.array(
  fc
    .record({
      window: fc.nat(5),
      probability: fc.double({ min: 0, max: 1, noNaN: true }),
      asOfMs: fc.nat(99),
      exhaustedAtMs: fc.option(fc.nat(99)),
    })
    // All forecasts of a window have the same outcome.
    .map(({ window, exhaustedAtMs, ...one }) =>
      forecast({ ...one, windowKey: `${window} ${exhaustedAtMs}`, exhaustedAtMs }),
    ),
  { minLength: 1, maxLength: 40 },
)

describe('whatever was forecast', () => {
  test('bins hold every forecast once, and their means are the means of all', () => {
    fc.assert(
      fc.property(forecasts, all => {
        const scores = scoresOf(all)
        const bins = scores?.reliability ?? []
        expect(bins.reduce((sum, bin) => sum + bin.forecasts, 0)).toBe(all.length)
        for (const { from, to, said } of bins) {
          if (said === null) continue
          expect(said).toBeGreaterThanOrEqual(from - 1e-9)
          expect(said).toBeLessThanOrEqual(to + 1e-9)
        }
        const happened = bins.reduce((sum, bin) => sum + bin.forecasts * (bin.happened ?? 0), 0)
        expect(happened / all.length).toBeCloseTo(scores?.exhaustedShare ?? -1)
      }),
    )
  })

  test('knowing is best, and always saying how often it happens scores as the base rate', () => {
    fc.assert(
      fc.property(forecasts, all => {
        const scores = scoresOf(all)
        const knowing = scoresOf(all.map(one => ({ ...one, probability: one.exhaustedAtMs === null ? 0 : 1 })))
        const base = scoresOf(all.map(one => ({ ...one, probability: scores?.exhaustedShare ?? 0 })))
        expect(knowing?.brier).toBe(0)
        expect(knowing?.calibrationError).toBe(0)
        expect(base?.brier).toBeCloseTo(scores?.brierOfBaseRate ?? -1)
        expect(knowing?.logLoss).toBeLessThanOrEqual((scores?.logLoss ?? 0) + 1e-12)
      }),
    )
  })

  test('more false alarms never warn later', () => {
    fc.assert(
      fc.property(
        forecasts,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (all, a, b) => {
          const few = leadOf(all, Math.min(a, b))
          const many = leadOf(all, Math.max(a, b))
          if (!few || !many) return
          expect(many.lead).toBeGreaterThanOrEqual(few.lead - 1e-9)
          expect(many.early).toBeGreaterThanOrEqual(few.early - 1e-9)
        },
      ),
    )
  })
})

describe('lead', () => {
  const quiet = (peak: number, index: number) => forecast({ windowKey: `quiet ${index}`, probability: peak })
  const hit = [
    forecast({ windowKey: 'hit', asOfMs: 50, probability: 0.9, exhaustedAtMs: 80 }),
    forecast({ windowKey: 'hit', asOfMs: 20, probability: 0.3, exhaustedAtMs: 80 }),
    forecast({ windowKey: 'late', asOfMs: 75, probability: 0.9, exhaustedAtMs: 80 }),
  ]

  test('is the time between the first alert and exhaustion', () => {
    // One of ten quiet windows peaks above 0.2: alerts above 0.2 cost a tenth of them.
    const peaks = [0.5, ...new Array(9).fill(0.2)]
    const lead = leadOf([...hit, ...peaks.map(quiet)], 0.1)
    expect(lead?.threshold).toBe(0.2)
    expect(lead?.lead).toBeCloseTo((0.6 + 0.05) / 2)
    expect(lead?.early).toBe(0.5)
  })

  test('between two thresholds is interpolated', () => {
    // All quiet windows peak at 0.3: alerting from there on costs all of them, above it none.
    const lead = leadOf([...hit, ...new Array(10).fill(0.3).map(quiet)], 0.1)
    expect(lead?.lead).toBeCloseTo(0.9 * ((0.3 + 0.05) / 2) + 0.1 * ((0.6 + 0.05) / 2))
  })

  test('needs windows of both kinds', () => {
    expect(leadOf(hit, 0.1)).toBeNull()
    expect(leadOf([quiet(0.5, 0)], 0.1)).toBeNull()
  })
})
