import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { LogPartition } from '../../../collector/log/call-log.ts'
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
  const batch = { partition, fence, entries, isAlone: false }
  expect(await newStoreEntries()({ ...batch, stored: new Set() })).toEqual({ rows: 2, duplicates: 1, unreadable: 0 })
  // The acknowledgement was lost: whoever tries again knows the stored positions, not the ids.
  const again = await newStoreEntries()({ ...batch, stored: new Set([0, 1]) })
  expect(again).toEqual({ rows: 0, duplicates: 1, unreadable: 0 })
  expect(await opened.rows('SELECT count() AS rows FROM calls')).toEqual([{ rows: 2 }])
})

test('of a batch that is stored in part, the rest is stored', async () => {
  const entries = toEntries([makeCall(), makeCall(), makeCall()])
  const counts = await newStoreEntries()({ partition, fence, entries, stored: new Set([1]), isAlone: true })
  expect(counts).toEqual({ rows: 2, duplicates: 0, unreadable: 0 })
})

test('a partition that was lost holds up the others that shared its insert only once', async () => {
  const [lost, kept] = [1, 2].map(number => ({ ...partition, logId: randomUUID(), partition: number }))
  if (lost === undefined || kept === undefined) throw new Error('two partitions')
  const batches = await Promise.all(
    [lost, kept].map(async held => ({
      partition: held,
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
