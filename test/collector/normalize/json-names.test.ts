import { expect, test } from 'vitest'
import { hasTooManyNames, NAMES_MAX, textEnd } from '../../../collector/normalize/json-names.ts'

const PADDING = `"padding":"${'x'.repeat(2 ** 20)}"`
const named = (count: number, write: (number: number) => string) =>
  `{${PADDING},${Array.from({ length: count }, (_, number) => write(number)).join(',')}}`

test.each([
  ['side by side', (number: number) => `"name-${number}":1`],
  ['with spaces, escapes and texts between them', (number: number) => `"\\"${number}" \n\t : "a \\"b\\": {"`],
  ['of objects in each other', (number: number) => `"${number}":{"same":[{"same":null}]}`],
])('different names are counted: %s', (_, write) => {
  expect(hasTooManyNames(named(NAMES_MAX - 2, write))).toBe(false)
  expect(hasTooManyNames(named(NAMES_MAX, write))).toBe(true)
})

test('names that come again, values and broken text are no further names', () => {
  expect(hasTooManyNames(named(3 * NAMES_MAX, number => `"name-${number % 100}":"value-${number}"`))).toBe(false)
  expect(hasTooManyNames(`[${PADDING.slice(0, -1)}`)).toBe(false)
  expect(hasTooManyNames(named(1, () => '"'))).toBe(false)
})

test('a text ends at the first quote that is not escaped', () => {
  expect(textEnd('"a\\\\" "', 0)).toBe(4)
  expect(textEnd('"a\\" "', 0)).toBe(5)
  expect(textEnd('"a', 0)).toBe(-1)
})
