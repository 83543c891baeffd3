import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { startFold } from '../../../analyzer/control/fold.ts'
import { REMOVED_MAX } from '../../../analyzer/control/held.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import type { ControlChange, ControlKind } from '../../../collector/log/control-change.ts'
import { silent } from '../limit/call-records.ts'

test('of a log that is slow to fail no readings pile up, so that a close waits for one at most', async () => {
  const read = vi.fn(async () => {
    await sleep(300)
    throw new Error('away')
  })
  const fold = await startFold({ log: { read, partitions: read }, logger: silent, onChange: () => undefined })
  const asked = Array.from({ length: 50 }, () => fold.refresh())
  await sleep(100)
  await fold.close()
  await Promise.all(asked)
  expect(read.mock.calls.length).toBeLessThanOrEqual(2)
  expect(fold.unavailable()).toBe('away')
})

const change = (kind: ControlKind, key: string, expectedVersion: number, value: unknown): ControlChange => ({
  ...{ changeId: `${kind} ${key} ${expectedVersion}`, atMs: 1, by: 'test', reason: null },
  ...{ kind, key, expectedVersion, version: expectedVersion + 1, value },
})

/** A fold of a log that holds these changes. */
async function foldOf(changes: readonly ControlChange[], logger = silent) {
  const read: CallLog['read'] = async (topic, partition, fromOffset, entriesMax) => {
    const entries = changes
      .slice(fromOffset, fromOffset + entriesMax)
      .map((value, index) => ({ offset: fromOffset + index, appendedAtMs: 1, value: JSON.stringify(value) }))
    return { topic, logId: 'one', partition, entries, nextOffset: fromOffset + entries.length }
  }
  const partitions: CallLog['partitions'] = async topic => [
    { topic, logId: 'one', partition: 0, beginOffset: 0, endOffset: changes.length },
  ]
  const fold = await startFold({ log: { read, partitions }, logger, onChange: () => undefined })
  await fold.close()
  return fold
}

test.each(['override', 'block', 'token'] as const)('what is kept of each %s that is gone is bounded', async kind => {
  const keys = Array.from({ length: REMOVED_MAX + 1 }, (_, number) => `key-${number}`)
  const fold = await foldOf([
    change(kind, 'stays', 0, {}),
    ...keys.flatMap(key => [change(kind, key, 0, {}), change(kind, key, 1, null)]),
    change(kind, 'key-7', 2, {}),
    // Thought of before it was removed.
    change(kind, 'key-8', 1, {}),
  ])
  expect(fold.current(kind, 'key-0')).toEqual({ version: 0, value: null })
  expect(fold.current(kind, 'key-1')).toEqual({ version: 2, value: null })
  expect(fold.current(kind, 'key-8')).toEqual({ version: 2, value: null })
  expect(fold.keys(kind)).toEqual(['stays', 'key-7'])
})

test('changes that come in great numbers are told by their number, and one by one in detail', async () => {
  const lines: { level: number; key?: string; changes?: number; quota_config?: number }[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const changes = Array.from({ length: 2_000 }, (_, number) => change('quota_config', `q${number}`, 0, {}))
  const told = (level: number) => lines.filter(line => line.level === level)
  await foldOf(changes, logger)
  expect(told(30)).toMatchObject([
    { changes: 1_000, quota_config: 1_000 },
    { changes: 1_000, quota_config: 1_000 },
  ])
  expect(told(20)).toHaveLength(2_000)
  lines.length = 0
  await foldOf(changes.slice(0, 2), logger)
  expect(told(30)).toMatchObject([{ key: 'q0' }, { key: 'q1' }])
})
