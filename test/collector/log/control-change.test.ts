import { expect, test } from 'vitest'
import { type ControlChange, parseControlChange } from '../../../collector/log/control-change.ts'

const change: ControlChange = {
  changeId: 'c1',
  atMs: 1_800_000_000_000,
  by: 'admin',
  kind: 'token',
  key: 'gateway-1',
  expectedVersion: 0,
  version: 1,
  value: { scopes: ['check'] },
  reason: null,
}

test('reads what was written', () => {
  expect(parseControlChange(JSON.stringify(change))).toEqual(change)
  expect(parseControlChange(JSON.stringify({ ...change, value: null }))).toEqual({ ...change, value: null })
})

test.each([
  ['no JSON', '{'],
  ['a kind of a later version', JSON.stringify({ ...change, kind: 'spell' })],
  ['a missing field', JSON.stringify({ ...change, value: undefined })],
  ['an unknown field', JSON.stringify({ ...change, extra: 1 })],
  ['a version that cannot be', JSON.stringify({ ...change, version: 0 })],
])('steps over %s', (_name, value) => {
  expect(parseControlChange(value)).toBeNull()
})
