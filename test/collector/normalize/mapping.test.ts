import { describe, expect, test } from 'vitest'
import { type DecodeContext, DialectError, type Draft, NO_CONTEXT } from '../../../collector/normalize/draft.ts'
import { type Mapping, MappingError, mappingDialect } from '../../../collector/normalize/mapping.ts'
import { leastMsOf } from '../../running-time.ts'
import { deliveryOf, identityFor, normalizerFor } from './normalizer.ts'

const AZURE: Mapping = {
  format: 'csv',
  fields: {
    startedAtMs: { from: 'TIMESTAMP', time: 'iso' },
    inputTokens: 'ContextTokens',
    outputTokens: 'GeneratedTokens',
  },
  constants: { tenant: 'azure', gateway: 'azure-openai', consumer: '{fileStem}' },
}
const CSV: DecodeContext = {
  ...NO_CONTEXT,
  fileStem: 'conv',
  columns: ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens'],
}
const JSON_LINES = NO_CONTEXT

const decode = (mapping: Mapping, raw: unknown, context = CSV) => mappingDialect('test', mapping).open(context)(raw)

const jsonl = (fields: Mapping['fields']): Mapping => ({
  format: 'jsonl',
  fields: { startedAtMs: { from: 't', time: 'unix_ms' }, ...fields },
})
const decodeJson = (fields: Mapping['fields'], raw: object) =>
  decode(jsonl(fields), { t: 1_700_158_623_979, ...raw }, JSON_LINES) as Draft

test('columns, instants and constants become a draft', () => {
  expect(decode(AZURE, ['2023-11-16 18:17:03.9799600', '4808', '10'])).toMatchObject({
    kind: 'draft',
    startedAtMs: Date.UTC(2023, 10, 16, 18, 17, 3, 979),
    inputTokens: 4808,
    outputTokens: 10,
    tenant: 'azure',
    consumer: 'conv',
  })
})

describe('values', () => {
  test.each([
    ['unix_s', '1700158623.979', 1_700_158_623_979],
    ['unix_s', 1_700_158_623.979, 1_700_158_623_979],
    ['unix_ms', '1700158623979', 1_700_158_623_979],
    ['unix_us', '1700158623979123', 1_700_158_623_979],
    ['unix_ns', '1700158623979123456', 1_700_158_623_979],
    ['%d/%b/%Y:%H:%M:%S %z', '16/Nov/2023:18:17:03 +0000', Date.UTC(2023, 10, 16, 18, 17, 3)],
  ])('an instant as %s: %s', (time, value, startedAtMs) => {
    const mapping: Mapping = { format: 'jsonl', fields: { startedAtMs: { from: 'at', time } } }
    expect(decode(mapping, { at: value }, JSON_LINES)).toMatchObject({ startedAtMs })
  })

  test('have the units of their gateway', () => {
    const draft = decodeJson(
      {
        latencyMs: { from: 'seconds', unit: 's' },
        upstreamLatencyMs: { from: 'nanos', unit: 'ns' },
        responseBytes: { from: 'size', unit: 'KiB' },
        costMicros: { from: 'cents', unit: 'cents' },
      },
      { seconds: '0.25', nanos: 1_500_000, size: 2, cents: 1.5 },
    )
    expect(draft).toMatchObject({ latencyMs: 250, upstreamLatencyMs: 1.5, responseBytes: 2048, costMicros: 15_000 })
  })

  test('come from paths, also through names with dots', () => {
    const draft = decodeJson(
      {
        host: 'request.headers.0',
        model: { from: ['gen_ai.request', 'gen_ai.model'] },
        'labels.region': '$.region',
      },
      { request: { headers: ['api.example'] }, 'gen_ai.request': { 'gen_ai.model': 'gpt-5' }, region: 'eu' },
    )
    expect(draft).toMatchObject({ host: 'api.example', model: 'gpt-5', labels: { region: 'eu' } })
  })

  test('of names are unknown where a body has something else, since callers choose bodies', () => {
    const fields = { model: 'model', 'labels.user': 'user' }
    expect(decodeJson(fields, { model: ['gpt-5'], user: { id: 7 } })).toMatchObject({ model: null, labels: {} })
    expect(decodeJson({ credential: 'key' }, { key: ['hunter2'] })).toMatchObject({ reason: 'invalid_field' })
  })

  test('never come from a prototype', () => {
    expect(decodeJson({ host: 'constructor.name' }, {})).toMatchObject({ host: null })
  })

  test.each([undefined, null, '', '-'])('that are missing (%j) are unknown, or the default', missing => {
    expect(decodeJson({ status: 's' }, { s: missing })).toMatchObject({ status: null })
    expect(decodeJson({ status: { from: 's', default: 200 } }, { s: missing })).toMatchObject({ status: 200 })
  })

  test('may stand for others', () => {
    const rule = { from: 's', values: { HIT: 200, none: null } }
    expect(decodeJson({ status: rule }, { s: 'HIT' })).toMatchObject({ status: 200 })
    expect(decodeJson({ status: rule }, { s: 'none' })).toMatchObject({ status: null })
    expect(decodeJson({ status: rule }, { s: '404' })).toMatchObject({ status: 404 })
  })
})

