import { expect, test } from 'vitest'
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { fitForecast, forecast } from '../../../analyzer/forecast/forecaster.ts'
import { limitBeforeGrowth, toGrown } from '../../../analyzer/forecast/growth.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'

const HOUR_MS = 3_600_000
const DAY_HOURS = 24

/** Noon after ten days; each hour as many times as much as `scale` says. */
function atNoon(scale: number, used: number, limit: number) {
  const hours = Array.from({ length: 10 * DAY_HOURS + 12 }, (_, hour) => scale * (20 + ((hour * 7) % 24)))
  const nowMs = hours.length * HOUR_MS
  const windowStartMs = nowMs - 12 * HOUR_MS
  const history = toHistory(hours, 0, HOUR_MS, nowMs)
  return { history, nowMs, windowStartMs, windowEndMs: windowStartMs + DAY_HOURS * HOUR_MS, used, limit }
}
const answer = (ask: ReturnType<typeof atNoon>) => forecast(ask, fitForecast(ask), CALIBRATOR)

test('demand that grows is forecast much as demand that always was so large', () => {
  for (const growth of [0.5, 1.5, 3]) {
    const grown = { used: 380, limit: 1000, growth }
    const said = toGrown(answer(atNoon(1, 380, limitBeforeGrowth(grown))), grown)
    const expected = answer(atNoon(growth, 380, 1000))
    // Not exactly: the calibrator also looks at how much of the limit is used up.
    expect(Math.abs((said.probability ?? -1) - (expected.probability ?? 1))).toBeLessThan(0.05)
    expect((said.usageAtReset?.p50 ?? 0) / (expected.usageAtReset?.p50 ?? 1)).toBeCloseTo(1, 1)
    expect(said.headroom?.p50).toBeCloseTo(1000 - (said.usageAtReset?.p50 ?? 0))
    expect(said.burnRate).toBeCloseTo(expected.burnRate ?? -1, 6)
  }
})

test('more growth is never less risk', () => {
  const risks = [0.5, 0.8, 1, 1.25, 2, 4].map(growth => {
    const grown = { used: 380, limit: 1000, growth }
    return answer(atNoon(1, 380, limitBeforeGrowth(grown))).probability ?? -1
  })
  expect(risks).toEqual(risks.toSorted((a, b) => a - b))
})

test('a limit that is reached stays reached when it was', () => {
  const grown = { used: 380, limit: 100, growth: 0.1 }
  expect(limitBeforeGrowth(grown)).toBe(100)
  expect(toGrown(answer(atNoon(1, 380, 100)), grown).exhaustionAtMs).toEqual(answer(atNoon(1, 380, 100)).exhaustionAtMs)
})
