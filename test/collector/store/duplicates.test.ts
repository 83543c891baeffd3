import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createDuplicates } from '../../../collector/store/duplicates.ts'
import type { Store } from '../../../collector/store/open.ts'

test('ids are read once for all partitions that are assigned together, and again for one that comes later', async () => {
  const query = vi.fn(async () => {
    await sleep(1)
    return { json: async () => [], stream: async function* () {} }
  })
  const store = { client: { query } } as unknown as Store
  const duplicates = createDuplicates({ store, table: 'calls', bytesMax: 1_000 })
  const first = duplicates.fill()
  await vi.waitFor(() => expect(query).toHaveBeenCalled())
  await Promise.all([first, ...Array.from({ length: 24 }, () => duplicates.fill())])
  // A filling that has begun may have been too early for those who asked after it.
  expect(query).toHaveBeenCalledTimes(4)
  await duplicates.fill()
  expect(query).toHaveBeenCalledTimes(6)
})