describe('refusals', () => {
  test('name field, column and value', () => {
    expect(decode(AZURE, ['2023-11-16 18:17:03', 'many', '10'])).toMatchObject({
      kind: 'refusal',
      reason: 'invalid_field',
      message: 'inputTokens (ContextTokens): "many" is not a whole number.',
    })
    expect(decode(AZURE, ['yesterday', '1', '10'])).toMatchObject({ message: expect.stringContaining('ISO 8601') })
    expect(decode(AZURE, ['2023-11-16 18:17:03', '1'])).toMatchObject({
      reason: 'unreadable',
      message: 'The line has 2 fields, the header 3.',
    })
  })

  test('keep no credential, wherever its column is', () => {
    const mapping: Mapping = {
      format: 'csv',
      fields: { startedAtMs: { from: 't', time: 'iso' }, credential: 'key', status: 's' },
    }
    const normalizer = normalizerFor({ mappings: { test: mapping } })
    const run = (row: string[], input: string) => {
      const open = normalizer.dialect('test')?.open({ ...NO_CONTEXT, columns: ['t', 'key', 's'] })
      return open && normalizer.normalize(open(row) as Draft, deliveryOf(input, { dialect: 'test' }), 0)
    }
    const mark = identityFor().fingerprint('hunter2')
    expect(run(['2023-11-16', 'hunter2', '200'], '')).toMatchObject({ consumer: mark })
    expect(run(['2023-11-16', 'hunter2', 'OK'], '2023-11-16,hunter2,OK')).toMatchObject({
      reason: 'invalid_field',
      input: `2023-11-16,${mark},OK`,
    })
    expect(run(['2023-11-16', 'hunter2'], '2023-11-16,hunter2')).toMatchObject({ reason: 'unreadable', input: '' })
  })
})

describe('a file that does not fit', () => {
  test('lacks columns', () => {
    expect(() => mappingDialect('test', AZURE).open({ ...CSV, columns: ['TIMESTAMP'] })).toThrow(
      expect.objectContaining({ code: 'COLUMN_MISSING', message: expect.stringContaining('"ContextTokens"') }),
    )
  })

  test('has no name', () => {
    expect(() => mappingDialect('test', AZURE).open({ ...CSV, fileStem: null })).toThrow(DialectError)
  })
})

test.each<[string, Mapping, string]>([
  ['an unknown field', jsonl({ colour: 'c' }), 'mappings.test.fields.colour: is none of'],
  ['a start without time', { format: 'csv', fields: { startedAtMs: 'T' } }, 'needs `time`'],
  ['a zoneless pattern', { format: 'csv', fields: { startedAtMs: { from: 'T', time: '%Y-%m-%d %H:%M' } } }, 'no %z'],
  ['no start', { format: 'csv', fields: { status: 's' } }, 'startedAtMs (or endedAtMs) is missing'],
  ['a unit of something else', jsonl({ latencyMs: { from: 'l', unit: 'KiB' } }), 'one of ns, us, ms, s, min'],
  ['a unit of tokens', jsonl({ inputTokens: { from: 'l', unit: 's' } }), 'has no unit'],
  ['a default of the wrong type', jsonl({ status: { from: 's', default: 'OK' } }), 'the default is a number'],
  ['a field twice', { ...jsonl({ host: 'h' }), constants: { host: 'x' } }, 'mappings.test.constants.host: is one of'],
  ['an unknown placeholder', { ...jsonl({}), constants: { host: '{name}' } }, 'there is no {name}'],
  ['csv options of jsonl', { ...jsonl({}), delimiter: ';' }, 'are for csv'],
])('%s is a config error', (_, mapping, problem) => {
  expect(() => mappingDialect('test', mapping)).toThrow(MappingError)
  expect(() => mappingDialect('test', mapping)).toThrow(problem)
})

test('all problems are told at once', () => {
  const mapping: Mapping = { format: 'csv', fields: { colour: 'c', latencyMs: { from: 'l', time: 'iso' } } }
  expect(() => mappingDialect('test', mapping)).toThrow(
    expect.objectContaining({ problems: [expect.any(String), expect.any(String), expect.any(String)] }),
  )
})

test('a mapping cannot take the name of a built-in dialect', () => {
  expect(() => mappingDialect('canonical', jsonl({}))).toThrow(MappingError)
})

test('a number of any length is read in one pass', () => {
  const decode = () => decodeJson({ inputTokens: 'n' }, { n: `${'1'.repeat(200_000)}x` })
  expect(decode()).toMatchObject({ kind: 'refusal' })
  expect(leastMsOf(decode)).toBeLessThan(1_000)
})

test('a time is none of the names that every object has', () => {
  expect(() => mappingDialect('test', jsonl({ startedAtMs: { from: 't', time: 'constructor' } }))).toThrow(MappingError)
})

test('a call in the place of the header shows nothing where a column holds credentials', () => {
  const mapping: Mapping = { ...AZURE, fields: { ...AZURE.fields, credential: 'key' } }
  const context: DecodeContext = { ...CSV, columns: ['2023-11-16', '12', 'my own secret'] }
  expect(() => mappingDialect('test', mapping).open(context)).toThrow(DialectError)
  expect(() => mappingDialect('test', mapping).open(context)).not.toThrow(/secret/)
})
