import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Selection } from '../../../analyzer/usage/selection.ts'
import {
  addChecks,
  demandInStep,
  emptySeries,
  meanCallUnits,
  readHours,
  readSteps,
  readTopSubjects,
  type UsageSeries,
  usedInStep,
} from '../../../analyzer/usage/series.ts'
import { addHour } from '../../../analyzer/usage/steps.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const beginMs = nowMs - 10 * HOUR_MS

const requests: Selection = { unit: 'requests', match: { sql: '1', params: {} }, columns: ['consumer'] }
const tokens: Selection = { ...requests, unit: 'total_tokens' }

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
beforeEach(async () => {
  await testStore.store.client.command({ query: 'TRUNCATE TABLE calls' })
})
const client = () => testStore.store.client

function collect(grid: { startMs: number; stepMs: number; steps: number }) {
  const all = new Map<string, UsageSeries>()
  const seriesOf = (subject: readonly string[]) => {
    const key = subject.join()
    const known = all.get(key) ?? emptySeries(subject, grid)
    all.set(key, known)
    return known
  }
  return { all, seriesOf }
}

describe('series', () => {
  const grid = { startMs: beginMs + 1234, stepMs: MINUTE_MS, steps: 600 }

  test('steps lie on the grid of the window, not of the clock', async () => {
    await storeCalls(testStore.store, [
      { startedAtMs: grid.startMs, total_tokens: 5 },
      { startedAtMs: grid.startMs + MINUTE_MS - 1, total_tokens: 7 },
      { startedAtMs: grid.startMs + MINUTE_MS, total_tokens: 11 },
      { startedAtMs: grid.startMs + 2 * MINUTE_MS, outcome: 'limited', total_tokens: null },
    ])
    const { all, seriesOf } = collect(grid)
    await readSteps(client(), tokens, grid, { fromMs: grid.startMs, toMs: nowMs }, seriesOf)
    const one = all.get('app') ?? emptySeries([], grid)
    expect([...one.used.subarray(0, 4)]).toEqual([12, 11, 0, 0])
    // The refused call would have been like the three that passed.
    const demand = [0, 1, 2, 3].map(step => demandInStep(one, 'records', step, meanCallUnits(one)))
    expect(demand).toEqual([12, 11, 23 / 3, 0])
  })

  test('hours are spread over the steps that they cover', async () => {
    const hourly = { startMs: beginMs + 20 * MINUTE_MS, stepMs: 30 * MINUTE_MS, steps: 20 }
    const calls = Array.from({ length: 60 }, () => ({ startedAtMs: beginMs + HOUR_MS }))
    await storeCalls(testStore.store, calls)
    const { all, seriesOf } = collect(hourly)
    await readHours(client(), requests, hourly, { fromMs: beginMs + HOUR_MS, toMs: beginMs + 2 * HOUR_MS }, seriesOf)
    // The hour begins a third into the second step.
    expect([...(all.get('app')?.used.subarray(0, 5) ?? [])].map(Math.round)).toEqual([0, 20, 30, 10, 0])
  })

  test('the most used subjects come first, and all are counted', async () => {
    const calls = ['a', 'b', 'b', 'c', 'c', 'c'].map(consumer => ({ startedAtMs: beginMs, consumer }))
    await storeCalls(testStore.store, calls)
    const range = { fromMs: beginMs - HOUR_MS, toMs: nowMs, subjectsMax: 2 }
    const { subjects, subjectsInAll, top } = await readTopSubjects(client(), requests, range)
    expect({ subjects, subjectsInAll }).toEqual({ subjects: [['c'], ['b']], subjectsInAll: 3 })
    const read = collect(grid)
    await readSteps(client(), top, grid, { fromMs: range.fromMs, toMs: nowMs }, read.seriesOf)
    expect([...read.all.keys()].toSorted()).toEqual(['b', 'c'])
    const everyone = await readTopSubjects(client(), requests, { ...range, subjectsMax: 3 })
    expect(everyone.top).toBe(requests)
  })
})

describe('a call that was both checked and recorded is counted once', () => {
  const grid = { startMs: 0, stepMs: MINUTE_MS, steps: 3 }
  const one = emptySeries([], grid)
  // Five calls of 2; then two calls of 2, and a third check of 2 whose record has not come.
  one.used.set([10, 4, 0])
  one.calls.set([5, 2, 0])
  addChecks(one, grid, 0, { allowed: 4, spent: 8, deniedCost: 3 })
  addChecks(one, grid, MINUTE_MS, { allowed: 3, spent: 6, deniedCost: 0 })
  addChecks(one, grid, 9 * MINUTE_MS, { allowed: 3, spent: 6, deniedCost: 0 })

  test('by its record, or by the telling that counts', () => {
    const used = (counts: 'checks' | 'records' | 'checks_and_records') =>
      [0, 1, 2].map(step => usedInStep(one, counts, step))
    expect(used('checks_and_records')).toEqual([10, 6, 0])
    expect(used('checks')).toEqual([8, 6, 0])
    expect(used('records')).toEqual([10, 4, 0])
  })

  test('also where it spends in a later step than it was checked in', () => {
    const checks = { units: Float64Array.of(0, 9, 9), count: Float64Array.of(1, 0, 0), refused: new Float64Array(3) }
    const later: UsageSeries = { ...one, used: new Float64Array(3), calls: Float32Array.of(1, 0, 1), checks }
    expect([0, 1, 2].map(step => usedInStep(later, 'checks_and_records', step))).toEqual([0, 9, 0])
  })

  test('also where hours are spread over steps', () => {
    const halves = { startMs: -30 * MINUTE_MS, stepMs: HOUR_MS, steps: 3 }
    const hourly = { units: new Float64Array(3), count: new Float64Array(3), refused: new Float64Array(3) }
    addHour(hourly, halves, 0, 8, 4, 2)
    expect([...hourly.units]).toEqual([4, 4, 0])
    expect([...hourly.count]).toEqual([2, 2, 0])
    expect([...hourly.refused]).toEqual([1, 1, 0])
  })

  test('and so is a refused one', () => {
    one.refused = Float64Array.of(2, 5, 0)
    expect([0, 1, 2].map(step => demandInStep(one, 'checks_and_records', step, 1))).toEqual([13, 11, 0])
  })
})
