/** What is told is told right: every input of every dialect, through `auto`. */
import { describe, expect, test } from 'vitest'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import { FIXTURES } from '../../fixtures/sources/index.ts'
import { inputText, type Outcome, outcomesOf } from './outcomes.ts'

/** Dialects that read the same shapes, the more general one second; what only the first knows is missing then. */
const GENERAL: Readonly<Record<string, readonly string[]>> = {
  apache: ['clf'],
  nginx: ['clf'],
  traefik: ['clf'],
  higress: ['envoy'],
  istio: ['envoy'],
}

const dialectIn = (outcome: Outcome) => (outcome === 'skipped' || isRejection(outcome) ? null : outcome.dialect)

const others = FIXTURES.filter(({ dialect }) => dialect !== 'auto')

describe.each(others.map(fixture => [fixture.dialect, fixture] as const))('%s', (name, fixture) => {
  const told = fixture.calls.map(call => outcomesOf({ ...fixture, dialect: 'auto' }, inputText(call)))

  test('is never taken for another that counts in other units', () => {
    const dialects = new Set(told.flat().map(dialectIn))
    for (const dialect of [name, ...(GENERAL[name] ?? []), null]) dialects.delete(dialect)
    // Log records of gateways say themselves whose they are.
    expect(name === 'otlp' ? [] : [...dialects]).toEqual([])
  })

  test('says the same when it is told', () => {
    for (const [index, call] of fixture.calls.entries()) {
      const own = outcomesOf(fixture, inputText(call))
      if (told[index]?.every(outcome => dialectIn(outcome) === name) === true) {
        expect(told[index].map(withoutId)).toEqual(own.map(withoutId))
      }
    }
  })
})

/** Ids of inputs without a request id name their delivery. */
const withoutId = (outcome: Outcome) => (outcome === 'skipped' ? outcome : { ...outcome, callId: '' })

test('documents that hold nothing but arrays are no reason to fail', () => {
  const nested = `${'['.repeat(10_000)}${']'.repeat(10_000)}`
  expect(outcomesOf({ dialect: 'auto' }, nested).every(outcome => outcome !== 'skipped' && isRejection(outcome))).toBe(
    true,
  )
})
