/** The part of an audit that compares entries of the log with the rows that hold their positions. */
import type { CallRecord } from '../call-record.ts'
import type { LogBatch, LogPartition, LogTopic } from '../log/call-log.ts'
import { createCallRows } from './call-rows.ts'
import { lookUpCalls } from './duplicates.ts'
import type { Store } from './open.ts'
import { TOPIC_TABLE } from './positions.ts'
import { createRejectionRows, decisionRows } from './topic-rows.ts'

/** Rows and ids of one answer: differences are the exception. */
const FOUND_MAX = 1_000

interface RowDifference {
  kind: 'lost' | 'doubled' | 'misplaced'
  offset: number
  callId: string | null
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

/** Compares a stretch of the log with the rows whose positions lie in it. */
export const auditChunk = async (store: Store, chunk: Chunk) => {
  const stored = await readPositions(store, chunk)
  const differences: RowDifference[] = []
  const absent: { offset: number; call: CallRecord | null }[] = []
  for (const { offset, value } of chunk.entries) {
    const row = stored.get(offset)
    stored.delete(offset)
    const { call, bornAtMs } = readEntry(chunk.partition.topic, value)
    const callId = call?.callId ?? null
    if (row !== undefined && row.copies > 1) {
      const message = `the position is stored ${row.copies} times`
      differences.push({ kind: 'doubled', offset, callId: row.callId, message })
    }
    if (row?.callId === callId) continue
    if (row !== undefined) {
      const message = `the log holds ${callId ?? 'no call'} here`
      differences.push({ kind: 'misplaced', offset, callId: row.callId, message })
    }
    if (bornAtMs >= chunk.keptFromMs) absent.push({ offset, call })
  }
  for (const [offset, { callId }] of stored) {
    differences.push({ kind: 'misplaced', offset, callId, message: 'the log has no entry at this position' })
  }
  const absentCalls = absent.flatMap(({ call }) => call ?? [])
  const elsewhere = await lookUpCalls(store, absentCalls)
  const lost = absent.filter(({ call }) => call === null || !elsewhere.has(call.callId))
  for (const { offset, call } of lost) {
    const message = 'the entry is not in the store'
    differences.push({ kind: 'lost', offset, callId: call?.callId ?? null, message })
  }
  return { rows: chunk.entries.length - absent.length, duplicates: absent.length - lost.length, differences }
}

/** Calls of these positions whose id is stored more than once, wherever. */
export const findDoubledIds = async (
  store: Store,
  { topic, logId, partition }: LogPartition,
  fromOffset: number,
  toOffset: number,
): Promise<{ callId: string; copies: number }[]> => {
  if (topic !== 'calls') return []
  const result = await store.client.query({
    query: `SELECT call_id, count() FROM calls
      WHERE call_id IN (
        SELECT call_id FROM calls
        WHERE log_id = {log_id:String} AND log_partition = {partition:UInt32}
          AND log_offset >= {from:UInt64} AND log_offset < {to:UInt64}
      )
      GROUP BY call_id HAVING count() > 1 LIMIT {found_max:UInt32}`,
    query_params: { log_id: logId, partition, from: fromOffset, to: toOffset, found_max: FOUND_MAX },
    format: 'JSONCompactEachRow',
  })
  return (await result.json<[string, number]>()).map(([callId, copies]) => ({ callId, copies }))
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

const callRows = createCallRows([])
const rejectionRows = createRejectionRows('rejections')

/** The call of an entry, if it is one, and the instant by which its row grows old. */
const readEntry = (topic: LogTopic, value: string): { call: CallRecord | null; bornAtMs: number } => {
  switch (topic) {
    case 'calls': {
      const call = callRows.parse(value)
      return { call, bornAtMs: call?.arrivedAtMs ?? Number.POSITIVE_INFINITY }
    }
    case 'rejections':
      return { call: null, bornAtMs: rejectionRows.parse(value)?.arrivedAtMs ?? Number.POSITIVE_INFINITY }
    case 'decisions':
      return { call: null, bornAtMs: decisionRows.parse(value)?.minuteMs ?? Number.POSITIVE_INFINITY }
    case 'control':
      return { call: null, bornAtMs: Number.POSITIVE_INFINITY }
  }
}

interface StoredPosition {
  /** `null` for rows that are no calls. */
  callId: string | null
  copies: number
}

const readPositions = async (store: Store, chunk: Chunk): Promise<Map<number, StoredPosition>> => {
  const { topic, logId, partition } = chunk.partition
  const where = `log_id = {log_id:String} AND log_partition = {partition:UInt32}
    AND log_offset >= {from:UInt64} AND log_offset < {to:UInt64}`
  const unreadable = `SELECT log_offset, NULL AS id FROM rejections WHERE log_topic = {topic:String} AND ${where}`
  const table = TOPIC_TABLE[topic]
  const readable = `SELECT log_offset, ${table === 'calls' ? 'toString(call_id)' : 'NULL'} AS id FROM ${table} WHERE ${where}`
  const result = await store.client.query({
    query: `SELECT log_offset, any(id), count()
      FROM (${table === 'rejections' ? unreadable : `${readable} UNION ALL ${unreadable}`})
      GROUP BY log_offset`,
    query_params: { topic, log_id: logId, partition, from: chunk.fromOffset, to: chunk.toOffset },
    format: 'JSONCompactEachRow',
  })
  const rows = await result.json<[number, string | null, number]>()
  return new Map(rows.map(([offset, callId, copies]) => [offset, { callId, copies }]))
}
