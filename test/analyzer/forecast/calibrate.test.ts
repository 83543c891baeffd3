import { describe, expect, test } from 'vitest'
import { calibrated, logitOf, offsetOf, type Prior, shareAt } from '../../../analyzer/forecast/calibrate.ts'
import json from '../../../analyzer/forecast/calibrator.json' with { type: 'json' }
import { CALIBRATOR } from '../../../analyzer/forecast/calibrator.ts'
import { FEATURE_COUNT, FEATURES, type Question } from '../../../analyzer/forecast/features.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'
import { toOutlook } from '../../../analyzer/forecast/outlook.ts'
import { sumOfLeaves, toForest } from '../../../analyzer/forecast/trees.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

test('the trees that ship look at the features that there are', () => {
  expect(json.features).toEqual(FEATURES.map(([name]) => name))
  expect(json.forest.feature.every(feature => feature < FEATURES.length)).toBe(true)
  expect(json.card).toMatchObject({ series: 514, trainedOn: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) })
})

test('instants are read off between the shares that were asked', () => {
  const crossing = { shares: [0.25, 0.5, 1], probabilities: [0, 0.4, 0.6] }
  expect(shareAt(crossing, 0.1)).toBeCloseTo(0.3125)
  expect(shareAt(crossing, 0.5)).toBeCloseTo(0.75)
  expect(shareAt(crossing, 0.9)).toBeNull()
  expect(shareAt({ shares: [0.5, 1], probabilities: [1, 1] }, 0.1)).toBeCloseTo(0.05)
})

test.each([
  [60_000, 0.5],
  [300_000, 1],
])('in a window of %i ms trees count %d', (windowMs, weight) => {
  const features = new Float64Array(FEATURE_COUNT)
  features[FEATURES.findIndex(([name]) => name === 'window')] = Math.log(windowMs)
  const leaves = sumOfLeaves(CALIBRATOR, features)
  expect(leaves).not.toBe(0)
  expect(logitOf(features, CALIBRATOR)).toBeCloseTo(offsetOf(features) + weight * leaves, 12)
})

describe('a question', () => {
  // Ten an hour for three weeks, half a day to go: 120 are expected.
  const nowMs = 21.5 * DAY_MS
  const history = toHistory(new Array(21.5 * 24).fill(10), 0, HOUR_MS, nowMs)
  const windowStartMs = 21 * DAY_MS
  const ask = (limit: number): Question => ({
    history,
    nowMs,
    windowStartMs,
    windowEndMs: windowStartMs + DAY_MS,
    used: 120,
    limit,
  })
  const outlook = toOutlook(history, { atMs: nowMs, untilMs: windowStartMs + DAY_MS, windowMs: DAY_MS })
  const none = toForest({ roots: [], feature: [], threshold: [], isMissingLeft: [] })
  const answer = (limit: number, prior: Prior | null = null, forest = none) =>
    calibrated(ask(limit), outlook, { forest, prior, least: 0.1 })

  test('without trees is answered as the paths say', () => {
    expect(answer(200).probabilities.at(-1)).toBeGreaterThan(0.9)
    expect(answer(300).probabilities.at(-1)).toBeLessThan(0.1)
  })

  test('that is unlikely is not asked when', () => {
    expect(answer(300).shares).toEqual([1])
    expect(answer(200).shares.length).toBeGreaterThan(3)
  })

  test('is answered by a rising probability, trees or none', () => {
    for (const forest of [none, CALIBRATOR]) {
      // 123: what is left lasts for twenty minutes.
      for (const limit of [210, 123]) {
        const { shares, probabilities } = answer(limit, null, forest)
        expect(shares).toEqual(shares.toSorted((a, b) => a - b))
        expect(probabilities).toEqual(probabilities.toSorted((a, b) => a - b))
      }
    }
    // 80 are left: two thirds of the time are needed.
    for (const forest of [none, CALIBRATOR]) expect(shareAt(answer(200, null, forest), 0.5)).toBeCloseTo(0.67, 1)
  })

  test('is asked of the reset by all trees; what the later ones say of it holds for all instants', () => {
    // A thousand trees that say nothing, then one that would take earlier instants for sure: it looks at the share.
    const silent = new Array(1000).fill(0)
    const forest = toForest({
      roots: [...silent.keys(), 1000],
      feature: [...silent.map(() => -1), 0, -1, -1],
      threshold: [...silent, 0.999, 50, 1],
      isMissingLeft: [...silent, 0, 0, 0],
    })
    const logit = (p = Number.NaN) => Math.log(p / (1 - p))
    const plain = answer(210)
    expect(plain.shares.length).toBeGreaterThan(3)
    expect(answer(210, null, forest).probabilities.map(logit)).toEqual(
      plain.probabilities.map(p => expect.closeTo(logit(p) + 1, 6)),
    )
  })

  test('is answered by the prior as far as it counts', () => {
    const prior = { weight: 0.75, at: () => 0.2 }
    const alone = answer(200).probabilities.at(-1) ?? Number.NaN
    expect(answer(200, prior).probabilities.at(-1)).toBeCloseTo(0.15 + alone / 4)
    expect(answer(200, { ...prior, weight: 1 }).probabilities.at(-1)).toBeCloseTo(0.2)
  })
})
