import { expect, test } from 'vitest'
import { startFreshness } from '../../../analyzer/limit/freshness.ts'

const HOUR_MS = 3_600_000
const PARTITION = { topic: 'calls' as const, logId: 'log', partition: 0 }
const storeOf = (nowMs: () => number) => ({
  nowMs,
  position: async () => ({ logId: 'log', partition: 0, nextOffset: 10, appliedOffset: 9 }),
})

test('counters that fall behind after the clock was set back are not said to be as of now', async () => {
  let nowMs = 10 * HOUR_MS
  let endOffset = 10
  const log = { partitions: async () => [{ ...PARTITION, beginOffset: 0, endOffset }] }
  const { asOfMs, close } = startFreshness({ log, store: storeOf(() => nowMs) })
  await expect.poll(() => asOfMs(10 * HOUR_MS)).toBe(10 * HOUR_MS)
  endOffset = 20
  nowMs = 8 * HOUR_MS
  await expect.poll(() => asOfMs(9 * HOUR_MS)).toBe(8 * HOUR_MS)
  close()
})

test('the clock of this machine, and that of a collector, may differ from the one of the limit store', async () => {
  let nowMs = 10 * HOUR_MS
  let endOffset = 10
  const log = { partitions: async () => [{ ...PARTITION, beginOffset: 0, endOffset }] }
  const { asOfMs, applied, close } = startFreshness({ log, store: storeOf(() => nowMs) })
  await expect.poll(() => asOfMs(nowMs)).toBe(10 * HOUR_MS)
  endOffset = 20
  applied(12 * HOUR_MS)
  nowMs = 11 * HOUR_MS
  expect(asOfMs(nowMs)).toBe(10 * HOUR_MS)
  close()
})
