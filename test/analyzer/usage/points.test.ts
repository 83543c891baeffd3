import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPoints } from '../../../analyzer/usage/points.ts'
import { keyOfSubject, type Selection } from '../../../analyzer/usage/selection.ts'
import { UNITS, unitCost } from '../../../analyzer/usage/units.ts'
import { OUTCOMES } from '../../../collector/call-record.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls, type TestCall } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const beginMs = nowMs - 10 * HOUR_MS

const requests: Selection = { unit: 'requests', match: { sql: '1', params: {} }, columns: ['consumer'] }

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
const client = () => testStore.store.client

test('points of minutes and of hours add up to the same', async () => {
  const calls = Array.from({ length: 300 }, (_, index) => ({
    startedAtMs: beginMs + index * 100_003,
    consumer: `app-${index % 2}`,
    outcome: index % 10 ? 'ok' : 'limited',
  }))
  await storeCalls(testStore.store, calls)
  const read = async (stepMs: number) => {
    const ask = { fromMs: beginMs, toMs: nowMs, stepMs, pointsMax: 1000 }
    const points = (await readPoints(client(), requests, ask)) ?? []
    expect(points).toEqual(
      points.toSorted((a, b) => a.subject.join().localeCompare(b.subject.join()) || a.startMs - b.startMs),
    )
    return points.reduce((sum, { units }) => sum + units, 0)
  }
  expect(await read(MINUTE_MS)).toBe(270)
  expect(await read(HOUR_MS)).toBe(270)
  expect(
    await readPoints(client(), requests, { fromMs: beginMs, toMs: nowMs, stepMs: MINUTE_MS, pointsMax: 5 }),
  ).toBeNull()
})

test('whatever is asked for is what the calls add up to one by one, whenever they arrived', async () => {
  await client().command({ query: 'TRUNCATE TABLE calls' })
  const dayMs = 24 * HOUR_MS
  const name = fc.constantFrom('', 'a', 'b', "it's")
  const amount = fc.option(fc.nat(1_000_000), { nil: null })
  const edge = fc.nat(80).map(hours => nowMs - 3 * dayMs + hours * HOUR_MS)
  const call: fc.Arbitrary<TestCall> = fc.record({
    startedAtMs: fc.oneof(
      edge,
      edge.map(atMs => atMs - 1),
      fc.integer({ min: nowMs - 3 * dayMs, max: nowMs + HOUR_MS }),
    ),
    arrivedAtMs: fc.integer({ min: nowMs - 3 * dayMs, max: nowMs }),
    ...{ tenant: name, consumer: name, model: name, provider: name, gateway: name, label_1: name },
    outcome: fc.constantFrom(...OUTCOMES),
    ...{ input_tokens: amount, output_tokens: amount, total_tokens: amount, cost_micros: amount },
    ...{ request_bytes: amount, response_bytes: amount },
  })
  const columns = ['tenant', 'consumer', 'model', 'provider', 'gateway', 'label_1'] as const
  const [calls = []] = fc.sample(fc.array(call, { minLength: 600, maxLength: 600 }), { seed: 14, numRuns: 1 })
  for (const from of [0, 200, 400]) await storeCalls(testStore.store, calls.slice(from, from + 200))
  const ask = fc.record({
    unit: fc.constantFrom(...UNITS),
    columns: fc.subarray([...columns], { maxLength: 3 }),
    stepMinutes: fc.constantFrom(1, 7, 45, 60, 90, 180, 1_440),
    fromMs: edge,
    hours: fc.nat(80),
  })
  await fc.assert(
    fc.asyncProperty(ask, async ({ unit, columns, stepMinutes, fromMs, hours }) => {
      const stepMs = stepMinutes * MINUTE_MS
      const stepOf = (atMs: number) => Math.floor(atMs / stepMs) * stepMs
      const range = { fromMs: stepOf(fromMs), toMs: stepOf(fromMs + hours * HOUR_MS) + stepMs }
      const expected = new Map<string, number>()
      for (const one of calls) {
        const { startedAtMs, outcome = '' } = one
        const spends = outcome !== 'limited' && (unit !== 'errors' || (outcome !== 'ok' && outcome !== 'aborted'))
        if (startedAtMs < range.fromMs || startedAtMs >= range.toMs || !spends) continue
        const key = keyOfSubject([...columns.map(column => one[column] ?? ''), `${stepOf(startedAtMs)}`])
        const { input_tokens = null, output_tokens = null, total_tokens = null, cost_micros = null } = one
        const { request_bytes = null, response_bytes = null } = one
        const costed = {
          ...{ outcome, inputTokens: input_tokens, outputTokens: output_tokens, totalTokens: total_tokens },
          ...{ costMicros: cost_micros, requestBytes: request_bytes, responseBytes: response_bytes },
        }
        expected.set(key, (expected.get(key) ?? 0) + unitCost(costed, unit))
      }
      const selection = { ...requests, unit, columns }
      const points = await readPoints(client(), selection, { ...range, stepMs, pointsMax: 10_000 })
      const read = (points ?? []).map(({ subject, startMs, units }) => [
        keyOfSubject([...subject, `${startMs}`]),
        units,
      ])
      expect(Object.fromEntries(read)).toEqual(Object.fromEntries(expected))
      expect(read).toHaveLength(expected.size)
    }),
    { numRuns: 60 },
  )
})
