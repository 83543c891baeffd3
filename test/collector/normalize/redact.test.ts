import { expect, test } from 'vitest'
import { isSecretName, redact, shown } from '../../../collector/normalize/redact.ts'

const mark = () => 'key:mark'

test.each([
  ['{"credential":"abc","a":1}', '{"credential":"key:mark","a":1}'],
  ['{"headers":{"Authorization":["Basic abc"]}}', '{"headers":{"Authorization":["key:mark"]}}'],
  ['{"request_Authorization": "abc"}', '{"request_Authorization": "key:mark"}'],
  ['{"x-api-key":"a\\"b","cut":"', '{"x-api-key":"key:mark","cut":"'],
  ['{"api_key":"cut of', '{"api_key":"key:mark'],
  ['GET /v1?api_key=abc&x=1&token=t HTTP/1.1', 'GET /v1?api_key=key:mark&x=1&token=key:mark HTTP/1.1'],
  ['a,sk-proj-abcdefghijklmnop1234,b', 'a,key:mark,b'],
  ['{"inputTokens":12,"tokens":"x"}', '{"inputTokens":12,"tokens":"x"}'],
])('%s loses its credentials', (text, redacted) => {
  expect(redact(text, [], mark)).toBe(redacted)
})

test('known secrets go wherever they stand, escaped or not', () => {
  expect(redact('{"a":"s\\"1"} s"1', ['s"1'], mark)).toBe('{"a":"key:mark"} key:mark')
})

test('a fingerprint stays what it is', () => {
  expect(redact('{"credential":"key:0123"}', [], () => 'key:again')).toBe('{"credential":"key:0123"}')
})

test('a message shows little of a value', () => {
  expect(shown('x'.repeat(1000)).length).toBeLessThan(100)
  expect(shown('Bearer abcdef123456')).toBe('"(credential)"')
  expect(shown(undefined)).toBe('undefined')
})

test('names of headers that hold credentials', () => {
  expect(['Authorization', 'X-API-Key', 'apikey', 'Cookie'].every(isSecretName)).toBe(true)
  expect(['author', 'key', 'tokens', 'region'].some(isSecretName)).toBe(false)
})
