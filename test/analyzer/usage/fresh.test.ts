import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readDecisions } from '../../../analyzer/usage/decisions.ts'
import { type Condition, notFresh, readFresh } from '../../../analyzer/usage/fresh.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls, storeDecisions } from '../store-calls.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const beginMs = nowMs - 10 * HOUR_MS

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore?.close())
const client = () => testStore.store.client

describe('what is new', () => {
  test('is what lies beyond the positions that were seen, late or not, in any partition and life of the log', async () => {
    const nothing = { positions: [], newestAtMs: 0 }
    expect(await readFresh(client(), 'calls', { seen: null, nowMs })).toEqual({ seen: nothing, fresh: null })
    expect(await readFresh(client(), 'calls', { seen: nothing, nowMs })).toEqual({ seen: nothing, fresh: null })
    await storeCalls(testStore.store, [{ startedAtMs: nowMs }, { startedAtMs: nowMs, log_partition: 1 }])
    const first = await readFresh(client(), 'calls', { seen: null, nowMs })
    expect(first.seen.positions).toHaveLength(2)
    expect((await readFresh(client(), 'calls', { seen: first.seen, nowMs })).fresh).toBeNull()
    await storeCalls(testStore.store, [{ startedAtMs: beginMs, arrivedAtMs: nowMs, log_id: 'another', log_offset: 0 }])
    const second = await readFresh(client(), 'calls', { seen: first.seen, nowMs })
    expect(second.fresh?.fromMs).toBe(beginMs)
    expect(second.seen.positions).toHaveLength(3)
    expect((await readFresh(client(), 'calls', { seen: second.seen, nowMs })).fresh).toBeNull()
  })

  test('decisions are read once: all but what the next look will find, then that', async () => {
    const decide = (spent: number, atMs: number, logId: string) =>
      storeDecisions(testStore.store, [{ quota: 'q', subject: { consumer: 'app' }, atMs, spent, logId }])
    const read = async (condition: Condition | undefined) => {
      let sum = 0
      const ask = { quota: null, fromMs: beginMs - 9 * DAY_MS, condition: condition ?? { sql: '0', params: {} } }
      await readDecisions(client(), ask, ({ spent }) => {
        sum += spent
      })
      return sum
    }
    // A life of the log that ended long ago.
    await decide(1, nowMs - 9 * DAY_MS, 'before')
    await decide(10, nowMs, 'log')
    const first = await readFresh(client(), 'decisions', { seen: null, nowMs })
    await decide(100, nowMs, 'log')
    await decide(1_000, nowMs, 'after')
    const second = await readFresh(client(), 'decisions', { seen: first.seen, nowMs })
    expect(await read(notFresh('decisions', first.seen))).toBe(11)
    expect(await read(second.fresh?.condition)).toBe(1_100)
    expect(await read(notFresh('decisions', second.seen))).toBe(1_111)
  })

  test('is found at once after the clock was set back, though all that was seen arrived later', async () => {
    const { seen } = await readFresh(client(), 'calls', { seen: null, nowMs })
    const backMs = nowMs - 2 * HOUR_MS
    expect((await readFresh(client(), 'calls', { seen, nowMs: backMs })).fresh).toBeNull()
    await storeCalls(testStore.store, [{ startedAtMs: backMs }])
    const next = await readFresh(client(), 'calls', { seen, nowMs: backMs + MINUTE_MS })
    expect(next.fresh?.fromMs).toBe(backMs)
    expect((await readFresh(client(), 'calls', { seen: next.seen, nowMs: backMs + 2 * MINUTE_MS })).fresh).toBeNull()
  })
})
