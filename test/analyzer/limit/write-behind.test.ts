import { expect, test } from 'vitest'
import { type Counters, noChanges } from '../../../analyzer/limit/counters.ts'
import { decide } from '../../../analyzer/limit/deciding.ts'
import { createLedger } from '../../../analyzer/limit/ledger.ts'
import { createOpenWindows } from '../../../analyzer/limit/open-windows.ts'
import { createSettledBits } from '../../../analyzer/limit/settled-bits.ts'
import { startWriteBehind } from '../../../analyzer/limit/write-behind.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { silent } from './call-records.ts'

test('while nothing can be written, windows that have ended do not pile up', async () => {
  let nowMs = 1e12
  const current = { epoch: 1, durableSequence: 0, endedAtMs: null, floorSequence: 0, chunks: new Map() }
  const counters: Counters = {
    windows: createOpenWindows(1),
    ledger: createLedger(10),
    settled: createSettledBits([], current, { nowMs, forgottenEpoch: 0 }),
    positions: new Map(),
    bucketsMax: 1_000,
    sequence: 0,
    isLost: false,
    changes: noChanges(),
  }
  const behind = startWriteBehind({
    counters,
    nowMs: () => nowMs,
    flushMs: 1,
    log: silent,
    write: async take => {
      take()
      throw new Error('the disk is full')
    },
  })
  const minute = (startMs: number) => request([claim({ startMs, endMs: startMs + 60_000 })])
  for (let turn = 0; turn < 20; turn += 1) decide(counters, minute(nowMs + turn * 60_000), nowMs)
  nowMs += 19 * 60_000
  await expect.poll(() => counters.changes.buckets.length).toBe(1)
  expect(counters.changes.windows.size).toBe(1)
  expect(behind.failure()).toBe('the disk is full')
  await behind.close()
})
