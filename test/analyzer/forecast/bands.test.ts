import fc from 'fast-check'
import { expect, test } from 'vitest'
import { demandBands } from '../../../analyzer/forecast/bands.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'

const HOUR_MS = 3_600_000
const LEVELS = [0.1, 0.5, 0.9] as const
const ask = (hours: number) => ({ fromMs: hours * HOUR_MS, stepMs: HOUR_MS, steps: 48, levels: LEVELS })
const hourly = (values: ArrayLike<number>) => toHistory(values, 0, HOUR_MS, values.length * HOUR_MS)

test('bands are ordered at every step, and nothing is asked for less than not at all', () => {
  const usage = fc.array(fc.oneof(fc.constant(0), fc.nat(1000)), { minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(usage, values => {
      const [low, middle, high] = demandBands(hourly(values), ask(values.length))
      for (let step = 0; step < 48; step++) {
        expect(low?.[step]).toBeGreaterThanOrEqual(-1e-9)
        expect(middle?.[step]).toBeGreaterThanOrEqual(low?.[step] ?? 0)
        expect(high?.[step]).toBeGreaterThanOrEqual(middle?.[step] ?? 0)
      }
    }),
    { numRuns: 30 },
  )
})

test('the hours of a day are seen again', () => {
  const season = (hour: number) => (hour % 24 < 12 ? 10 : 100)
  const [, middle] = demandBands(hourly(Float64Array.from({ length: 480 }, (_, hour) => season(hour))), ask(480))
  middle?.forEach((units, step) => {
    expect(Math.abs(units - season(step))).toBeLessThan(15)
  })
})

test('sources that do not know the hours do not widen them', () => {
  const season = (hour: number) => (hour % 24 < 12 ? 10 : 100)
  const [low, high] = demandBands(hourly(Float64Array.from({ length: 480 }, (_, hour) => season(hour))), {
    ...ask(480),
    levels: [0.025, 0.975],
  })
  // The mean rate is 55 an hour.
  expect(Math.max(...(high ?? []).filter((_, step) => season(step) === 10))).toBeLessThan(40)
  expect(Math.min(...(low ?? []).filter((_, step) => season(step) === 100))).toBeGreaterThan(60)
})
