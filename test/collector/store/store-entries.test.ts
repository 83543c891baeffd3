import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import { type LogPartition, partitionOf } from '../../../collector/log/call-log.ts'
import { createDuplicates } from '../../../collector/store/duplicates.ts'
import { type Fence, takeFence } from '../../../collector/store/fence.ts'
import { createStoreEntries } from '../../../collector/store/store-entries.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { makeCall } from './make-call.ts'

const partition: LogPartition = { topic: 'calls', logId: randomUUID(), partition: 0 }
let opened: TestStore
let fence: Fence

beforeAll(async () => {
  opened = await openTestStore()
  fence = await takeFence(opened.store, partition)
})
afterAll(() => opened?.close())

const newStoreEntries = () => {
  const { store } = opened
  const duplicates = {
    calls: createDuplicates({ store, table: 'calls', bytesMax: 2 ** 20 }),
    decisions: createDuplicates({ store, table: 'decisions', bytesMax: 2 ** 20 }),
  }
  return createStoreEntries({ store, duplicates, labelColumns: [], now: Date.now })
}
const toEntries = (calls: CallRecord[]) => calls.map((call, offset) => ({ offset, value: JSON.stringify(call) }))

test('a call that came twice in a batch is not stored again when the batch is, after an unclear outcome', async () => {
  const [first, second] = [makeCall(), makeCall()]
  const entries = toEntries([first, second, first])
  const batch = { partition, partitions: 1, fence, entries, isAlone: false }
  expect(await newStoreEntries()({ ...batch, stored: new Set() })).toEqual({ rows: 2, duplicates: 1, unreadable: 0 })
  // The acknowledgement was lost: whoever tries again knows the stored positions, not the ids.
  const again = await newStoreEntries()({ ...batch, stored: new Set([0, 1]) })
  expect(again).toEqual({ rows: 0, duplicates: 1, unreadable: 0 })
  expect(await opened.rows('SELECT count() AS rows FROM calls')).toEqual([{ rows: 2 }])
})

test('of a batch that is stored in part, the rest is stored', async () => {
  const entries = toEntries([makeCall(), makeCall(), makeCall()])
  const counts = await newStoreEntries()({
    partition,
    partitions: 1,
    fence,
    entries,
    stored: new Set([1]),
    isAlone: true,
  })
  expect(counts).toEqual({ rows: 2, duplicates: 0, unreadable: 0 })
})

test('a call that is read where its id does not lead is looked for in what others have stored', async () => {
  let call = makeCall()
  while (partitionOf(call.callId, 2) === 0) call = makeCall()
  const [elsewhere, here] = [1, 0].map(number => ({ ...partition, logId: randomUUID(), partition: number }))
  if (elsewhere === undefined || here === undefined) throw new Error('two partitions')
  const store = async (read: LogPartition) => {
    const taken = await takeFence(opened.store, read)
    const entries = toEntries([call])
    return newStoreEntries()({
      partition: read,
      partitions: 2,
      fence: taken,
      entries,
      stored: new Set(),
      isAlone: true,
    })
  }
  expect(await store(elsewhere)).toEqual({ rows: 1, duplicates: 0, unreadable: 0 })
  expect(await store(here)).toEqual({ rows: 0, duplicates: 1, unreadable: 0 })
})

test('a partition that was lost holds up the others that shared its insert only once', async () => {
  const [lost, kept] = [1, 2].map(number => ({ ...partition, logId: randomUUID(), partition: number }))
  if (lost === undefined || kept === undefined) throw new Error('two partitions')
  const batches = await Promise.all(
    [lost, kept].map(async held => ({
      partition: held,
      partitions: 3,
      fence: await takeFence(opened.store, held),
      entries: toEntries([makeCall()]),
      stored: new Set<number>(),
    })),
  )
  await takeFence(opened.store, lost)
  const storeEntries = newStoreEntries()
  const storeBoth = (isAlone: boolean) =>
    Promise.all(batches.map(batch => storeEntries({ ...batch, isAlone }).catch(({ code }: { code: string }) => code)))
  expect(await storeBoth(false)).toEqual(['STORE_FENCED', 'STORE_FENCED'])
  expect(await storeBoth(true)).toEqual(['STORE_FENCED', { rows: 1, duplicates: 0, unreadable: 0 }])
})
