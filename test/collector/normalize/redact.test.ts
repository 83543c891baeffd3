import { expect, test } from 'vitest'
import { isSecretName, keptInput, redact, shown } from '../../../collector/normalize/redact.ts'
import { leastMsOf } from '../../running-time.ts'

const mark = () => 'key:mark'

test.each([
  ['{"credential":"abc","a":1}', '{"credential":"key:mark","a":1}'],
  ['{"headers":{"Authorization":["Basic abc"]}}', '{"headers":{"Authorization":["key:mark"]}}'],
  ['{"request_Authorization": "abc"}', '{"request_Authorization": "key:mark"}'],
  ['{"x-api-key":"a\\"b","cut":"', '{"x-api-key":"key:mark","cut":"'],
  ['{"api_key":"cut of', '{"api_key":"(redacted)'],
  ['GET /v1?api_key=abc&x=1&token=t HTTP/1.1', 'GET /v1?api_key=key:mark&x=1&token=key:mark HTTP/1.1'],
  ['a,sk-proj-abcdefghijklmnop1234,b', 'a,key:mark,b'],
  [String.raw`{"h":"{\"authorization\": \"abc\"}"}`, String.raw`{"h":"{\"authorization\": \"key:mark\"}"}`],
  [String.raw`{"h":"{\\\"x-token\\\":\\\"abc"}`, String.raw`{"h":"{\\\"x-token\\\":\\\"key:mark`],
  [String.raw`{"m":"x token=\"abc def\" y"}`, String.raw`{"m":"x token=\"(redacted)\" y"}`],
  [String.raw`"/x?a=1\u0026key=abc"`, String.raw`"/x?a=1\u0026key=key:mark"`],
  ['"%2Fx%3Fapi_key%3Dabc%26x%3D1"', '"%2Fx%3Fapi_key%3Dkey:mark%26x%3D1"'],
  [
    '{"querystring":{"key":"abc","sig":"def","keys":"x"}}',
    '{"querystring":{"key":"key:mark","sig":"key:mark","keys":"x"}}',
  ],
  ['{"set-cookie":["a=1; Path=/","b=2"],"n":1}', '{"set-cookie":["(redacted)","key:mark"],"n":1}'],
  ['{"password":123456,"token":null}', '{"password":"key:mark","token":null}'],
  ['{"accessToken":"a","db_password":"b"}', '{"accessToken":"key:mark","db_password":"key:mark"}'],
  ['X-Api-Key: abc\r\nHost: h', 'X-Api-Key: key:mark\r\nHost: h'],
  ['Authorization: Digest user="x", response="y"', 'Authorization: (redacted)"x", response="y"'],
  ['authorization="Basic abc" level=info', 'authorization="key:mark" level=info'],
  ['api_key=abc&x=1', 'api_key=key:mark&x=1'],
  ['https://user:abc@host/', 'https://user:key:mark@host/'],
  ['{"inputTokens":12,"tokens":"x","input_token":7}', '{"inputTokens":12,"tokens":"x","input_token":7}'],
  ['{"request_header":"Apikey=a%2Bb&X-Own=c"}', '{"request_header":"Authorization=key:mark"}'],
  ['{"request_header":"Host=h&X-Own=c"}', '{"request_header":"Authorization=(redacted)"}'],
  ['authorization: "AWS4-HMAC-SHA256 Credential=AKID/x, Signature=y"', 'authorization: "key:mark"'],
  ['{"apikey":"-","authorization":""}', '{"apikey":"-","authorization":""}'],
])('%s loses its credentials', (text, redacted) => {
  expect(redact(text, [], mark)).toBe(redacted)
})

test('known secrets go wherever they stand, escaped or not', () => {
  expect(redact('{"a":"s\\"1"} s"1', ['s"1'], mark)).toBe('{"a":"key:mark"} key:mark')
})

test('a fingerprint stays what it is', () => {
  expect(redact('{"credential":"key:0123"}', [], () => 'key:again')).toBe('{"credential":"key:0123"}')
})

test('what a credential is hidden behind by needless escapes is found', () => {
  expect(keptInput(String.raw`{"mine":"a\/b\u0026c"}`, ['a/b&c'], mark).input).toBe('{"mine":"key:mark"}')
  expect(keptInput(String.raw`{"mine":"a\/b`, ['x'], mark).input).toBe(String.raw`{"mine":"a\/b`)
})

test.each([
  ['{"model":"m","messages":[{"content":"said"}],"n":1}', '{"model":"m","messages":"(not kept)","n":1}'],
  ['{"completion":12,"system_prompt":"said"}', '{"completion":12,"system_prompt":"(not kept)"}'],
  ['{"log":"{\\"prompt\\":\\"said\\",\\"a\\":1}"}', '{"log":"{\\"prompt\\":\\"(not kept)\\",\\"a\\":1}"}'],
  ['{"model":"m","gen_ai.prompt":"said, and cut', '{"model":"m","gen_ai.(not kept)'],
])('what was said is not kept of %s', (text, kept) => {
  expect(keptInput(text, [], mark).input).toBe(kept)
})

test('what is kept is whole unless something was cut off', () => {
  const isWhole = (text: string) => keptInput(text, [], mark).isWhole
  expect(['{"n":1}', String.raw`{"prompt":"said","n":"a\/b"}`, 'a "line" \\x22'].map(isWhole)).toEqual([
    true,
    true,
    true,
  ])
  expect(['{"prompt":"said, and cut', 'x'.repeat(2 ** 16 + 1), 'x'.repeat(2 ** 20)].map(isWhole)).toEqual([
    false,
    false,
    false,
  ])
})

test('an id that no double can hold keeps its digits', () => {
  const { input } = keptInput('{"id":12345678901234567890,"prompt":"said"}', [], mark)
  expect(JSON.parse(input)).toEqual({ id: '12345678901234567890', prompt: '(not kept)' })
})

const BEGINNINGS = ['sk-', 'eyJ-', '"', '\\', '"token":[', '"token":["', String.raw`\"token\":\"`, 'token=', ' token: ']
BEGINNINGS.push('bearer ', '://a:', '&key=', '"_', 'cookie:', '"token"       ', 'token%3d', 'eyJaaaaaaaa.')
test.each(BEGINNINGS)('a text of nothing but %j takes no longer than others', beginning => {
  const text = beginning.repeat(2 ** 20 / beginning.length)
  expect(leastMsOf(() => keptInput(text, [], mark))).toBeLessThan(1_000)
})

test('a value that is nested deeper than the stack is said to be', () => {
  let nested: unknown = 'x'
  for (let depth = 0; depth < 100_000; depth++) nested = [nested]
  expect(shown(nested)).toBe('(nested too deeply)')
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
