import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCallRecord, OUTCOMES } from '../../../collector/call-record.ts'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import { ARRIVED_AT_MS, identityFor, normalizeCanonical, normalizerFor } from './normalizer.ts'

const STARTED_AT_MS = 1_700_158_623_979
const plain = normalizerFor()
const normalize = (input: unknown, more = {}) => normalizeCanonical(plain, input, more)

describe('a canonical call', () => {
  test('becomes a record with everything else unknown', () => {
    const record = normalize({ startedAtMs: STARTED_AT_MS, tenant: 'acme', consumer: 'shop' })
    expect(isCallRecord(record)).toBe(true)
    expect(record).toMatchObject({
      startedAtMs: STARTED_AT_MS,
      arrivedAtMs: ARRIVED_AT_MS,
      dialect: 'canonical',
      outcome: 'ok',
      status: null,
      totalTokens: null,
      costMicros: null,
      labels: {},
    })
  })

  test('has totals and costs where they follow', () => {
    const priced = normalizerFor({ prices: [{ inputPerMillionTokens: 2, outputPerMillionTokens: 8 }] })
    const call = { startedAtMs: STARTED_AT_MS, inputTokens: 100, outputTokens: 10 }
    expect(normalizeCanonical(priced, call)).toMatchObject({ totalTokens: 110, costMicros: 280 })
    expect(normalizeCanonical(priced, { ...call, totalTokens: 120, costMicros: 5 })).toMatchObject({
      totalTokens: 120,
      costMicros: 5,
    })
    expect(normalize({ startedAtMs: STARTED_AT_MS, inputTokens: 7 })).toMatchObject({ totalTokens: 7 })
  })

  test.each([
    [{ status: 200 }, 'ok'],
    [{ status: 404 }, 'client_error'],
    [{ status: 502 }, 'server_error'],
    [{ status: 429 }, 'limited'],
    [{ status: 429, upstreamLatencyMs: 12 }, 'exhausted'],
    [{ status: 429, upstreamLimits: { units: {}, retryAfterMs: 1000 } }, 'exhausted'],
    [{ status: 499 }, 'aborted'],
    [{ status: 0 }, 'aborted'],
    [{ status: 200, outcome: 'exhausted' }, 'exhausted'],
  ])('with %j ended %s', (fields, outcome) => {
    expect(normalize({ startedAtMs: STARTED_AT_MS, ...fields })).toMatchObject({ outcome })
  })

  test('keeps no raw credential anywhere', () => {
    const secret = 'my-very-own-secret'
    const mark = identityFor().fingerprint(secret)
    const call = { startedAtMs: STARTED_AT_MS, credential: secret, tenant: 'acme' }
    expect(normalize(call)).toMatchObject({ consumer: mark })
    const record = normalize({
      ...call,
      providerKey: 'sk-proj-abcdefghijklmnop1234',
      labels: { authorization: `Bearer ${secret}`, region: 'eu' },
      route: `/v1/chat?api_key=${secret}`,
    })
    expect(JSON.stringify(record)).not.toContain(secret)
    expect(JSON.stringify(record)).not.toContain('sk-proj')
    expect(record).toMatchObject({ route: '/v1/chat', labels: { authorization: mark, region: 'eu' } })
  })

  test('has an id of its request: time and consumer belong to it', () => {
    const call = { startedAtMs: STARTED_AT_MS, requestId: 'r-1', gateway: 'g', consumer: 'shop' }
    const id = normalize(call).callId
    expect(normalize(call, { keyAt: () => 'another delivery' }).callId).toBe(id)
    for (const other of [
      { startedAtMs: STARTED_AT_MS + 1 },
      { requestId: 'r-2' },
      { gateway: 'h' },
      { consumer: 'x' },
    ]) {
      expect(normalize({ ...call, ...other }).callId).not.toBe(id)
    }
  })

  test('without a request id has one of its delivery', () => {
    const call = { startedAtMs: STARTED_AT_MS }
    const id = normalize(call, { keyAt: () => 'one' }).callId
    expect(normalize(call, { keyAt: () => 'one' }).callId).toBe(id)
    expect(normalize(call, { keyAt: () => 'two' }).callId).not.toBe(id)
  })

  test('is moved in time with its limits', () => {
    const upstreamLimits = {
      units: { requests: { limit: 1, remaining: 0, resetAtMs: STARTED_AT_MS } },
      retryAfterMs: null,
    }
    const record = normalize({ startedAtMs: STARTED_AT_MS, upstreamLimits }, { shiftMs: 1000 })
    expect(record).toMatchObject({
      startedAtMs: STARTED_AT_MS + 1000,
      upstreamLimits: { units: { requests: { resetAtMs: STARTED_AT_MS + 1000 } } },
    })
  })
})

describe('a sender of one tenant', () => {
  const restricted = { restriction: 'acme' }
  const call = { startedAtMs: STARTED_AT_MS, requestId: 'r', gateway: 'g', consumer: 'shop' }

  test('writes only that tenant', () => {
    expect(normalize(call, restricted)).toMatchObject({ tenant: 'acme' })
    expect(normalize({ ...call, tenant: 'acme' }, restricted)).toMatchObject({ tenant: 'acme' })
    expect(normalize({ ...call, tenant: 'other' }, restricted)).toMatchObject({
      reason: 'tenant_forbidden',
      tenant: 'acme',
    })
  })

  test('does not hear whose the credential of another is', () => {
    const keyed = normalizerFor({ keys: [{ ids: ['kong-17'], consumer: 'shop', tenant: 'rival' }] })
    const rejection = normalizeCanonical(keyed, { ...call, consumer: 'kong-17' }, restricted)
    expect(JSON.stringify(rejection)).not.toContain('rival')
  })

  test("cannot write another's by the name of its consumer", () => {
    const keyed = normalizerFor({ keys: [{ ids: ['kong-17'], consumer: 'shop', tenant: 'other' }] })
    expect(normalizeCanonical(keyed, { ...call, consumer: 'kong-17' }, restricted)).toMatchObject({
      reason: 'tenant_forbidden',
    })
  })

  test("never shadows another's call", () => {
    const theirs = normalize({ ...call, tenant: 'other' })
    const ours = normalize(call, restricted)
    expect(ours.callId).not.toBe(theirs.callId)
    const bare = { startedAtMs: STARTED_AT_MS }
    expect(normalize(bare, restricted).callId).not.toBe(normalize(bare).callId)
  })
})

