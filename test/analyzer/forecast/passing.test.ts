import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Curve } from '../../../analyzer/forecast/curve.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { bandsAhead, type PassingAsk, type PassingRule } from '../../../analyzer/forecast/passing.ts'
import { passingNext } from '../../../analyzer/forecast/refit.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const STEP_MS = 4 * MINUTE_MS
const LENGTH_MS = 4 * HOUR_MS

/** Ten days of steps, so many units in each; what is used expires evenly. */
function asked(perStep: (step: number) => number, limit: number, rule?: PassingRule): PassingAsk {
  const values = Array.from({ length: (10 * 24 * HOUR_MS) / STEP_MS }, (_, step) => perStep(step))
  const nowMs = values.length * STEP_MS
  const used = values.slice(-LENGTH_MS / STEP_MS).reduce((sum, units) => sum + units, 0)
  const counts = (atMs: number) => used * Math.max(0, 1 - (atMs - nowMs) / LENGTH_MS)
  return {
    history: toHistory(values, 0, STEP_MS, nowMs),
    ...{ nowMs, lengthMs: LENGTH_MS, limits: [{ fromMs: nowMs, limit }] },
    ...(rule ? { used: 0, rule } : { used, rule: { kind: 'sliding', counts } }),
  }
}
const answer = (ask: PassingAsk) => passingNext(ask, null, 0.5).forecast
const steady = () => 10
/** 60 steps of 10 a length. */
const LENGTH_UNITS = 600

describe('a sliding window', () => {
  test('of steady use stays where it is: what comes replaces what expires', () => {
    const { usageAtReset, probability, confidence } = answer(asked(steady, 900))
    expect(usageAtReset?.p50).toBeCloseTo(LENGTH_UNITS, -2)
    expect(probability).toBeLessThan(0.05)
    expect(confidence).toBe('normal')
    expect(answer(asked(steady, 610)).probability).toBeGreaterThan(answer(asked(steady, 700)).probability ?? 1)
  })

  test('fills where the busy half of the day begins, and says about when', () => {
    const ask = asked(step => (step % 360 < 180 ? 20 : 1), 1_000)
    const { probability, exhaustionAtMs } = answer(ask)
    expect(ask.used).toBe(60)
    expect(probability).toBeGreaterThan(0.6)
    // 20 units come in a step of 60, and the 60 that are used expire.
    expect(((exhaustionAtMs.p50 ?? 0) - ask.nowMs) / LENGTH_MS).toBeCloseTo(0.85, 0)
    expect(answer({ ...ask, growth: 0.5 }).probability).toBeLessThan(0.2)
    expect(answer({ ...ask, growth: 3 }).exhaustionAtMs.p50).toBeLessThan(exhaustionAtMs.p50 ?? 0)
  })

  test('that is full now is reached now, and says what will be used', () => {
    const ask = asked(steady, 500)
    expect(answer(ask)).toMatchObject({
      probability: 1,
      exhaustionAtMs: { p10: ask.nowMs },
      why: 'The limit is reached.',
    })
  })

  test('has the grant that is to come', () => {
    const ask = asked(steady, 605)
    const granted = { ...ask, limits: [...ask.limits, { fromMs: ask.nowMs + MINUTE_MS, limit: 2_000 }] }
    expect(answer(granted).probability).toBeLessThan(answer(ask).probability ?? 0)
  })

  test('that more is used of than a grant leaves is reached when the grant ends, and not before', () => {
    const ask = asked(steady, 2_000)
    for (const inMs of [MINUTE_MS, 100 * MINUTE_MS, 101 * MINUTE_MS]) {
      const endMs = ask.nowMs + inMs
      const { exhaustionAtMs } = answer({ ...ask, limits: [...ask.limits, { fromMs: endMs, limit: 100 }] })
      expect(exhaustionAtMs.p10).toBe(endMs)
      expect((exhaustionAtMs.p90 ?? 0) - endMs).toBeLessThan(5 * MINUTE_MS)
    }
  })
})

