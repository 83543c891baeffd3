import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { arrayItems } from '../../../collector/receive/json-array.ts'

const itemsOf = (text: string) => arrayItems(text, 1000)

describe('the items of an array', () => {
  test('are what the parser finds, whatever they hold', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 2, '\t'), (values, indent) => {
        const items = itemsOf(` ${JSON.stringify(values, null, indent)}\n`)
        expect(items?.map(item => JSON.parse(item))).toEqual(JSON.parse(JSON.stringify(values)))
      }),
    )
  })

  test('keep what stands between quotes', () => {
    expect(itemsOf(String.raw`["a,b]","\"],","\\",{"x":"}"}]`)).toEqual([
      '"a,b]"',
      String.raw`"\"],"`,
      String.raw`"\\"`,
      '{"x":"}"}',
    ])
  })

  test('that are no JSON are items of their own', () => {
    expect(itemsOf('[1,,{"a":}]')).toEqual(['1', '', '{"a":}'])
    expect(itemsOf('[ ]')).toEqual([])
  })

  test('are not looked for beyond their bound', () => {
    expect(arrayItems(`[${'0,'.repeat(1000)}0]`, 10)).toHaveLength(11)
  })

  test.each(['', '{}', '[1', '["a]', '[1] 2', '[[1]', '1, 2', '[1]]'])('are none of %s', text => {
    expect(itemsOf(text)).toBeNull()
  })
})
