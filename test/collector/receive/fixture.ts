/** A real embedded log in a folder of its own, and what it holds. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import type { CallRecord, Rejection } from '../../../collector/call-record.ts'
import type { CallLog, EmbeddedLogOptions, LogTopic } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'

export const logger = pino({ level: 'silent' })
const READ_ENTRIES = 100_000

export interface TestLog {
  dir: string
  log: CallLog
  calls(): Promise<CallRecord[]>
  rejections(): Promise<Rejection[]>
  close(): Promise<void>
}

export async function openTestLog(options: Partial<EmbeddedLogOptions> = {}): Promise<TestLog> {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-receive-'))
  const log = await openCallLog(
    { kind: 'embedded', retentionSeconds: 3600, sizeBytesMax: 2 ** 30, ...options },
    {
      dir: join(dir, 'log'),
      log: logger,
      onLoss: loss => {
        throw new Error(JSON.stringify(loss))
      },
    },
  )
  return {
    dir,
    log,
    calls: async () => (await entriesOf(log, 'calls')) as CallRecord[],
    rejections: async () => (await entriesOf(log, 'rejections')) as Rejection[],
    async close() {
      await log.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function entriesOf(log: CallLog, topic: LogTopic): Promise<unknown[]> {
  const values: unknown[] = []
  for (const { partition, beginOffset, endOffset } of await log.partitions(topic)) {
    for (let offset = beginOffset; offset < endOffset; ) {
      const batch = await log.read(topic, partition, offset, READ_ENTRIES)
      for (const { value } of batch.entries) values.push(JSON.parse(value))
      offset = batch.nextOffset
    }
  }
  return values
}
