import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { startFold } from '../../../analyzer/control/fold.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { silent } from '../limit/call-records.ts'

test('of a log that is slow to fail no readings pile up, so that a close waits for one at most', async () => {
  const read = vi.fn(async () => {
    await sleep(300)
    throw new Error('away')
  })
  const log: Pick<CallLog, 'read'> = { read }
  const fold = await startFold({ log: log as CallLog, logger: silent, onChange: () => undefined })
  const asked = Array.from({ length: 50 }, () => fold.refresh())
  await sleep(100)
  await fold.close()
  await Promise.all(asked)
  expect(read.mock.calls.length).toBeLessThanOrEqual(2)
  expect(fold.unavailable()).toBe('away')
})
