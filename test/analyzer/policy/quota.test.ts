import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DIMENSION_COLUMNS, type Dimensions, matches, matchSql } from '../../../analyzer/policy/quota.ts'
import { subjectMap, subjectOf } from '../../../analyzer/policy/subject.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { callDimensions, testQuota } from '../quotas.ts'

const quota = (fields: Record<string, unknown> = {}, labels = ['team']) => testQuota({ per: [], ...fields }, labels)
const dims = (fields: Partial<Dimensions> = {}) =>
  callDimensions({ consumer: 'web', route: '/v1/chat', model: 'gpt-5', label1: 'search', ...fields })

describe('a quota', () => {
  test('matches exact values, lists and prefixes, all of its dimensions', () => {
    const one = quota({ match: { tenant: 'acme', model: ['gpt-5', 'gpt-5-mini'], route: '/v1/*', team: 'search' } })
    expect(matches(one, dims())).toBe(true)
    expect(matches(one, dims({ tenant: 'acme-2' }))).toBe(false)
    expect(matches(one, dims({ model: 'gpt-5-nano' }))).toBe(false)
    expect(matches(one, dims({ route: '/v2/chat' }))).toBe(false)
    expect(matches(one, dims({ label1: null }))).toBe(false)
    expect(matches(quota(), dims({ tenant: null }))).toBe(true)
  })

  test('has one bucket for each combination; unknown is a subject of its own', () => {
    const one = quota({ per: ['tenant', 'team'] })
    expect(subjectOf(one, dims({ tenant: null }))).toEqual(['', 'search'])
    expect(subjectMap(one, ['acme', 'search'])).toEqual({ tenant: 'acme', team: 'search' })
  })

  test('keeps its series when the limit changes, not when what is counted changes', () => {
    const { series } = quota({ per: ['consumer'] })
    expect(quota({ per: ['consumer'], limit: 99, enforcement: 'shadow', counts: 'records' }).series).toBe(series)
    expect(quota({ per: ['tenant'] }).series).not.toBe(series)
    expect(quota({ per: ['consumer'], unit: 'bytes' }).series).not.toBe(series)
    expect(quota({ per: ['consumer'], window: { kind: 'fixed', everySeconds: 60 } }).series).not.toBe(series)
  })

  test('names every problem with its path', () => {
    const wrong = () =>
      quota({
        match: { region: 'eu' },
        per: ['tenant', 'status'],
        window: { kind: 'calendar', every: 'day', timezone: 'Nowhere' },
      })
    expect(wrong).toThrow(
      expect.objectContaining({
        code: 'QUOTA_INVALID',
        problems: [
          { path: '/match/region', message: expect.stringContaining('region') },
          { path: '/per/1', message: expect.stringContaining('status') },
          { path: '/window/timezone', message: expect.stringContaining('Nowhere') },
        ],
      }),
    )
  })

  test.each([
    { window: { kind: 'sliding', everySeconds: 60, slots: 3 } },
    { window: { kind: 'rate', everySeconds: 60, burst: 0 } },
    { window: undefined },
    { unit: 'concurrent_requests' },
    { unit: 'concurrent_requests', window: undefined, counts: 'records' },
    { limit: 'upstream' },
    { limit: -1 },
    { limit: 'upstream', per: ['provider'], match: { providerKey: 'k*' } },
    { limit: 'upstream', unit: 'concurrent_requests', window: undefined, per: ['providerKey'] },
    { enforcement: 'pace', window: { kind: 'sliding', everySeconds: 60 } },
    { enforcement: 'pace', unit: 'concurrent_requests', window: undefined },
    { name: 'two words' },
    { colour: 'red' },
  ])('with %j is refused, not ignored', fields => {
    expect(() => quota(fields)).toThrow()
  })
})

describe('the match as SQL', () => {
  let opened: TestStore
  beforeAll(async () => {
    opened = await openTestStore()
  })
  afterAll(() => opened.close())

  const word = fc.constantFrom('a', 'ab', 'abc', 'b', "it's", 'back\\slash', 'ü/*', '{x:String}', '*')
  const pattern = fc.oneof(
    word,
    word.map(text => `${text}*`),
  )
  const wanted = fc.oneof(pattern, fc.array(pattern, { minLength: 1, maxLength: 4 }))
  const named = fc.dictionary(fc.constantFrom('tenant', 'consumer', 'route', 'providerKey', 'team', 'region'), wanted, {
    maxKeys: 3,
  })
  const fields = Object.keys(DIMENSION_COLUMNS) as (keyof Dimensions)[]
  const call = fc.record(
    Object.fromEntries(fields.map(field => [field, fc.option(word, { nil: null })])),
  ) as fc.Arbitrary<Dimensions>

  test('chooses the calls that the function matches', async () => {
    const columns = Object.values(DIMENSION_COLUMNS)
    const structure = columns.map(column => `${column} String`).join(', ')
    await fc.assert(
      fc.asyncProperty(named, fc.array(call, { minLength: 1, maxLength: 12 }), async (match, calls) => {
        const one = quota({ match }, ['team', 'region'])
        const data = calls.map(each => JSON.stringify(fields.map(field => each[field] ?? ''))).join('\n')
        const { sql, params } = matchSql(one)
        const [row] = await opened.rows<{ matched: number[] }>(
          `SELECT groupArray(toUInt8(${sql})) AS matched FROM format(JSONCompactEachRow, '${structure}', {data:String})`,
          { ...params, data },
        )
        expect(row?.matched).toEqual(calls.map(each => Number(matches(one, each))))
      }),
      { numRuns: 80 },
    )
  })
})