test('without demand to come, what is used only falls, as what is known of it expires', () => {
  const slots = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 4, maxLength: 64 })
  const nothing: Curve = { fromMs: 0, knotMs: LENGTH_MS / 24, unit: 1, totals: new Float64Array(24 * 7) }
  fc.assert(
    fc.property(slots, fc.integer({ min: 1, max: 10_000 }), (units, limit) => {
      const slotMs = LENGTH_MS / units.length
      const counts = (atMs: number) => units.slice(Math.floor(atMs / slotMs)).reduce((sum, some) => sum + some, 0)
      const used = counts(0)
      const ask = { ...asked(steady, limit), nowMs: 0, used, limits: [{ fromMs: 0, limit }] }
      for (const rule of [
        { kind: 'sliding', counts },
        { kind: 'rate', burst: null },
      ] as const) {
        const medians = [used, ...bandsAhead({ ...ask, rule }, nothing).map(({ p50 }) => p50)]
        expect(medians).toEqual(medians.toSorted((a, b) => b - a))
      }
      const bands = bandsAhead({ ...ask, rule: { kind: 'sliding', counts } }, nothing)
      for (const { atMs, p10, p90 } of bands) expect([p10, p90]).toEqual([counts(atMs), counts(atMs)])
      expect(bands.at(-1)?.p90).toBe(0)
    }),
  )
})

describe('a rate', () => {
  const rate = { kind: 'rate', burst: null } as const
  test('above the demand never fills, and below it does, when the level says so', () => {
    expect(answer(asked(steady, 1_000, rate))).toMatchObject({ usageAtReset: { p50: 0 } })
    expect(answer(asked(steady, 1_000, rate)).probability).toBeLessThan(0.05)
    // Of 600 that come 280 drain.
    const { probability, usageAtReset } = answer(asked(steady, 280, rate))
    expect(usageAtReset?.p50).toBeCloseTo(320, -2)
    expect(probability).toBeGreaterThan(0.6)
    const { exhaustionAtMs } = answer({ ...asked(steady, 300, rate), used: 150 })
    const ask = asked(steady, 300, rate)
    expect(((exhaustionAtMs.p50 ?? 0) - ask.nowMs) / LENGTH_MS).toBeCloseTo(0.5, 1)
  })

  test('is refused sooner with a small burst', () => {
    const small = answer(asked(steady, 300, { kind: 'rate', burst: 30 }))
    expect(small.probability).toBeGreaterThan(0.9)
    expect(small.headroom?.p50).toBeLessThan(0)
  })
})

test('quantiles stay in order where the rest of a day comes early at one of them and late at another', () => {
  // Half of a length takes all of it at the median, and nothing before that below or above.
  const knot = (...totals: number[]) => totals
  const totals = [knot(0, 0, 0, 400, 400, 400, 400), knot(0, 300, 350, 400, 400, 500, 900)].flat()
  const curve: Curve = { fromMs: 0, knotMs: LENGTH_MS / 2, unit: 1, totals: Float64Array.from(totals) }
  const ask = { ...asked(steady, 400, { kind: 'rate', burst: null }), nowMs: 0, limits: [{ fromMs: 0, limit: 400 }] }
  for (const { p10, p50, p90 } of bandsAhead(ask, curve))
    expect([p10, p50, p90]).toEqual([p10, p50, p90].toSorted((a, b) => a - b))
})

test('where nothing is allowed, the limit is reached, however short the length', () => {
  for (const lengthMs of [MINUTE_MS, LENGTH_MS]) {
    const ask = { ...asked(steady, 0, { kind: 'rate', burst: null }), lengthMs }
    expect(answer(ask)).toMatchObject({ probability: 1, exhaustionAtMs: { p10: ask.nowMs, p90: ask.nowMs } })
  }
})

test('a length that is over before its calls are known has rate and headroom in words', () => {
  const ask = { ...asked(steady, 60, { kind: 'rate', burst: 20 }), lengthMs: MINUTE_MS, used: 5 }
  const { why, ...rest } = answer(ask)
  expect(rest).toMatchObject({ probability: null, confidence: 'none', usageAtReset: null, headroom: { p50: 15 } })
  expect(why).toContain('15 may be taken at once')
  expect(why).toContain('1/s are allowed')
})
