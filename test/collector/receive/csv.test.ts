import { expect, test } from 'vitest'
import { csvFields } from '../../../collector/receive/csv.ts'

test.each([
  ['a,b,', ',', ['a', 'b', '']],
  ['a;"b;""c""";d', ';', ['a', 'b;"c"', 'd']],
  ['"a\nb",c', ',', ['a\nb', 'c']],
  ['a\t"b"', '\t', ['a', 'b']],
  ['a\rb,"c",d', ',', ['a\rb', 'c', 'd']],
  ['"a"b,c', ',', null],
  ['"a"\rb,c', ',', null],
])('%j by %j', (text, delimiter, fields) => {
  expect(csvFields(text, delimiter)).toEqual(fields)
})
