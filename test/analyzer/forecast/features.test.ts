import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FEATURE_COUNT, FEATURES, featuresOf, type Question } from '../../../analyzer/forecast/features.ts'
import { toHistory, totalBetween } from '../../../analyzer/forecast/history.ts'
import { toOutlook } from '../../../analyzer/forecast/outlook.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const questions = fc
  .tuple(
    fc.array(fc.oneof(fc.constant(0), fc.nat(500)), { minLength: 30, maxLength: 400 }),
    fc.constantFrom(5, 24, 168),
    fc.double({ min: 0, max: 0.95, noNaN: true }),
    fc.integer({ min: 1, max: 20_000 }),
  )
  .map(([values, windowHours, elapsed, more]): Question => {
    const nowMs = values.length * HOUR_MS
    const history = toHistory(values, 0, HOUR_MS, nowMs)
    const windowStartMs = nowMs - elapsed * windowHours * HOUR_MS
    const used = totalBetween(history, windowStartMs, nowMs)
    return {
      history,
      nowMs,
      windowStartMs,
      windowEndMs: windowStartMs + windowHours * HOUR_MS,
      used,
      limit: used + more,
    }
  })

function featuresAt(question: Question, share: number): Float64Array {
  const { history, nowMs, windowStartMs, windowEndMs } = question
  const outlook = toOutlook(history, { atMs: nowMs, untilMs: windowEndMs, windowMs: windowEndMs - windowStartMs })
  const features = new Float64Array(FEATURE_COUNT)
  featuresOf(question, outlook)(share, features)
  return features
}

test('what depends on the limit follows it in one direction, and nothing else depends on it', () => {
  fc.assert(
    fc.property(questions, fc.double({ min: 0.01, max: 1, noNaN: true }), fc.nat(5_000), (question, share, more) => {
      const tight = featuresAt(question, share)
      const roomy = featuresAt({ ...question, limit: question.limit + more }, share)
      FEATURES.forEach(([name, direction], index) => {
        const change = (roomy[index] ?? 0) - (tight[index] ?? 0)
        if (Number.isNaN(change)) expect([name, tight[index], roomy[index]]).toEqual([name, Number.NaN, Number.NaN])
        // A probability that falls with the feature needs one that rises with the limit, and the other way round.
        else expect([name, direction === 0 ? change === 0 : -direction * change >= -1e-9]).toEqual([name, true])
      })
    }),
  )
})

test('amounts are ratios: a thousand times the use and the limit is the same question', () => {
  fc.assert(
    fc.property(questions, question => {
      const { history } = question
      const larger: Question = {
        ...question,
        history: { ...history, total: history.total.map(total => total * 1000) },
        used: question.used * 1000,
        limit: question.limit * 1000,
      }
      const features = featuresAt(question, 0.7)
      featuresAt(larger, 0.7).forEach((value, index) => {
        const name = FEATURES[index]?.[0] ?? ''
        if (Number.isNaN(value)) expect([name, features[index]]).toEqual([name, Number.NaN])
        else expect(Math.abs(value - (features[index] ?? Number.NaN)), name).toBeLessThan(0.02)
      })
    }),
    { numRuns: 50 },
  )
})

test('a window that ends a day later is another question, of a longer time', () => {
  const history = toHistory(new Array(200).fill(5), 0, HOUR_MS, 200 * HOUR_MS)
  const question = {
    history,
    nowMs: 200 * HOUR_MS,
    windowStartMs: 190 * HOUR_MS,
    windowEndMs: 214 * HOUR_MS,
    used: 50,
    limit: 120,
  }
  const left = FEATURES.findIndex(([name]) => name === 'left')
  const later = { ...question, windowEndMs: question.windowEndMs + DAY_MS }
  expect(featuresAt(later, 1)[left]).toBeGreaterThan(featuresAt(question, 1)[left] ?? Number.NaN)
})
