import Type from 'typebox'
import { describe, expect, test } from 'vitest'
import { configProblems, valueProblems } from '../../deploy/config-problems.ts'

const closed = { additionalProperties: false }
const schema = Type.Object(
  {
    dataDir: Type.String({ minLength: 1 }),
    port: Type.Integer({ maximum: 65_535 }),
    level: Type.Union([Type.Literal('info'), Type.Literal('warn')]),
    log: Type.Union([
      Type.Object({ kind: Type.Literal('embedded'), sizeBytesMax: Type.Integer() }, closed),
      Type.Object({ kind: Type.Literal('kafka'), brokers: Type.Array(Type.String()) }, closed),
    ]),
    order: Type.Enum(['first', 'last']),
    match: Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }))]),
    secret: Type.String({ minLength: 8, writeOnly: true }),
    quotas: Type.Array(Type.Object({ name: Type.String({ pattern: '^[a-z]+$' }), limit: Type.Integer() }, closed)),
  },
  closed,
)
const working = {
  dataDir: './data',
  port: 1,
  level: 'info',
  log: { kind: 'embedded', sizeBytesMax: 1 },
  order: 'first',
  match: 'a',
  secret: '12345678',
  quotas: [{ name: 'a', limit: 1 }],
}
const problemsWith = (change: object) => configProblems(schema, { ...working, ...change })

describe('configProblems', () => {
  test('has nothing to say of a whole config', () => expect(configProblems(schema, working)).toEqual([]))

  test('names all problems at once, each with its path', () => {
    const problems = problemsWith({ dataDir: '', port: 70_000, quotas: [{ name: 'A', limit: 1.5 }, { limit: 1 }] })
    expect(problems.map(problem => problem.split(':')[0])).toEqual([
      'dataDir',
      'port',
      'quotas[0].name',
      'quotas[0].limit',
      'quotas[1].name',
    ])
    expect(problems.at(-1)).toBe('quotas[1].name: is missing')
  })

  test.each([
    [{ prot: 1 }, 'prot: is unknown; known are dataDir, port, level, log, order, match, secret, quotas'],
    [{ quotas: [{ name: 'a', limit: 1, Limits: 2 }] }, 'quotas[0].Limits: is unknown; did you mean limit?'],
    [{ level: 'loud' }, 'level: must be one of "info", "warn", not "loud"'],
    [{ order: 'middle' }, 'order: must be one of "first", "last", not "middle"'],
    [
      { log: { kind: 'redis' } },
      'log: must be one of { kind: embedded, … }, { kind: kafka, … }, not { kind: "redis", … }',
    ],
    [{ log: { kind: 'kafka', brokers: 'a:1' } }, 'log.brokers: must be array, not "a:1"'],
    [{ match: 7 }, 'match: must be one of string, array, not 7'],
    [{ match: [''] }, 'match[0]: must not have fewer than 1 characters, not ""'],
    [{ '': 1 }, '"": is unknown; known are dataDir, port, level, log, order, match, secret, quotas'],
    [{ port: Number.POSITIVE_INFINITY }, 'port: must be integer, not Infinity'],
    [{ quotas: {} }, 'quotas: must be array, not { … }'],
    [
      { log: { kind: 'embedded', sizeBytesMax: '2 gigabytes' } },
      'log.sizeBytesMax: must be integer, not "2 gigabytes"; units are B, kB, KB, MB, GB, TB, KiB, MiB, GiB, TiB',
    ],
  ])('%j → %s', (change, problem) => expect(problemsWith(change)).toEqual([problem]))

  test('never quotes a secret', () => {
    expect(problemsWith({ secret: 'hunter2' }).join()).not.toContain('hunter2')
    expect(problemsWith({ secret: 1234567 }).join()).not.toContain('1234567')
    const keys = Type.Object({ keys: Type.Array(Type.String({ minLength: 8 }), { writeOnly: true }) })
    expect(configProblems(keys, { keys: ['hunter2', 7654321] })).toEqual([
      'keys[0]: must not have fewer than 8 characters',
      'keys[1]: must be string',
    ])
    const url = Type.Object({ url: Type.String({ pattern: '^https?://[^@/?#]+$' }) })
    expect(configProblems(url, { url: 'https://me:hunter/2@x@host' })).toEqual([
      expect.stringMatching(/^url: must match pattern .*, not "https:\/\/\*\*\*@host"$/),
    ])
    const digest = Type.Object({ sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) })
    for (const token of ['sk-abc123def456ghi789jkl012', 'VGhpcyBpcyBhIHRva2VuIG9mIG91cnM', 'a b '.repeat(40)])
      expect(configProblems(digest, { sha256: token })).toEqual([
        expect.stringMatching(new RegExp(`^sha256: must match pattern .*, not a text of ${token.length} characters$`)),
      ])
    expect(problemsWith({ log: { kind: 'kafak', sasl: { password: 'hunter2' } } }).join()).not.toContain('hunter2')
  })

  test('more than there may be is one problem, whatever else is wrong with it', () => {
    const list = Type.Array(Type.Object({ name: Type.String() }), { maxItems: 2 })
    expect(configProblems(Type.Object({ list }), { list: [1, {}, 1] })).toEqual([
      'list: must not have more than 2 items',
    ])
    const map = Type.Record(Type.String(), Type.String(), { maxProperties: 1 })
    expect(configProblems(Type.Union([map, Type.Array(map, { maxItems: 2 })]), { a: 1, b: 2 })).toEqual([
      'the config: must not have more than 1 properties',
    ])
  })

  test('problems are looked for as far as they are asked for', () => {
    const looked: string[] = []
    const items = ['first', 'second', 'third'].map(name => ({
      get name() {
        looked.push(name)
        return 1
      },
    }))
    const list = Type.Object({ list: Type.Array(Type.Object({ name: Type.String() })) })
    expect(valueProblems(list, { list: items }).take(1).toArray()).toHaveLength(1)
    expect(new Set(looked)).toEqual(new Set(['first']))
  })

  test('a config that is no object is one problem', () => {
    expect(configProblems(schema, 'quotas')).toEqual(['the config: must be object, not "quotas"'])
  })
})
