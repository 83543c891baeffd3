/** What every path source promises, and what every forecaster made of them promises. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Forecast, ForecastAsk } from '../../analyzer/forecast/forecaster.ts'
import { type History, toHistory } from '../../analyzer/forecast/history.ts'
import type { PathAsk, PathSource, Paths } from '../../analyzer/forecast/paths.ts'

const MINUTE_MS = 60_000
const WINDOW_MS = 60 * MINUTE_MS
/** How far an instant may be off, as a share of the time left. */
const SLACK_SHARE = 0.1
/** Any begin will do; this one is not round. */
const BEGIN_MS = 1_700_000_123_456

/** Usage by the minute: idle, steady, bursty. */
const usage = fc.oneof(
  fc.array(fc.nat(1000), { minLength: 3, maxLength: 400 }),
  fc.array(fc.constantFrom(0, 0, 0, 0, 500), { minLength: 3, maxLength: 400 }),
  fc
    .tuple(fc.integer({ min: 3, max: 400 }), fc.nat(50))
    .map(([length, level]) => new Array<number>(length).fill(level)),
)
const historyOf = (values: readonly number[]): History =>
  toHistory(values, BEGIN_MS, MINUTE_MS, BEGIN_MS + values.length * MINUTE_MS)

/** What path `index` asks for in the whole stretch. */
export const totalOf = ({ totals, knots }: Paths, index: number): number => totals[(index + 1) * knots - 1] ?? 0

/** The suite of one path source. */
export function describePathSource(source: PathSource): void {
  const ask = (history: History, leftMs: number) => ({ atMs: history.endMs, leftMs, windowMs: WINDOW_MS })
  const left = fc.integer({ min: 1, max: WINDOW_MS })

  const draw = (history: History, asked: PathAsk) => source.fit(history, asked)(asked)

  describe(`path source ${source.name}`, () => {
    test('paths are running totals that count for something', () => {
      fc.assert(
        fc.property(usage, left, (values, leftMs) => {
          const paths = draw(historyOf(values), ask(historyOf(values), leftMs))
          if (!paths) return
          expect(paths.leftMs).toBe(leftMs)
          expect(paths.totals).toHaveLength(paths.weights.length * paths.knots)
          expect(paths.weights.every(weight => weight > 0 && Number.isFinite(weight))).toBe(true)
          paths.totals.forEach((total, index) => {
            expect(total).toBeGreaterThanOrEqual(index % paths.knots === 0 ? 0 : (paths.totals[index - 1] ?? 0) - 1e-9)
            expect(Number.isFinite(total)).toBe(true)
          })
        }),
      )
    })

    test('sees nothing of what comes after the instant it is asked at', () => {
      fc.assert(
        fc.property(usage, usage, left, (values, later, leftMs) => {
          const then = ask(historyOf(values), leftMs)
          expect(draw(historyOf([...values, ...later]), then)).toEqual(draw(historyOf(values), then))
        }),
      )
    })

    test('draws as many knots as it is told', () => {
      const history = historyOf(new Array(300).fill(7))
      expect(draw(history, { ...ask(history, WINDOW_MS), knots: 1 })?.knots).toBe(1)
    })
  })
}

/** The suite of a forecaster of one subject and window. */
export function describeForecaster(name: string, forecast: (ask: ForecastAsk) => Forecast): void {
  const asks = fc
    .tuple(usage, fc.integer({ min: 0, max: WINDOW_MS - 1 }), fc.nat(100_000))
    .map(([values, elapsedMs, limit]): ForecastAsk => {
      const history = historyOf(values)
      const windowStartMs = history.endMs - elapsedMs
      const first = Math.max(0, Math.ceil((windowStartMs - BEGIN_MS) / MINUTE_MS))
      const used = values.slice(first).reduce((sum, value) => sum + value, 0)
      const bounds = { nowMs: history.endMs, windowStartMs, windowEndMs: windowStartMs + WINDOW_MS }
      return { history, ...bounds, used, limit }
    })

  describe(`forecaster ${name}`, () => {
    test('quantiles are ordered, instants lie between now and the reset', () => {
      fc.assert(
        fc.property(asks, ask => {
          const { probability, exhaustionAtMs, usageAtReset, headroom } = forecast(ask)
          expect(probability === null || (probability >= 0 && probability <= 1)).toBe(true)
          const instants = [exhaustionAtMs.p10, exhaustionAtMs.p50, exhaustionAtMs.p90]
          const reset = instants.map(atMs => atMs ?? ask.windowEndMs)
          expect(reset).toEqual(reset.toSorted((a, b) => a - b))
          for (const atMs of reset) {
            expect(atMs).toBeGreaterThanOrEqual(Math.floor(ask.used >= ask.limit ? ask.windowStartMs : ask.nowMs))
            expect(atMs).toBeLessThanOrEqual(ask.windowEndMs)
          }
          for (const quantiles of [usageAtReset, headroom]) {
            if (!quantiles) continue
            expect(quantiles.p10).toBeLessThanOrEqual(quantiles.p50)
            expect(quantiles.p50).toBeLessThanOrEqual(quantiles.p90)
          }
          if (usageAtReset) expect(usageAtReset.p10).toBeGreaterThanOrEqual(ask.used)
        }),
      )
    })

    test('what will be used says of the limit what the probability says', () => {
      fc.assert(
        fc.property(asks, ask => {
          const { probability, usageAtReset } = forecast(ask)
          if (probability === null || !usageAtReset || ask.used >= ask.limit) return
          const { p10, p50, p90 } = usageAtReset
          const levels = [
            [0.1, p10],
            [0.5, p50],
            [0.9, p90],
          ] as const
          for (const [level, units] of levels) {
            const off = (units - ask.limit) / ask.limit
            if (level < 1 - probability - 1e-3) expect(off).toBeLessThan(1e-3)
            if (level > 1 - probability + 1e-3) expect(off).toBeGreaterThan(-1e-3)
          }
        }),
      )
    })

    test('a larger limit is never more at risk, nor reached sooner', () => {
      fc.assert(
        fc.property(asks, fc.nat(50_000), (ask, more) => {
          const tight = forecast(ask)
          const roomy = forecast({ ...ask, limit: ask.limit + more })
          if (tight.probability === null || roomy.probability === null) return
          expect(roomy.probability).toBeLessThanOrEqual(tight.probability + 1e-12)
          // Instants are read off between a few that are asked, which lie elsewhere for another limit.
          const never = Number.POSITIVE_INFINITY
          const slackMs = (ask.windowEndMs - ask.nowMs) * SLACK_SHARE
          expect(roomy.exhaustionAtMs.p50 ?? never).toBeGreaterThanOrEqual(
            (tight.exhaustionAtMs.p50 ?? never) - slackMs,
          )
        }),
      )
    })

    test('the same question has the same answer', () => {
      fc.assert(
        fc.property(asks, ask => {
          expect(forecast(ask)).toEqual(forecast(ask))
        }),
      )
    })

    test('what is used up is exhausted, whatever else is known', () => {
      fc.assert(
        fc.property(asks, ask => {
          const answer = forecast({ ...ask, limit: ask.used })
          expect(answer.probability).toBe(1)
          expect(answer.exhaustionAtMs.p90).toBeLessThanOrEqual(ask.nowMs)
        }),
      )
    })
  })
}
