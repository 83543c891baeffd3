/** Every dialect against what its gateway writes, and against what nobody writes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CallRecord, isCallRecord, type Rejection } from '../../../collector/call-record.ts'
import { DIALECTS } from '../../../collector/normalize/dialects.ts'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import { splitBody } from '../../../collector/receive/body.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import type { Fixture, FixtureCall } from '../../fixtures/sources/fixture.ts'
import { FIXTURES } from '../../fixtures/sources/index.ts'
import { deliveryOf, normalizerFor } from './normalizer.ts'

const CALLS_MIN = 8
const MUTATIONS = 40

const textOf = (input: unknown) => (typeof input === 'string' ? input : JSON.stringify(input))

type Outcome = CallRecord | Rejection | 'skipped'

/** What becomes of a body, with a normalizer of its own, since it remembers routes. */
function outcomesOf(
  { dialect: name, timezone = 'UTC' }: Pick<Fixture, 'dialect' | 'timezone'>,
  body: string,
): Outcome[] {
  const normalizer = normalizerFor({ clientIp: 'full' })
  const dialect = normalizer.dialect(name)
  if (dialect === undefined) throw new Error(`there is no dialect ${name}`)
  const source = { ...plainSource(dialect), timezone }
  const batch = splitBody(Buffer.from(body), { source, fileStem: null, isNdjson: false, recordsMax: 10_000 })
  return Array.from({ length: batch.size }, (_, position) => {
    const decoded = batch.decodedAt(position)
    const inputAt = (at: number) => batch.inputAt(at)
    const keyAt = (at: number) => `test ${at} ${batch.inputAt(at)}`
    const delivery = { ...deliveryOf(body, { dialect: name }), inputAt, keyAt }
    return decoded.kind === 'skip' ? 'skipped' : normalizer.normalize(decoded, delivery, position)
  })
}

function expectedOf({ is }: FixtureCall): unknown[] {
  if (is === 'skipped') return ['skipped']
  if ('rejected' in is) return [expect.objectContaining({ reason: is.rejected })]
  const records: readonly Partial<CallRecord>[] = Array.isArray(is) ? is : [is]
  return records.map(record => expect.objectContaining(record))
}

test('every dialect has fixtures', () => {
  const described = new Set(FIXTURES.map(({ dialect }) => dialect))
  const missing = DIALECTS.map(({ name }) => name).filter(name => name !== 'canonical' && !described.has(name))
  expect(missing).toEqual([])
})

describe.each(FIXTURES.map(fixture => [fixture.dialect, fixture] as const))('%s', (_, fixture) => {
  test.each(fixture.calls.map(call => [call.what, call] as const))('%s', (_, call) => {
    const outcomes = outcomesOf(fixture, textOf(call.input))
    expect(outcomes).toEqual(expectedOf(call))
    for (const outcome of outcomes) expectSound(outcome, call.secrets ?? [])
  })

  test('has enough of them, secrets among them', () => {
    expect(fixture.calls.length).toBeGreaterThanOrEqual(CALLS_MIN)
  })

  test('says the same of the same input', () => {
    for (const { input } of fixture.calls) {
      expect(outcomesOf(fixture, textOf(input))).toEqual(outcomesOf(fixture, textOf(input)))
    }
  })

  test('never throws, and never makes a record that is none', () => {
    const inputs = fixture.calls.map(({ input }) => textOf(input))
    fc.assert(
      fc.property(fc.constantFrom(...inputs), mutation, (input, mutate) => {
        for (const outcome of outcomesOf(fixture, mutate(input))) expectSound(outcome, [])
      }),
      { numRuns: MUTATIONS },
    )
  })
})

function expectSound(outcome: Outcome, secrets: readonly string[]): void {
  if (outcome !== 'skipped' && !isRejection(outcome)) expect(isCallRecord(outcome)).toBe(true)
  const kept = JSON.stringify(outcome)
  for (const secret of secrets) expect(kept).not.toContain(secret)
}

/** A way to spoil an input: something cut out, repeated, or put in the place of a value. */
const mutation = fc
  .record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat({ max: 40 }),
    put: fc.constantFrom(
      '',
      '"',
      '{',
      '}',
      'null',
      '-1',
      '1e999',
      '[]',
      '{}',
      '\\',
      '\u0000',
      '99999999999999999999',
      'NaN',
      ' ',
    ),
    isValue: fc.boolean(),
  })
  .map(({ at, length, put, isValue }) => (input: string) => {
    const begin = Math.floor(at * input.length)
    if (!isValue) return input.slice(0, begin) + put + input.slice(begin + length)
    const colon = input.indexOf('":', begin)
    if (colon < 0) return input.slice(0, begin)
    const value = /^":\s*(?:"(?:[^"\\]|\\.)*"|[\w.+-]+)/.exec(input.slice(colon))?.[0]
    return value === undefined ? input : `${input.slice(0, colon)}": ${put || '""'}${input.slice(colon + value.length)}`
  })
