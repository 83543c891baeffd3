/** Every dialect against what its gateway writes, and against what nobody writes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CallRecord, Rejection } from '../../../collector/call-record.ts'
import { DIALECTS } from '../../../collector/normalize/dialects.ts'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import type { FixtureCall } from '../../fixtures/sources/fixture.ts'
import { FIXTURES } from '../../fixtures/sources/index.ts'
import { inputText, type Outcome, outcomesOf } from './outcomes.ts'
import { excesses, mutation, unsoundness } from './sound.ts'

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

test.each(FIXTURES.map(fixture => [fixture.dialect, fixture] as const))(
  '%s: a call in JSON that was cut off is not passed over',
  (_, fixture) => {
    const isCall = (text: string) =>
      outcomesOf(fixture, text).every(outcome => outcome !== 'skipped' && !isRejection(outcome))
    const calls = fixture.calls.map(inputText).filter(text => text.startsWith('{') && isCall(text))
    const skipped = calls.filter(text => outcomesOf(fixture, text.slice(0, -1)).includes('skipped'))
    expect(skipped).toEqual([])
  },
)

// Only our own JSON has them rejected.
test.each(
  FIXTURES.filter(({ dialect }) => dialect !== 'canonical').map(fixture => [fixture.dialect, fixture] as const),
)('%s: a call counts whatever the lengths and sizes of what it holds', (_, fixture) => {
  for (const call of fixture.calls) {
    for (const input of excesses(inputText(call))) {
      const rejections = outcomesOf(fixture, input).filter(outcome => outcome !== 'skipped' && isRejection(outcome))
      expect(rejections.filter(rejection => !isOfGateway(rejection))).toEqual([])
    }
  }
})

/** Its clock and the status that it answers are no caller's choice, nor are the words by which its lines are known. */
const isOfGateway = ({ reason, message }: Rejection) =>
  reason === 'unreadable' || /^(?:startedAtMs|status)\b/.test(message)

test('folds the routes of a service whose name a caller made long, too', () => {
  const nginx = FIXTURES.find(({ dialect }) => dialect === 'nginx')
  if (nginx === undefined) throw new Error('nginx has fixtures')
  const line = { msec: 1784620800.87, status: 200, proxy_host: 's'.repeat(600) }
  const lines = Array.from({ length: 1001 }, (_, index) => JSON.stringify({ ...line, request_uri: `/page-${index}/x` }))
  expect(outcomesOf(nginx, lines.join('\n')).at(-1)).toMatchObject({ route: '{other}' })
})

const expectSound = (outcome: Outcome, secrets: readonly string[]) => expect(unsoundness(outcome, secrets)).toBeNull()
