import { expect, test } from 'vitest'
import { innerFields } from '../../../collector/normalize/inner-json.ts'

const namesOf = (count: number) => Array.from({ length: count }, (_, number) => [`name-${number}-${'x'.repeat(20)}`, 1])

test('objects in texts are read, and nothing else is', () => {
  expect(innerFields('{"a":{"b":1}}')).toEqual({ a: { b: 1 } })
  for (const text of ['[1]', '"{}"', 'null', '{"a":', '']) expect(innerFields(text)).toBeNull()
})

test('an object of far more names than anybody has is not parsed', () => {
  expect(innerFields(JSON.stringify(Object.fromEntries(namesOf(45_000))))).not.toBeNull()
  expect(innerFields(JSON.stringify(Object.fromEntries(namesOf(60_000))))).toBeNull()
})
