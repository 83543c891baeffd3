import { describe, expect, test } from 'vitest'
import { createCallerReader, findInRequest, type Source, type WhoOptions } from '../../../analyzer/limit/caller.ts'
import { createIdentity } from '../../../collector/identity.ts'

const SECRET = 'sk-proj-1234567890abcdefghij'
const base = { fingerprintKeys: ['f'.repeat(32)] }
const mark = createIdentity({ ...base, keys: [] }).fingerprint(SECRET)
const identity = createIdentity({ ...base, keys: [{ ids: [mark, 'kong-7'], consumer: 'web', tenant: 'acme' }] })

const who = (options: Partial<WhoOptions> = {}): WhoOptions => ({
  tenant: ['header:x-tenant'],
  consumer: ['header:X-Consumer', 'query:user'],
  credential: ['bearer', 'header:x-api-key', 'query:key'],
  unknownKeys: 'allow',
  ...options,
})
function read(
  options: Partial<WhoOptions>,
  headers: Record<string, string>,
  { uri = null, only = null }: { uri?: string | null; only?: string | null } = {},
) {
  const find = (source: Source) => findInRequest(source, name => headers[name] ?? null, uri)
  return createCallerReader(who(options), identity)(find, only)
}
const unknown = 'sk-proj-abcdefghij1234567890'
const unknownMark = identity.fingerprint(unknown)

describe('who calls', () => {
  test('is found where config says, in its order', () => {
    expect(read({}, { 'x-tenant': 't', 'x-consumer': 'a' }, { uri: '/x?user=b' })).toEqual({
      ...{ tenant: 't', consumer: 'a', refusal: null },
    })
    expect(read({}, {}, { uri: '/x?user=b%20c&key=x' }).consumer).toBe('b c')
    expect(read({}, { authorization: `Bearer ${unknown}`, 'x-api-key': 'another' }).consumer).toBe(unknownMark)
    expect(read({}, { authorization: 'Basic dTpw', 'x-api-key': SECRET })).toMatchObject({
      ...{ consumer: 'web', tenant: 'acme' },
    })
    expect(read({}, {}, { uri: `/x?key=${SECRET}` }).consumer).toBe('web')
    expect(read({}, {}, { uri: '/x' })).toEqual({ tenant: null, consumer: null, refusal: null })
  })

  test('is a credential that is known, whatever else a client sends', () => {
    for (const unknownKeys of ['allow', 'deny', 'anonymous'] as const) {
      const caller = read({ unknownKeys }, { authorization: `Bearer ${unknown}`, 'x-api-key': SECRET })
      expect(caller).toEqual({ consumer: 'web', tenant: 'acme', refusal: null })
    }
  })

  test('speaks for the tenant of the token only', () => {
    expect(read({}, { 'x-tenant': 'other' }, { only: 'acme' }).refusal).toBe('other_tenant')
    expect(read({}, { 'x-consumer': 'a' }, { only: 'acme' })).toMatchObject({ tenant: 'acme', refusal: null })
  })

  test.each([
    ['a key of the config', { 'x-api-key': SECRET }],
    ['an id of the config', { 'x-consumer': 'kong-7' }],
    ['a name from the gateway', { 'x-consumer': 'somebody' }],
  ])('is known by %s', (_, headers) => {
    for (const unknownKeys of ['allow', 'deny', 'anonymous'] as const) {
      const caller = read({ unknownKeys }, headers as Record<string, string>)
      expect([caller.refusal, caller.consumer]).toEqual([
        null,
        'x-consumer' in headers && headers['x-consumer'] === 'somebody' ? 'somebody' : 'web',
      ])
    }
  })

  test.each([
    ['an unknown key', { 'x-api-key': unknown }, unknownMark],
    ['its fingerprint', { 'x-consumer': unknownMark }, unknownMark],
    ['no key at all', {}, null],
  ])('with %s is itself, nobody, or refused', (_, headers, itself) => {
    expect(read({}, headers as Record<string, string>)).toMatchObject({ consumer: itself, refusal: null })
    expect(read({ unknownKeys: 'anonymous' }, headers as Record<string, string>)).toMatchObject({
      ...{ consumer: 'anonymous', refusal: null },
    })
    expect(read({ unknownKeys: 'deny' }, headers as Record<string, string>).refusal).toBe('unknown_key')
  })
})
