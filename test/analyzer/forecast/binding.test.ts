import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstToBind } from '../../../analyzer/forecast/binding.ts'
import { REACHED } from '../../../analyzer/forecast/forecaster.ts'

const HOUR_MS = 3_600_000
const until = (hours: number, probability: number) => ({
  nowMs: 0,
  windowEndMs: hours * HOUR_MS,
  crossing: { shares: [1], probabilities: [probability] },
})

test('the limit that is surely reached sooner binds, one that is reached already binds now', () => {
  expect(firstToBind([until(1, 1), until(10, 1)])).toEqual([1, 0])
  expect(firstToBind([until(1, 1), { ...until(10, 1), crossing: REACHED }])).toEqual([0, 1])
})

test('where the first lasts, the second may bind', () => {
  const [hour = 0, day = 0] = firstToBind([until(1, 0.3), until(24, 0.9)])
  expect(hour).toBeCloseTo(0.3, 1)
  expect(day).toBeCloseTo(0.6, 1)
})

test('equals share, and nothing is known of what was not forecast', () => {
  expect(firstToBind([until(1, 0.5), until(1, 0.5)]).map(chance => chance.toFixed(2))).toEqual(['0.25', '0.25'])
  expect(firstToBind([until(1, 0), { ...until(9, 1), crossing: null }])).toEqual([0, 0])
})

test('that any binds is as probable as that the most probable one is reached', () => {
  const limits = fc.array(fc.tuple(fc.integer({ min: 1, max: 99 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 6,
  })
  fc.assert(
    fc.property(limits, some => {
      const chances = firstToBind(some.map(([hours, probability]) => until(hours, probability)))
      const sum = chances.reduce((total, chance) => total + chance, 0)
      expect(Math.abs(sum - Math.max(...some.map(([, probability]) => probability)))).toBeLessThanOrEqual(0.005)
      for (const [index, chance] of chances.entries())
        expect(chance).toBeLessThanOrEqual((some[index]?.[1] ?? 0) + 0.005)
    }),
  )
})
