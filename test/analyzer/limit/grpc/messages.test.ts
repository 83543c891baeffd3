import fc from 'fast-check'
import protobuf from 'protobufjs'
import { expect, test } from 'vitest'
import { decodeCheckRequest } from '../../../../analyzer/limit/grpc/ext-authz-messages.ts'
import { decodeRateLimitRequest } from '../../../../analyzer/limit/grpc/rls-messages.ts'
import { GRPC, GrpcError } from '../../../../analyzer/limit/grpc/rpc.ts'
import { descriptor } from './client.ts'

const root = protobuf.loadSync(new URL('doors.proto', import.meta.url).pathname)
const encode = (name: string, message: object) => {
  const type = root.lookupType(`doors.${name}`)
  return type.encode(type.fromObject(message)).finish()
}

test('a request is read as the reference writes it', () => {
  const override = { limit: { requestsPerUnit: 5, unit: 2 } }
  const bytes = encode('RateLimitRequest', {
    domain: 'edge',
    descriptors: [
      descriptor({ a: '1', größe: 'ü' }, override),
      descriptor({}, { hitsAddend: {}, isNegativeHits: true }),
      descriptor({ b: '2' }, { hitsAddend: { value: 7 } }),
    ],
  })
  expect(decodeRateLimitRequest(bytes)).toEqual({
    domain: 'edge',
    hitsAddend: 1,
    descriptors: [
      {
        entries: [
          { key: 'a', value: '1' },
          { key: 'größe', value: 'ü' },
        ],
        hits: null,
        isNegative: false,
      },
      { entries: [], hits: 0, isNegative: true },
      { entries: [{ key: 'b', value: '2' }], hits: 7, isNegative: false },
    ],
  })
})

test('bytes that are no message are refused, whatever they are', () => {
  const whole = [
    encode('RateLimitRequest', { domain: 'edge', descriptors: [descriptor({ a: '1' }, { hitsAddend: { value: 9 } })] }),
    encode('CheckRequest', { attributes: { request: { http: { path: '/x', headers: { a: 'b' } } } } }),
  ]
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(fc.constantFrom(...whole), fc.nat(60), fc.nat(255)).map(([message, at, value]) => {
      const changed = Uint8Array.from(message)
      changed[at % changed.length] = value
      return changed
    }),
  )
  fc.assert(
    fc.property(bytes, message => {
      for (const decode of [decodeRateLimitRequest, decodeCheckRequest]) {
        try {
          decode(message)
        } catch (error) {
          expect(error).toBeInstanceOf(GrpcError)
          expect((error as GrpcError).code).toBe(GRPC.invalidArgument)
        }
      }
    }),
    { numRuns: 2_000 },
  )
})

test('a request of very many descriptors or entries is refused', () => {
  const many = Array.from({ length: 101 }, () => descriptor({}))
  expect(() => decodeRateLimitRequest(encode('RateLimitRequest', { descriptors: many }))).toThrow(GrpcError)
  const entries = Object.fromEntries(many.map((_, index) => [`k${index}`, 'v']))
  expect(() => decodeRateLimitRequest(encode('RateLimitRequest', { descriptors: [descriptor(entries)] }))).toThrow(
    GrpcError,
  )
})
