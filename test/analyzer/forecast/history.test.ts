import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstUseMs, reachedMs, toHistory, totalBefore, totalBetween } from '../../../analyzer/forecast/history.ts'

const history = toHistory([10, 0, 20, 5], 1000, 100, 1350)

test('totals of any stretch, inside of steps too', () => {
  expect(totalBefore(history, 0)).toBe(0)
  expect(totalBefore(history, 1050)).toBe(5)
  expect(totalBefore(history, 1200)).toBe(10)
  expect(totalBetween(history, 1150, 1250)).toBe(10)
})

test('the step that is not over holds what came before the end', () => {
  expect(totalBefore(history, 1325)).toBe(32.5)
  expect(totalBefore(history, 1350)).toBe(35)
  expect(totalBefore(history, 9999)).toBe(35)
})

test('a total is reached when the running total says so', () => {
  expect(reachedMs(history, 1000, 5)).toBe(1050)
  expect(reachedMs(history, 1000, 20)).toBe(1250)
  expect(reachedMs(history, 1000, 35)).toBe(1350)
  expect(reachedMs(history, 1000, 36)).toBe(1350)
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 35, noNaN: true }), units => {
      expect(totalBefore(history, reachedMs(history, 1000, units))).toBeCloseTo(units, 6)
    }),
  )
})

test('the first use is the first step with anything in it', () => {
  expect(firstUseMs(toHistory([0, 0, 3], 0, 10, 30))).toBe(20)
  expect(firstUseMs(toHistory([0, 0], 0, 10, 20))).toBe(20)
  expect(firstUseMs(toHistory([], 0, 10, 0))).toBe(0)
})
