import fc from 'fast-check'
import { expect, test } from 'vitest'
import { handMadeFields } from '../../../collector/normalize/hand-made-json.ts'

/** A line as a text format makes it: nothing is escaped. */
const lineOf = (values: Readonly<Record<string, string>>) =>
  `{${Object.entries(values)
    .map(([name, value]) => `"${name}":"${value}"`)
    .join(',')}}`

test('values survive quotes, backslashes and braces that nobody escaped', () => {
  const value = fc.stringMatching(/^[ -+\--~]{0,24}$/)
  fc.assert(
    fc.property(value, value, value, (method, agent, id) => {
      const values = { method, 'user-agent': agent, 'x-request-id': id, ':authority': 'gw.example' }
      expect({ ...handMadeFields(lineOf(values)) }).toEqual(values)
    }),
  )
})

test('a client that names a value cannot change one that came before', () => {
  const fields = handMadeFields('{"status":"200","user-agent":"x","status":"429","bytes":12}')
  expect({ ...fields }).toEqual({ status: '200', 'user-agent': 'x', bytes: '12' })
})

test('a value that was cut off is not there', () => {
  expect({ ...handMadeFields('{"method":"GET","path":"/a?key=hal') }).toEqual({ method: 'GET' })
})

test('what is not meant to be an object is none', () => {
  expect([handMadeFields('GET /a'), handMadeFields('{}'), handMadeFields([1]), handMadeFields(null)]).toEqual([
    null,
    null,
    null,
    null,
  ])
})

test('a text of far more names than anybody has is not read', () => {
  const names = Object.fromEntries(
    Array.from({ length: 60_000 }, (_, number) => [`name-${number}-${'x'.repeat(9)}`, '']),
  )
  expect(handMadeFields(lineOf(names))).toBeNull()
})
