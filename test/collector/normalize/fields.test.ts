import { expect, test } from 'vitest'
import { lastOf, numberOf, sumOf } from '../../../collector/normalize/fields.ts'

const LONG = 1_000_000

test('numbers and lists of any length are read in one pass', () => {
  expect(numberOf(`${'1'.repeat(LONG)}x`)).toBeNull()
  expect(lastOf(' '.repeat(LONG))).toBeNull()
  expect(sumOf(`${' '.repeat(LONG)}1, - : 2`)).toBe(3)
})

test.each([
  ['1', 1],
  ['1.', 1],
  [' .5 ', 0.5],
  ['-2.5e3', -2500],
  ['1.2.3', null],
  ['.', null],
  ['', null],
])('%j is the number %s', (text, number) => {
  expect(numberOf(text)).toBe(number)
})
