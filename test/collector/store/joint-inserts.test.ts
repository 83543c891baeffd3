import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LogPartition } from '../../../collector/log/call-log.ts'
import { createCallRows } from '../../../collector/store/call-rows.ts'
import { type Fence, takeFence } from '../../../collector/store/fence.ts'
import { createJointInserts } from '../../../collector/store/joint-inserts.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { makeCall } from './make-call.ts'

const { target, toLine } = createCallRows([])
let opened: TestStore

beforeAll(async () => {
  opened = await openTestStore()
  // Merges would join what was inserted apart.
  await opened.store.client.command({ query: 'SYSTEM STOP MERGES calls' })
})
afterAll(() => opened?.close())

const newPartitions = (): LogPartition[] => {
  const logId = randomUUID()
  return [0, 1].map(partition => ({ topic: 'calls', logId, partition }))
}
const takeAll = (partitions: readonly LogPartition[]) =>
  Promise.all(partitions.map(async partition => ({ partition, fence: await takeFence(opened.store, partition) })))
const toPiece = (held: { partition: LogPartition; fence: Fence }, rows: number) => ({
  ...held,
  rows,
  lines: Array.from({ length: rows }, (_, offset) => toLine(makeCall(), offset)),
})
const find = async ([partition]: LogPartition[]) => {
  const [found] = await opened.rows<{ rows: number; parts: number }>(
    `SELECT count() AS rows, uniqExact(_part) AS parts FROM calls WHERE log_id = '${partition?.logId}'`,
  )
  return found
}

test('what is ready at the same time is one insert, and what somebody prepares is waited for', async () => {
  const partitions = newPartitions()
  const [first, second] = await takeAll(partitions)
  if (first === undefined || second === undefined) throw new Error('two partitions')
  const joint = createJointInserts(opened.store)
  const { promise: work, resolve: prepared } = Promise.withResolvers<void>()
  const preparing = joint.prepare(() => work)
  const inserted = joint.insert(target, toPiece(first, 3))
  expect(await find(partitions)).toEqual({ rows: 0, parts: 0 })
  prepared()
  await preparing
  await Promise.all([inserted, joint.insert(target, toPiece(second, 2))])
  expect(await find(partitions)).toEqual({ rows: 5, parts: 1 })
})

test('whoever fails to prepare is waited for no longer', async () => {
  const partitions = newPartitions()
  const [first] = await takeAll(partitions)
  if (first === undefined) throw new Error('a partition')
  const joint = createJointInserts(opened.store)
  const failing = joint.prepare(() => Promise.reject(new Error('unreadable')))
  const inserted = joint.insert(target, toPiece(first, 1))
  await expect(failing).rejects.toThrow('unreadable')
  await inserted
  expect(await find(partitions)).toEqual({ rows: 1, parts: 1 })
})

test('more than one insert should hold is several', async () => {
  const partitions = newPartitions()
  const [first, second] = await takeAll(partitions)
  if (first === undefined || second === undefined) throw new Error('two partitions')
  const joint = createJointInserts(opened.store)
  await Promise.all([joint.insert(target, toPiece(first, 30_000)), joint.insert(target, toPiece(second, 30_000))])
  expect(await find(partitions)).toEqual({ rows: 60_000, parts: 2 })
})
