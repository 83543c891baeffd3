import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitJson } from '../../../collector/normalize/split-json.ts'
import { parseJson } from '../../../collector/receive/json.ts'

const objects = fc.array(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 }), { maxLength: 8 })

test('documents that follow each other are told apart, whatever is in them', () => {
  fc.assert(
    fc.property(objects, fc.constantFrom('', ' ', '\n'), (documents, between) => {
      const text = documents.map(document => JSON.stringify(document)).join(between)
      expect({ kind: 'value', value: splitJson(text) }).toEqual(parseJson(JSON.stringify(documents)))
    }),
  )
})

test('what is no document stays text', () => {
  expect(splitJson('{"a":1} {"b":}{"c":')).toEqual([{ a: 1 }, '{"b":}', '{"c":'])
})

test('a text of nothing but ends of documents takes no more time than others', () => {
  const values = splitJson('}'.repeat(2 ** 20))
  expect(values.length).toBeLessThan(20_000)
  expect(values.join('')).toHaveLength(2 ** 20)
})
