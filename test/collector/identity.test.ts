import { describe, expect, test } from 'vitest'
import { createIdentity, IdentityError, looksLikeSecret } from '../../collector/identity.ts'

const OLD = 'old-fingerprint-key'
const NEW = 'new-fingerprint-key'
const plain = createIdentity({ fingerprintKeys: [NEW], keys: [] })
const nobody = { credential: null, consumer: null, tenant: null }

describe('a fingerprint', () => {
  test('is the same for a key, with and without its scheme', () => {
    expect(plain.fingerprint('abc-123')).toMatch(/^key:[0-9a-f]{24}$/)
    expect(plain.fingerprint('Bearer abc-123')).toBe(plain.fingerprint('abc-123'))
    expect(plain.fingerprint('abc-124')).not.toBe(plain.fingerprint('abc-123'))
  })

  test('depends on the key of the installation', () => {
    const other = createIdentity({ fingerprintKeys: [OLD], keys: [] })
    expect(other.fingerprint('abc')).not.toBe(plain.fingerprint('abc'))
  })

  test('of an address is none of a credential', () => {
    expect(plain.addressFingerprint('10.0.0.1')).toMatch(/^ip:/)
    expect(plain.addressFingerprint('10.0.0.1').slice(3)).not.toBe(plain.fingerprint('10.0.0.1').slice(4))
  })
})

describe('identify', () => {
  const keys = [
    { ids: [plain.fingerprint('secret-1'), 'kong-17'], consumer: 'shop', tenant: 'acme' },
    { ids: ['any-tenant'], consumer: 'robot' },
  ]
  const identity = createIdentity({ fingerprintKeys: [NEW], keys })

  test('finds one consumer by credential and by the id of a gateway', () => {
    expect(identity.identify({ ...nobody, credential: 'Bearer secret-1' })).toEqual({
      consumer: 'shop',
      tenant: 'acme',
    })
    expect(identity.identify({ ...nobody, consumer: 'kong-17' })).toEqual({ consumer: 'shop', tenant: 'acme' })
    expect(identity.resolve('kong-17')).toEqual({ consumer: 'shop', tenant: 'acme' })
  })

  test('leaves an id to the tenant that owns it', () => {
    expect(identity.identify({ ...nobody, consumer: 'kong-17', tenant: 'other' })).toEqual({
      consumer: 'kong-17',
      tenant: 'other',
    })
    expect(identity.identify({ ...nobody, consumer: 'any-tenant', tenant: 'other' })).toEqual({
      consumer: 'robot',
      tenant: 'other',
    })
  })

  test('names unknown callers by what they gave', () => {
    expect(identity.identify(nobody)).toEqual({ consumer: null, tenant: null })
    expect(identity.identify({ ...nobody, credential: 'unknown' }).consumer).toBe(identity.fingerprint('unknown'))
    expect(identity.identify({ ...nobody, credential: 'unknown', consumer: 'named' }).consumer).toBe('named')
  })

  test('finds the consumer of a fingerprint where only that is known', () => {
    const credentialMark = identity.fingerprint('secret-1')
    expect(identity.identify({ ...nobody, credentialMark })).toEqual({ consumer: 'shop', tenant: 'acme' })
    expect(identity.identify({ ...nobody, credentialMark: 'key:0123' }).consumer).toBe('key:0123')
    // A sender's word for a credential is one, whatever it looks like.
    expect(identity.identify({ ...nobody, credential: credentialMark }).consumer).not.toBe('shop')
  })

  test('never answers a secret that was given as a name', () => {
    const secret = 'sk-proj-abcdefghijklmnop1234'
    expect(identity.identify({ ...nobody, consumer: secret }).consumer).toBe(identity.fingerprint(secret))
  })

  test('still finds the fingerprint of a replaced key', () => {
    const before = createIdentity({ fingerprintKeys: [OLD], keys: [] })
    const listed = [{ ids: [before.fingerprint('secret-2')], consumer: 'shop' }]
    const rotated = createIdentity({ fingerprintKeys: [NEW, OLD], keys: listed })
    expect(rotated.identify({ ...nobody, credential: 'secret-2' }).consumer).toBe('shop')
    expect(rotated.fingerprint('secret-2')).not.toBe(before.fingerprint('secret-2'))
  })
})

test('an id of two consumers is a config error', () => {
  const twice = [
    { ids: ['a'], consumer: 'one' },
    { ids: ['a'], consumer: 'two' },
  ]
  expect(() => createIdentity({ fingerprintKeys: [NEW], keys: twice })).toThrow(IdentityError)
  const raw = ['shop', 'web'].map(consumer => ({ ids: ['hunter2'], consumer }))
  expect(() => createIdentity({ fingerprintKeys: [NEW], keys: raw })).toThrow(
    'keys: an id belongs to two consumers, "shop" and "web"',
  )
})

test.each([
  ['Bearer 8f3b1c99aa', true],
  ['sk-ant-api03-abcdefghijklmnopqrst', true],
  ['AIzaSyA1234567890abcdefghijklmnopqrstuv', true],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl', true],
  ['token management', false],
  ['basic subscription', false],
  ['fw-production-gateway-eu-1', false],
  ['0f8fad5b-d9cb-469f-a165-70867728950e', false],
  ['AzureLLMInferenceTrace_conv', false],
])('%s looks like a secret: %s', (text, isSecret) => {
  expect(looksLikeSecret(text)).toBe(isSecret)
})
