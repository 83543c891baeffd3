/** What holds of whatever becomes of any input, and ways to spoil one. */
import fc from 'fast-check'
import { isCallRecord } from '../../../collector/call-record.ts'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import type { Outcome } from './outcomes.ts'

/** What is wrong with an outcome; `null` when nothing is. */
export function unsoundness(outcome: Outcome, secrets: readonly string[]): string | null {
  if (outcome !== 'skipped' && !isRejection(outcome) && !isCallRecord(outcome)) return 'a record that is none'
  const kept = JSON.stringify(outcome)
  const leaked = secrets.find(secret => kept.includes(secret))
  return leaked === undefined ? null : `${leaked} is in ${kept}`
}

/** More than a stack can follow. */
const DEPTH = 20_000

/** A way to spoil an input: something cut out, repeated, or put in the place of a value. */
export const mutation: fc.Arbitrary<(input: string) => string> = fc
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
      // Neither text nor a number can be made of these.
      '{"toString":1,"valueOf":1}',
      '['.repeat(DEPTH) + ']'.repeat(DEPTH),
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

const LONG = 'x'.repeat(3000)
const HUGE = 1e20

/** A JSON document once for each value in it, with that value longer or larger than a record holds; none of other text. */
export function excesses(input: string): string[] {
  let document: unknown
  try {
    document = JSON.parse(input)
  } catch {
    return []
  }
  let values = 0
  JSON.stringify(document, (_, value) => {
    if (isLeaf(value)) values++
    return value
  })
  return Array.from({ length: values }, (_, chosen) => {
    let at = 0
    return JSON.stringify(document, (_name, value) => {
      if (!isLeaf(value) || at++ !== chosen) return value
      return typeof value === 'number' ? HUGE : value + LONG
    })
  })
}

const isLeaf = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number'
