import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CallCosts, readCosts } from '../../../analyzer/usage/costs.ts'
import type { Unit } from '../../../analyzer/usage/units.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'

const nowMs = Math.floor(Date.now() / 60_000) * 60_000

let opened: TestStore
beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened?.close())

const read = async (unit: Unit) => {
  const found: CallCosts[] = []
  await readCosts(opened.store.client, unit, { fromMs: nowMs - 3_600_000, toMs: nowMs }, costs => found.push(costs))
  return found
}

test('calls by what they cost; older and newer ones, refused ones and those of unknown cost left out', async () => {
  const call = { startedAtMs: nowMs - 60_000, consumer: 'web', model: 'large', route: '/chat' }
  await storeCalls(opened.store, [
    { ...call, total_tokens: 1_000 },
    { ...call, total_tokens: 1_003 },
    { ...call, total_tokens: 0 },
    { ...call, total_tokens: null, request_bytes: 64 },
    { ...call, total_tokens: 500, outcome: 'limited' },
    { ...call, total_tokens: 500, startedAtMs: nowMs - 2 * 3_600_000 },
    { ...call, total_tokens: 500, startedAtMs: nowMs },
  ])
  const tokens = await read('total_tokens')
  expect(tokens.toSorted((one, other) => one.amount - other.amount)).toEqual([
    { tenant: 'acme', consumer: 'web', model: 'large', route: '/chat', amount: 0, calls: 1 },
    { tenant: 'acme', consumer: 'web', model: 'large', route: '/chat', amount: expect.any(Number), calls: 2 },
  ])
  const [, most] = tokens.toSorted((one, other) => one.amount - other.amount)
  expect(most?.amount).toBeGreaterThan(920)
  expect(most?.amount).toBeLessThan(1_090)
  expect(await read('bytes')).toMatchObject([{ amount: 64, calls: 1 }])
  expect(await read('cost')).toEqual([])
})