const upstreamLimits = (units: number, name = 'u', unit: object = { limit: 1, remaining: 1, resetAtMs: null }) => ({
  units: Object.fromEntries(Array.from({ length: units }, (_, index) => [`${name}${index}`, unit])),
  retryAfterMs: null,
})

describe('a rejection', () => {
  test.each([
    [{ tenant: 'acme' }, 'missing_field', /^startedAtMs/],
    [{ startedAtMs: '2023' }, 'invalid_field', /^startedAtMs: "2023" is not a whole number from 0/],
    [{ startedAtMs: STARTED_AT_MS, latencyMs: -1 }, 'invalid_field', /^latencyMs: -1 is not a number from 0/],
    [{ startedAtMs: STARTED_AT_MS, outcome: 'fine' }, 'invalid_field', /^outcome: "fine" is not one of ok, /],
    [{ startedAtMs: STARTED_AT_MS, tenant: 5 }, 'invalid_field', /^tenant: 5 is not text/],
    [{ startedAtMs: STARTED_AT_MS, consumer: 'x'.repeat(513) }, 'too_long', /^consumer/],
    [{ startedAtMs: STARTED_AT_MS, colour: 'red' }, 'unknown_field', /"colour"/],
    [{ startedAtMs: STARTED_AT_MS, callId: 'x' }, 'unknown_field', /set by Quotacast/],
    [{ startedAtMs: STARTED_AT_MS, inputTokens: 1, cachedInputTokens: 2 }, 'invalid_field', /^cachedInputTokens/],
    [
      { startedAtMs: STARTED_AT_MS, labels: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`l${n}`, 'v'])) },
      'too_many_labels',
      /^labels/,
    ],
    [{ startedAtMs: STARTED_AT_MS, labels: { a: 'x'.repeat(257) } }, 'too_long', /^labels/],
    [{ startedAtMs: STARTED_AT_MS, labels: { a: 1 } }, 'invalid_field', /^labels/],
    [{ startedAtMs: STARTED_AT_MS, labels: { 'line\nbreak': 1 } }, 'invalid_field', /^labels/],
    [{ startedAtMs: STARTED_AT_MS, labels: { ['n'.repeat(65)]: 'v' } }, 'too_long', /^labels/],
    [{ startedAtMs: STARTED_AT_MS, upstreamLimits: upstreamLimits(17) }, 'invalid_field', /^upstreamLimits/],
    [{ startedAtMs: STARTED_AT_MS, upstreamLimits: upstreamLimits(1, 'u\n', {}) }, 'invalid_field', /^upstreamLimits/],
    [{ startedAtMs: STARTED_AT_MS, credential: 12345678 }, 'invalid_field', /^credential: \(credential\) is not text/],
    [{ startedAtMs: STARTED_AT_MS, 'sk-proj-abcdefghijklmnop1234': 1 }, 'unknown_field', /no field "\(credential\)"/],
    ['text', 'unreadable', /JSON object/],
    [[1], 'unreadable', /JSON object/],
  ])('of %j says %s and where', (input, reason, message) => {
    const rejection = normalize(input)
    expect(rejection).toMatchObject({ reason, message: expect.stringMatching(message) })
  })

  test('keeps the input for a replay, and no secret of it', () => {
    const secret = 'my "own" secret'
    const input = { credential: secret, colour: 'red', note: 'sk-proj-abcdefghijklmnop1234' }
    const rejection = normalize(input)
    if (!isRejection(rejection)) throw new Error('it has no start')
    const mark = identityFor().fingerprint(secret)
    expect(JSON.parse(rejection.input)).toMatchObject({ credential: mark, colour: 'red' })
    expect(rejection.input + rejection.message).not.toMatch(/own|sk-proj/)
  })

  test('keeps at most 64 KiB', () => {
    const rejection = normalize({ note: 'ä'.repeat(100_000) })
    if (!isRejection(rejection)) throw new Error('it has no start')
    expect(Buffer.byteLength(rejection.input)).toBeLessThanOrEqual(64 * 1024)
    expect(rejection.input).not.toContain('\uFFFD')
  })
})

test('whatever comes is a record or a rejection', () => {
  const field = fc.oneof(
    fc.string(),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.object({ maxDepth: 2 }),
  )
  const call = fc.record(
    {
      startedAtMs: fc.oneof(fc.integer({ min: 0, max: 4e12 }), field),
      tenant: field,
      consumer: field,
      credential: field,
      route: field,
      service: field,
      providerKey: field,
      clientIp: field,
      status: field,
      outcome: fc.oneof(fc.constantFrom(...OUTCOMES), field),
      inputTokens: field,
      outputTokens: field,
      upstreamLimits: field,
      labels: field,
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(call, fc.jsonValue()), fc.integer({ min: -1e6, max: 1e6 }), (input, shiftMs) => {
      const result = normalize(input, { shiftMs })
      expect(isRejection(result) || isCallRecord(result)).toBe(true)
    }),
    { numRuns: 500 },
  )
})
