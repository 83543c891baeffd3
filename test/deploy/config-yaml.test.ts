import { describe, expect, test } from 'vitest'
import { parseYaml, YamlError } from '../../deploy/config-yaml.ts'

const problemsOf = (text: string): readonly string[] => {
  try {
    parseYaml(text)
    return []
  } catch (error) {
    if (error instanceof YamlError) return error.problems
    throw error
  }
}

/** Nine of the one before each, `levels` deep. */
const bomb = (levels: number) =>
  Array.from({ length: levels }, (_, level) => {
    const items = level === 0 ? 'x' : `*a${level - 1}`
    return `a${level}: &a${level} [${Array.from({ length: 9 }, () => items).join()}]\n`
  }).join('')

describe('parseYaml', () => {
  test.each([
    ['', null],
    ['# nothing', null],
    ['\uFEFFa: 1', { a: 1 }],
    ['a: &a { b: 1 }\nc: *a', { a: { b: 1 }, c: { b: 1 } }],
    ['- on\n- 012', ['on', 12]],
  ])('%j is %j', (text, value) => expect(parseYaml(text)).toEqual(value))

  test('takes as many aliases as a long list of quotas has', () => {
    const text = `a: &a { b: 1 }\nc: [${Array.from({ length: 5000 }, () => '*a').join()}]`
    expect(parseYaml(text)).toMatchObject({ c: { length: 5000 } })
  })

  test.each([
    ['an alias within its own anchor', 'a: &a\n  b: *a\n', /^an alias within/],
    ['the same in a list', '&a [*a]', /^an alias within/],
    ['aliases of aliases of aliases', bomb(9), /^aliases make more than 1000000 values/],
    ['nesting without end', `${'['.repeat(200)}${']'.repeat(200)}`, /^is nested deeper than 100 levels/],
    ['nesting that no parser follows', `${'['.repeat(100_000)}`, /^line 1, column \d+: resource exhaustion/],
    ['an alias of nothing', 'a: *b', /^line 1, column 4: an alias without its anchor/],
    ['a key twice', 'a: 1\n"a": 2', /^line 2, column 1: duplicate key$/],
    ['several documents', 'a: 1\n---\nb: 2', /^line 2, column 1: multiple docs$/],
    ['a tab before a key', 'a:\n\tb: 1', /^line 2, column 1: tab as indent \(indent with spaces\)$/],
    ['a tag of somebody else', 'a: !env NAME', /^line 1, column 4: tag resolve failed$/],
    ['bytes of nothing', 'a: 1\n\0\0\n', /^line 2, column 1: missing char/],
  ])('refuses %s by its place', (_, text, problem) => {
    expect(problemsOf(text)[0]).toMatch(problem)
  })

  test.each([
    [
      'less than its list',
      'quotas:\n  - name: a\n   unit: requests',
      /^line 3, column 1: missing char \(keys of one level/,
    ],
    ['more than its list', 'quotas:\n  - name: a\n      unit: b', /^line 2, column 11: .*keys of one level/],
    ['no space behind the colon', 'a:1\nb: 2', /^line 1, column 1: .*a colon and a space are missing/],
    ['a colon in a text', 'a: b: c', /^line 1, column 4: .*needs quotes/],
  ])('says what was probably meant: %s', (_, text, problem) => {
    expect(problemsOf(text)[0]).toMatch(problem)
  })

  test('finds keys that are there already among very many at once', () => {
    expect(problemsOf('a: 1\n'.repeat(20_000))).toHaveLength(19_999)
  })

  test.each([
    '!hunter2!',
    '*hunter2',
    '!hunter2',
    '"hunter2',
    '|hunter2',
    '[hunter2',
    '@hunter2',
    'a: hunter2',
    '%hunter2',
  ])('quotes nothing of %j', secret => {
    const problems = problemsOf(`password: ${secret}\npassword: ${secret}`)
    expect(problems).not.toEqual([])
    expect(problems.join()).not.toContain('hunter2')
  })
})
