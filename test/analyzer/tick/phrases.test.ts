import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shortened, whole } from '../../../analyzer/tick/phrases.ts'

const WHY = 'From the same time of 27 earlier days (54 %), the recent rate (6 %), weighed by how each did before.'

test('a sentence comes back as it was, in a quarter of the characters', () => {
  const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.lorem())
  fc.assert(
    fc.property(text, sentence => {
      expect(whole(shortened(sentence))).toBe(sentence)
    }),
  )
  expect(whole(shortened(WHY))).toBe(WHY)
  expect(shortened(WHY).length).toBeLessThan(WHY.length / 4)
})

test('so does one of words that are too many', () => {
  for (let index = 0; index < 20_000; index++) {
    const text = `until ${index} then`
    expect(whole(shortened(text))).toBe(text)
  }
  expect(whole(shortened(WHY))).toBe(WHY)
  expect(shortened(WHY).length).toBeLessThan(WHY.length / 4)
})
