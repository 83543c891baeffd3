/** The part of an audit that compares entries of the log with the rows that hold their positions. */
import type { LogBatch, LogPartition, LogTopic } from '../log/call-log.ts'
import { isSnapshotPiece, parseControlChange } from '../log/control-change.ts'
import { createCallRows } from './call-rows.ts'
import { ID_TABLES, type IdTable, lookUpIds } from './duplicates.ts'
import type { Store } from './open.ts'
import { TOPIC_TABLE } from './positions.ts'
import { createRejectionRows, decisionRows, type RowKey } from './topic-rows.ts'

/** Rows and ids of one answer: differences are the exception. */
const FOUND_MAX = 1_000

interface RowDifference {
  kind: 'lost' | 'doubled' | 'misplaced'
  offset: number
  id: string | null
  message: string
}

interface Chunk {
  partition: LogPartition
  fromOffset: number
  toOffset: number
  entries: LogBatch['entries']
  /** What is older may have left the store by age. */
  keptFromMs: number
}

/** Compares a stretch of the log with the rows whose positions lie in it. Pieces of snapshots have none. */
export const auditChunk = async (store: Store, chunk: Chunk) => {
  const stored = await readPositions(store, chunk)
  const { topic } = chunk.partition
  const entries = chunk.entries.filter(({ value }) => topic !== 'control' || !isSnapshotPiece(value))
  const differences: RowDifference[] = []
  const absent: { offset: number; key: RowKey | null }[] = []
  for (const { offset, value } of entries) {
    const row = stored.get(offset)
    stored.delete(offset)
    const { key, bornAtMs } = readEntry(topic, value)
    const id = key?.id ?? null
    if (row !== undefined && row.copies > 1) {
      const message = `the position is stored ${row.copies} times`
      differences.push({ kind: 'doubled', offset, id: row.id, message })
    }
    if (row?.id === id) continue
    if (row !== undefined) {
      const message = `the log holds ${id ?? 'nothing that has an id'} here`
      differences.push({ kind: 'misplaced', offset, id: row.id, message })
    }
    if (bornAtMs >= chunk.keptFromMs) absent.push({ offset, key })
  }
  for (const [offset, { id }] of stored) {
    differences.push({ kind: 'misplaced', offset, id, message: 'the log has no entry at this position' })
  }
  const table = ID_TABLE[topic]
  const absentKeys = absent.flatMap(({ key }) => key ?? [])
  const elsewhere = table === null ? new Set() : await lookUpIds(store, table, absentKeys)
  const lost = absent.filter(({ key }) => key === null || !elsewhere.has(key.id))
  for (const { offset, key } of lost) {
    const message = 'the entry is not in the store'
    differences.push({ kind: 'lost', offset, id: key?.id ?? null, message })
  }
  return { rows: entries.length - absent.length, duplicates: absent.length - lost.length, differences }
}

/** Ids of these positions that are stored more than once, wherever. */
export const findDoubledIds = async (
  store: Store,
  { topic, logId, partition }: LogPartition,
  fromOffset: number,
  toOffset: number,
): Promise<{ id: string; copies: number }[]> => {
  const table = ID_TABLE[topic]
  if (table === null) return []
  const column = ID_TABLES[table].id
  const result = await store.client.query({
    query: `SELECT ${column}, count() FROM ${table}
      WHERE ${column} IN (
        SELECT ${column} FROM ${table}
        WHERE log_id = {log_id:String} AND log_partition = {partition:UInt32}
          AND log_offset >= {from:UInt64} AND log_offset < {to:UInt64}
      )
      GROUP BY ${column} HAVING count() > 1 LIMIT {found_max:UInt32}`,
    query_params: { log_id: logId, partition, from: fromOffset, to: toOffset, found_max: FOUND_MAX },
    format: 'JSONCompactEachRow',
  })
  return (await result.json<[string, number]>()).map(([id, copies]) => ({ id, copies }))
}

/** Positions at or above `fromOffset` that rows of this life of the log claim to have. */
export const findRowsBeyond = async (
  store: Store,
  { topic, logId, partition }: LogPartition,
  fromOffset: number,
): Promise<number[]> => {
  const result = await store.client.query({
    query: `SELECT log_offset FROM ${TOPIC_TABLE[topic]}
      WHERE log_id = {log_id:String} AND log_partition = {partition:UInt32} AND log_offset >= {from:UInt64}
      ORDER BY log_offset DESC LIMIT {found_max:UInt32}`,
    query_params: { log_id: logId, partition, from: fromOffset, found_max: FOUND_MAX },
    format: 'JSONCompactEachRow',
  })
  return (await result.json<[number]>()).map(([offset]) => offset)
}

/** Where the entries of a topic that have ids are rows. */
const ID_TABLE: Record<LogTopic, IdTable | null> = {
  calls: 'calls',
  decisions: 'decisions',
  rejections: null,
  control: null,
}
const callRows = createCallRows([])
const rejectionRows = createRejectionRows('rejections')

/** What an entry is recognized by, if by anything, and the instant by which its row grows old. */
const readEntry = (topic: LogTopic, value: string): { key: RowKey | null; bornAtMs: number } => {
  switch (topic) {
    case 'calls': {
      const call = callRows.parse(value)
      return { key: call && callRows.keyOf(call), bornAtMs: call?.arrivedAtMs ?? Number.POSITIVE_INFINITY }
    }
    case 'rejections':
      return { key: null, bornAtMs: rejectionRows.parse(value)?.arrivedAtMs ?? Number.POSITIVE_INFINITY }
    case 'decisions': {
      const sums = decisionRows.parse(value)
      return { key: sums && decisionRows.keyOf(sums), bornAtMs: sums?.minuteMs ?? Number.POSITIVE_INFINITY }
    }
    case 'control':
      return { key: null, bornAtMs: parseControlChange(value)?.atMs ?? Number.POSITIVE_INFINITY }
  }
}

interface StoredPosition {
  /** `null` for rows that have none. */
  id: string | null
  copies: number
}

const readPositions = async (store: Store, chunk: Chunk): Promise<Map<number, StoredPosition>> => {
  const { topic, logId, partition } = chunk.partition
  const where = `log_id = {log_id:String} AND log_partition = {partition:UInt32}
    AND log_offset >= {from:UInt64} AND log_offset < {to:UInt64}`
  const unreadable = `SELECT log_offset, NULL AS id FROM rejections WHERE log_topic = {topic:String} AND ${where}`
  const table = TOPIC_TABLE[topic]
  const idTable = ID_TABLE[topic]
  const id = idTable === null ? 'NULL' : `toString(${ID_TABLES[idTable].id})`
  const readable = `SELECT log_offset, ${id} AS id FROM ${table} WHERE ${where}`
  const result = await store.client.query({
    query: `SELECT log_offset, any(id), count()
      FROM (${table === 'rejections' ? unreadable : `${readable} UNION ALL ${unreadable}`})
      GROUP BY log_offset`,
    query_params: { topic, log_id: logId, partition, from: chunk.fromOffset, to: chunk.toOffset },
    format: 'JSONCompactEachRow',
  })
  const rows = await result.json<[number, string | null, number]>()
  return new Map(rows.map(([offset, id, copies]) => [offset, { id, copies }]))
}
