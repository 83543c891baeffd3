import { describe, expect, test } from 'vitest'
import { credentialOf, headerReader } from '../../../collector/normalize/headers.ts'

const NOTHING = headerReader(null)

describe('headers', () => {
  test.each([
    [{ 'x-request-id': 'a' }, 'a'],
    [{ 'X-Request-Id': 'a' }, 'a'],
    [{ 'X-REQUEST-ID': ['a'] }, 'a'],
    [{ 'x-request-id': ['a', '', 'b'] }, 'a, b'],
    [{ 'x-request-id': 7 }, '7'],
    [{ 'x-request-id': '' }, null],
    [{ 'x-request-id': '-' }, null],
    [{ 'x-request-id': { a: 1 } }, null],
    [{}, null],
    [null, null],
    ['text', null],
    [[{ 'x-request-id': 'a' }], null],
  ])('%j hold %j', (headers, value) => {
    expect(headerReader(headers)('x-request-id')).toBe(value)
  })

  test('are none of what every object has', () => {
    expect(headerReader({ a: 'b' })('constructor')).toBeNull()
    expect(headerReader(JSON.parse('{"__proto__":"x"}'))('tostring')).toBeNull()
  })
})

describe('the credential', () => {
  test.each([
    [{ authorization: 'Bearer a-key' }, 'Bearer a-key'],
    [{ Authorization: ['Bearer a-key'] }, 'Bearer a-key'],
    [{ authorization: 'a-key' }, 'a-key'],
    [{ 'X-Api-Key': 'a-key' }, 'a-key'],
    [{ apikey: 'a-key', authorization: 'REDACTED' }, 'a-key'],
    [{ 'x-api-key': 'a-key', authorization: 'Bearer another' }, 'Bearer another'],
    [{ 'x-portkey-api-key': 'a-key', authorization: 'Bearer of-the-provider' }, 'a-key'],
    [{ authorization: 'AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261120/eu/s3, Signature=f00' }, 'AKIAEXAMPLE'],
  ])('of %j is %j', (headers, credential) => {
    expect(credentialOf(headerReader(headers), null)).toBe(credential)
  })

  test.each([
    {},
    { authorization: '' },
    { authorization: 'REDACTED' },
    { authorization: '[REDACTED]' },
    { authorization: 'Bearer ***' },
    { authorization: 'Bearer' },
    { 'x-api-key': 'sk-…abcd' },
    { 'x-api-key': 'xxxxxxxx1234' },
    { authorization: 'Digest username="a", nonce="differs", response="differs"' },
    { authorization: 'Signature keyId="a",signature="differs"' },
  ])('is not known from %j', headers => {
    expect(credentialOf(headerReader(headers), null)).toBeNull()
  })

  test.each([
    ['key=a-key', 'a-key'],
    ['?x=1&api_key=a-key&y=2', 'a-key'],
    ['/v1/chat?access_token=a%2Bkey', 'a+key'],
    ['https://gw.example/chat?subscription-key=a-key#top', 'a-key'],
    ['token=%E0%A4%A', '%E0%A4%A'],
    ['monkey=a', null],
    ['key=', null],
    ['key=***', null],
    ['/v1/keys/key', null],
  ])('in the query %j is %j', (query, credential) => {
    expect(credentialOf(NOTHING, query)).toBe(credential)
  })

  test('of a header goes before that of the query', () => {
    expect(credentialOf(headerReader({ 'api-key': 'a' }), 'key=b')).toBe('a')
  })
})
