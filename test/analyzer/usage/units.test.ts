import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Costed, UNIT_SQL, UNITS, unitCost } from '../../../analyzer/usage/units.ts'
import { OUTCOMES } from '../../../collector/call-record.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

let opened: TestStore
beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened.close())

const known = fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: null })
const call: fc.Arbitrary<Costed> = fc.record({
  outcome: fc.constantFrom(...OUTCOMES),
  inputTokens: known,
  outputTokens: known,
  totalTokens: known,
  costMicros: known,
  requestBytes: known,
  responseBytes: known,
})

const COLUMNS = ['input_tokens', 'output_tokens', 'total_tokens', 'cost_micros', 'request_bytes', 'response_bytes']
const STRUCTURE = ['outcome LowCardinality(String)', ...COLUMNS.map(column => `${column} Nullable(UInt64)`)].join(', ')
const toRow = (one: Costed) => [
  one.outcome,
  one.inputTokens,
  one.outputTokens,
  one.totalTokens,
  one.costMicros,
  one.requestBytes,
  one.responseBytes,
]

const refused: Costed = {
  outcome: 'limited',
  inputTokens: null,
  outputTokens: null,
  totalTokens: null,
  costMicros: null,
  requestBytes: null,
  responseBytes: null,
}

test('the function and the SQL cost the same calls alike, unknown amounts and all outcomes included', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(call, { maxLength: 12 }), async calls => {
      // The engine wants one row at least; this one is known to spend nothing.
      const data = [...calls, refused].map(one => JSON.stringify(toRow(one))).join('\n')
      const sums = UNITS.map(unit => {
        const { sum, excludedOutcomes } = UNIT_SQL[unit]
        return `(SELECT ${sum} FROM calls WHERE outcome NOT IN (${excludedOutcomes.map(one => `'${one}'`).join()})) AS ${unit}`
      })
      const [row] = await opened.rows(
        `WITH calls AS (SELECT * FROM format(JSONCompactEachRow, '${STRUCTURE}', {data:String})) SELECT ${sums.join()}`,
        { data },
      )
      const expected = UNITS.map(unit => [unit, calls.reduce((sum, one) => sum + unitCost(one, unit), 0)])
      expect(row).toEqual(Object.fromEntries(expected))
    }),
    { numRuns: 60, examples: [[[]]] },
  )
})

test('a refused call spends nothing, whatever it says; an unknown amount spends nothing', () => {
  const amounts = { inputTokens: 5, outputTokens: 6, totalTokens: 11, costMicros: 7, requestBytes: 1, responseBytes: 2 }
  const costs = (one: Costed) => UNITS.map(unit => unitCost(one, unit))
  expect(costs({ outcome: 'limited', ...amounts })).toEqual([0, 0, 0, 0, 0, 0, 0])
  expect(costs({ ...refused, outcome: 'ok' })).toEqual([1, 0, 0, 0, 0, 0, 0])
  expect(costs({ outcome: 'exhausted', ...amounts })).toEqual([1, 5, 6, 11, 7, 3, 1])
})
