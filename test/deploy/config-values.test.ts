import Type from 'typebox'
import { describe, expect, test } from 'vitest'
import {
  type ConfigSchema,
  convertUnits,
  fillDefaults,
  type Json,
  maskSecrets,
  merge,
  parseScalar,
} from '../../deploy/config-values.ts'

const schema = Type.Object({
  retentionSeconds: Type.Integer(),
  flushMs: Type.Integer(),
  sizeBytesMax: Type.Integer(),
  limit: Type.Integer(),
  noteSeconds: Type.String(),
  key: Type.String({ writeOnly: true }),
  keys: Type.Array(Type.String(), { writeOnly: true }),
  names: Type.Array(Type.String()),
  flag: Type.Boolean(),
  choice: Type.Union([
    Type.Object({ kind: Type.Literal('a'), everyMs: Type.Integer() }),
    Type.Object({ kind: Type.Literal('b'), everyMs: Type.String() }),
  ]),
  map: Type.Record(
    Type.String(),
    Type.Object({ windowMinutes: Type.Integer(), password: Type.String({ writeOnly: true }) }),
  ),
  list: Type.Array(Type.Object({ everySeconds: Type.Number() })),
}) as unknown as ConfigSchema

const convert = (value: Json) => convertUnits(schema, value)

describe('convertUnits', () => {
  test.each([
    [{ retentionSeconds: '7d' }, { retentionSeconds: 604_800 }],
    [{ retentionSeconds: '1500ms' }, { retentionSeconds: 1.5 }],
    [{ flushMs: '0.3s' }, { flushMs: 300 }],
    [{ sizeBytesMax: '2GiB' }, { sizeBytesMax: 2_147_483_648 }],
    [{ sizeBytesMax: '1.5 MB' }, { sizeBytesMax: 1_500_000 }],
    [{ limit: '2_000_000' }, { limit: 2_000_000 }],
    [{ map: { any: { windowMinutes: '2h' } } }, { map: { any: { windowMinutes: 120 } } }],
    [{ list: [{ everySeconds: '1m' }] }, { list: [{ everySeconds: 60 }] }],
  ])('%j is %j', (written, meant) => expect(convert(written)).toEqual(meant))

  test.each([
    [{ retentionSeconds: '7 parsecs' }],
    [{ retentionSeconds: '2GiB' }],
    [{ retentionSeconds: '-1s' }],
    [{ retentionSeconds: '1constructor' }],
    [{ limit: '7d' }],
    [{ noteSeconds: '7d' }],
    [{ unknownMs: '7d' }],
  ])('leaves %j for the validation to name', written => expect(convert(written)).toEqual(written))

  test('follows the case of a union that is meant', () => {
    expect(convert({ choice: { kind: 'a', everyMs: '1s' } })).toEqual({ choice: { kind: 'a', everyMs: 1000 } })
    expect(convert({ choice: { kind: 'b', everyMs: '1s' } })).toEqual({ choice: { kind: 'b', everyMs: '1s' } })
  })
})

test('secrets are masked wherever the schema has them', () => {
  const value = { key: 'k', keys: ['one', 'two'], names: ['n'], map: { any: { password: 'p', windowMinutes: 1 } } }
  expect(maskSecrets(schema, value)).toEqual({
    key: '***',
    keys: '***',
    names: ['n'],
    map: { any: { password: '***', windowMinutes: 1 } },
  })
})

test('text from the environment is YAML, but text where the schema wants text', () => {
  expect(parseScalar(schema, ['flag'], 'true')).toBe(true)
  expect(parseScalar(schema, ['limit'], '12')).toBe(12)
  expect(parseScalar(schema, ['key'], '0123')).toBe('0123')
  expect(parseScalar(schema, ['names'], '[a, b]')).toEqual(['a', 'b'])
  expect(parseScalar(schema, ['map', 'x', 'password'], '1e5')).toBe('1e5')
  expect(parseScalar(schema, ['nowhere'], '12')).toBe(12)
})

test('merge goes into objects, replaces lists, and lets null win', () => {
  expect(merge({ a: { b: 1, c: [1, 2] }, d: 1 }, { a: { c: [3] }, d: null })).toEqual({ a: { b: 1, c: [3] }, d: null })
})

test('what no schema describes stays as it is, however deep it is', () => {
  const depth = 100_000
  const deep = JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as Json
  const value = { flag: deep, unknown: deep }
  expect(fillDefaults(schema as ConfigSchema, value)).toEqual({ flag: expect.anything(), unknown: expect.anything() })
})
