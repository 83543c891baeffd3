/** Which positions of the log are stored: what a writer reads back before it inserts what is missing. */
import type { LogPartition, LogTopic } from '../log/call-log.ts'
import type { Store } from './open.ts'
import type { StoreTables } from './tables.ts'

/** Where the entries of a topic go; those that nobody can read go to `rejections`. */
export const TOPIC_TABLE = {
  calls: 'calls',
  rejections: 'rejections',
  decisions: 'decisions',
  control: 'audit',
} as const satisfies Record<LogTopic, keyof StoreTables>

/** One past the highest stored offset of a partition, 0 when nothing of it is stored. */
export const readStoredEnd = async (store: Store, partition: LogPartition): Promise<number> => {
  const result = await store.client.query({
    query: `SELECT if(count() = 0, 0, max(log_offset) + 1) FROM (${selectOffsets(partition.topic, '')})`,
    query_params: toParams(partition),
    format: 'JSONCompactEachRow',
  })
  const [[end] = [0]] = await result.json<[number]>()
  return end
}

/** The stored offsets of [`fromOffset`, `toOffset`). */
export const readStoredOffsets = async (
  store: Store,
  partition: LogPartition,
  fromOffset: number,
  toOffset: number,
): Promise<Set<number>> => {
  const result = await store.client.query({
    query: selectOffsets(partition.topic, 'AND log_offset >= {from:UInt64} AND log_offset < {to:UInt64}'),
    query_params: { ...toParams(partition), from: fromOffset, to: toOffset },
    format: 'JSONCompactEachRow',
  })
  return new Set((await result.json<[number]>()).map(([offset]) => offset))
}

const toParams = ({ topic, logId, partition }: LogPartition) => ({ topic, log_id: logId, partition })

const selectOffsets = (topic: LogTopic, condition: string): string => {
  const where = `log_id = {log_id:String} AND log_partition = {partition:UInt32} ${condition}`
  const unreadable = `SELECT log_offset FROM rejections WHERE log_topic = {topic:String} AND ${where}`
  const table = TOPIC_TABLE[topic]
  return table === 'rejections' ? unreadable : `SELECT log_offset FROM ${table} WHERE ${where} UNION ALL ${unreadable}`
}
