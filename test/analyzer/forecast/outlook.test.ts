import { expect, test } from 'vitest'
import { CURVE_LEVELS, CURVE_MEDIAN, quantilesBetween } from '../../../analyzer/forecast/curve.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { mixedCurve, pastQuantiles, TRAITS, toOutlook, traitValues } from '../../../analyzer/forecast/outlook.ts'
import { uniform } from '../../../analyzer/forecast/random.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const outlookOf = (values: ArrayLike<number>, stepMs: number, aheadMs: number) => {
  const atMs = values.length * stepMs
  return toOutlook(toHistory(values, 0, stepMs, atMs), { atMs, untilMs: atMs + aheadMs, windowMs: DAY_MS })
}
const traitOf = (outlook: ReturnType<typeof outlookOf>, trait: (typeof TRAITS)[number]) =>
  traitValues(outlook)[TRAITS.indexOf(trait)] ?? Number.NaN

test.each([1e-3, 1, 1e12])('totals of %f units an hour keep three digits in half the space', units => {
  const outlook = outlookOf(new Array(20 * 24).fill(units), HOUR_MS, 12 * HOUR_MS)
  const curve = mixedCurve(outlook)
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  if (curve) quantilesBetween(curve, outlook.atMs, outlook.untilMs, quantiles)
  expect((quantiles[CURVE_MEDIAN] ?? 0) / (12 * units)).toBeCloseTo(1, 2)
  expect((pastQuantiles(outlook)?.[CURVE_MEDIAN] ?? 0) / (24 * units)).toBeCloseTo(1, 3)
})

test('a key that was idle all day wakes as often as it did on such days', () => {
  // Used every other day, all day long; now it is the midnight after a day of rest, or of work.
  const days = (last: number) =>
    Array.from({ length: 24 * (40 + last) }, (_, hour) => (Math.floor(hour / 24) % 2 === 0 ? 10 : 0))
  expect(traitOf(outlookOf(days(0), HOUR_MS, DAY_MS), 'wakes')).toBeGreaterThan(0.9)
  expect(traitOf(outlookOf(days(1), HOUR_MS, DAY_MS), 'wakes')).toBeLessThan(0.1)
})

test('chance spreads calls that come one by one as the square root of their number', () => {
  const random = uniform(5)
  const gap = () => -Math.log(1 - random())
  const poisson = (mean: number) => {
    let calls = 0
    for (let at = gap(); at < mean; at += gap()) calls++
    return calls
  }
  const once = outlookOf(
    Array.from({ length: 2880 }, () => poisson(4)),
    MINUTE_MS,
    HOUR_MS,
  )
  expect(Math.exp(traitOf(once, 'chance')) * Math.sqrt(4 * 60)).toBeCloseTo(1, 0)
  const inTens = outlookOf(
    Array.from({ length: 2880 }, () => 10 * poisson(4)),
    MINUTE_MS,
    HOUR_MS,
  )
  expect(traitOf(inTens, 'chance')).toBeCloseTo(traitOf(once, 'chance'), 0)
})
