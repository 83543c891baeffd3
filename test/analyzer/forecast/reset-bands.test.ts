import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { mixedCurve } from '../../../analyzer/forecast/outlook.ts'
import { bandsUntilReset } from '../../../analyzer/forecast/reset-bands.ts'

const MINUTE_MS = 60_000
const asks = fc
  .tuple(fc.array(fc.nat(100), { minLength: 70, maxLength: 300 }), fc.integer({ min: 1, max: 59 }), fc.nat(20_000))
  .map(([values, elapsed, limit]) => {
    const nowMs = values.length * MINUTE_MS
    const used = values.slice(-elapsed).reduce((sum, value) => sum + value, 0)
    const windowStartMs = nowMs - elapsed * MINUTE_MS
    const history = toHistory(values, 0, MINUTE_MS, nowMs)
    return { history, nowMs, windowStartMs, windowEndMs: windowStartMs + 60 * MINUTE_MS, used, limit }
  })

test('bands rise from what is used, are ordered, and end at the use that is forecast', () => {
  fc.assert(
    fc.property(asks, ask => {
      const outlook = fitForecast(ask)
      const { usageAtReset } = forecast(ask, outlook, CALIBRATOR)
      const curve = mixedCurve(outlook)
      if (!curve || !usageAtReset) return
      const bands = bandsUntilReset(curve, { ...ask, usageAtReset })
      let before = { p10: ask.used, p50: ask.used, p90: ask.used }
      for (const band of bands) {
        expect(band.p10).toBeGreaterThanOrEqual(before.p10 - 1e-6)
        expect(band.p50).toBeGreaterThanOrEqual(Math.max(before.p50, band.p10) - 1e-6)
        expect(band.p90).toBeGreaterThanOrEqual(Math.max(before.p90, band.p50) - 1e-6)
        before = band
      }
      expect(bands.at(-1)?.atMs).toBe(ask.windowEndMs)
      for (const level of ['p10', 'p50', 'p90'] as const) {
        expect(bands.at(-1)?.[level]).toBeCloseTo(usageAtReset[level], 6)
      }
    }),
    { numRuns: 30 },
  )
})
