/** Every dialect against what its gateway writes, and against what nobody writes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import { DIALECTS } from '../../../collector/normalize/dialects.ts'
import type { FixtureCall } from '../../fixtures/sources/fixture.ts'
import { FIXTURES } from '../../fixtures/sources/index.ts'
import { inputText, type Outcome, outcomesOf } from './outcomes.ts'
import { mutation, unsoundness } from './sound.ts'

const CALLS_MIN = 8
const MUTATIONS = 40

function expectedOf({ is }: FixtureCall): unknown[] {
  if (is === 'skipped') return ['skipped']
  if ('rejected' in is) return [expect.objectContaining({ reason: is.rejected })]
  const records: readonly (Partial<CallRecord> | 'skipped')[] = Array.isArray(is) ? is : [is]
  return records.map(record => (record === 'skipped' ? record : expect.objectContaining(record)))
}

test('every dialect has fixtures', () => {
  const described = new Set(FIXTURES.map(({ dialect }) => dialect))
  const missing = DIALECTS.map(({ name }) => name).filter(name => !described.has(name))
  expect(missing).toEqual([])
})

describe.each(FIXTURES.map(fixture => [fixture.dialect, fixture] as const))('%s', (_, fixture) => {
  test.each(fixture.calls.map(call => [call.what, call] as const))('%s', (_, call) => {
    const outcomes = outcomesOf(fixture, inputText(call))
    expect(outcomes).toEqual(expectedOf(call))
    for (const outcome of outcomes) expectSound(outcome, call.secrets ?? [])
  })

  test('has enough of them, secrets among them', () => {
    expect(fixture.calls.length).toBeGreaterThanOrEqual(CALLS_MIN)
  })

  test('says the same of the same input', () => {
    for (const call of fixture.calls) {
      expect(outcomesOf(fixture, inputText(call))).toEqual(outcomesOf(fixture, inputText(call)))
    }
  })

  test('never throws, and never makes a record that is none', () => {
    const inputs = fixture.calls.map(inputText)
    fc.assert(
      fc.property(fc.constantFrom(...inputs), mutation, (input, mutate) => {
        for (const outcome of outcomesOf(fixture, mutate(input))) expectSound(outcome, [])
      }),
      { numRuns: MUTATIONS },
    )
  })
})

const expectSound = (outcome: Outcome, secrets: readonly string[]) => expect(unsoundness(outcome, secrets)).toBeNull()
