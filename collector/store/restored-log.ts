/** Whether the log is the one that was stored: one that was restored to an earlier state gives offsets out twice. */
import type { CallLog, LogPartition } from '../log/call-log.ts'
import { auditChunk } from './audit-rows.ts'
import type { Store } from './open.ts'

/**
 * Rows of entries that the log does not have. The end is asked for after the rows: until the fence stood, another writer
 * may have gone on with both.
 */
export const isBeyondEnd = async (log: CallLog, { topic, logId, partition }: LogPartition, storedEnd: number) => {
  const now = (await log.partitions(topic)).find(other => other.partition === partition)
  return now?.logId === logId && storedEnd > now.endOffset
}

/** Another entry where a row says that it came from: the log was restored, and has grown beyond what is stored. */
export const hasOtherEntry = async (
  { log, store }: { log: CallLog; store: Store },
  partition: LogPartition,
  offset: number,
): Promise<boolean> => {
  if (offset < 0) return false
  const batch = await log.read(partition.topic, partition.partition, offset, 1)
  const entries = batch.entries.filter(entry => entry.offset === offset)
  // It was trimmed, or the log was replaced this moment.
  if (entries.length === 0 || batch.logId !== partition.logId) return false
  const asked = { partition, fromOffset: offset, toOffset: offset + 1, entries, keptFromMs: Number.POSITIVE_INFINITY }
  const { differences } = await auditChunk(store, asked)
  return differences.some(({ kind }) => kind === 'misplaced')
}
