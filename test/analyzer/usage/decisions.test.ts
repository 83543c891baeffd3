import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type DecisionSums, type DecisionsAsk, readDecisions } from '../../../analyzer/usage/decisions.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeDecisions } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const beginMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 10 * HOUR_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  await testStore.store.client.command({ query: 'TRUNCATE TABLE decisions' })
})

async function read(ask: Partial<DecisionsAsk>): Promise<DecisionSums[]> {
  const all: DecisionSums[] = []
  const whole = { quota: null, fromMs: 0, condition: { sql: '1', params: {} }, ...ask }
  await readDecisions(testStore.store.client, whole, sums => all.push(sums))
  return all.toSorted((a, b) => a.middleMs - b.middleMs)
}

const sums = { quota: 'q', subject: { consumer: 'app' } }

test('rows of one minute, quota, subject and unit add up', async () => {
  await storeDecisions(testStore.store, [
    { ...sums, atMs: beginMs, allowed: 2, spent: 20, deniedCost: 1 },
    { ...sums, atMs: beginMs + 59_999, allowed: 1, spent: 5, deniedCost: 2 },
    { ...sums, atMs: beginMs + MINUTE_MS, allowed: 1, spent: 7 },
    { ...sums, quota: 'another', atMs: beginMs, spent: 100 },
  ])
  const subject = '{"consumer":"app"}'
  expect(await read({ quota: 'q' })).toEqual([
    { quota: 'q', subject, unit: 'requests', middleMs: beginMs + MINUTE_MS / 2, allowed: 3, spent: 25, deniedCost: 3 },
    { quota: 'q', subject, unit: 'requests', middleMs: beginMs + 1.5 * MINUTE_MS, allowed: 1, spent: 7, deniedCost: 0 },
  ])
  expect(await read({})).toHaveLength(3)
})

test('minutes belong to the step of a grid that holds their middle', async () => {
  await storeDecisions(
    testStore.store,
    [0, 1, 2, 3, 4].map(minute => ({ ...sums, atMs: beginMs + minute * MINUTE_MS, spent: 1 })),
  )
  const steps = async (offsetMs: number) => {
    const grid = { startMs: beginMs + offsetMs, stepMs: 2 * MINUTE_MS }
    const all = await read({ fromMs: grid.startMs, grid })
    return all.map(({ middleMs, spent }) => [Math.floor((middleMs - grid.startMs) / grid.stepMs), spent])
  }
  const expected = [
    [0, 2],
    [1, 2],
    [2, 1],
  ]
  expect(await steps(0)).toEqual(expected)
  expect(await steps(29_000)).toEqual(expected)
})
