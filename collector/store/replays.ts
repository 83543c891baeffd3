/** Rejections as a replay reads them: oldest first, whole ones only, each once. What it has settled is remembered. */
import type { KeptInput } from '../call-record.ts'
import type { Store } from './open.ts'
import { decodeCursor, encodeCursor, type RejectionFilter, rejectionConditions } from './rejections.ts'

export interface KeptInputsQuery extends RejectionFilter {
  /** From the page before, `null` for the first. */
  cursor: string | null
  limit: number
}

interface Row {
  callId: string
  arrivedAtMs: number
  gateway: string
  dialect: string
  input: string
  source: string
  restriction: string
  shiftMs: number
  fileStem: string
  columns: string[]
  logTopic: string
  logOffset: number
}

const SELECT_SQL = `
  SELECT call_id AS callId, toUnixTimestamp64Milli(arrived_at) AS arrivedAtMs, gateway, dialect, input, source,
    restriction, shift_ms AS shiftMs, file_stem AS fileStem, columns, log_topic AS logTopic, log_offset AS logOffset
  FROM rejections`
const AFTER_SQL =
  "(arrived_at, call_id, log_topic, log_offset) > (fromUnixTimestamp64Milli({atMs:Int64}, 'UTC'), {callId:String}, {logTopic:String}, {logOffset:UInt64})"
const ORDER_SQL = `
  ORDER BY arrived_at, call_id, log_topic, log_offset
  LIMIT 1 BY call_id
  LIMIT {limit:UInt32}`

/** A page of them. Throws `CursorError`, and what the store's client throws when the store is away. */
export async function readKeptInputs(
  store: Store,
  query: KeptInputsQuery,
): Promise<{ inputs: KeptInput[]; nextCursor: string | null }> {
  const { tenant, source, reason, limit } = query
  const [atMs, callId, logTopic, logOffset] = query.cursor === null ? [0, '', '', 0] : decodeCursor(query.cursor)
  const conditions = [...rejectionConditions(query), 'is_whole', AFTER_SQL]
  const result = await store.client.query({
    query: `${SELECT_SQL} WHERE ${conditions.join(' AND ')}${ORDER_SQL}`,
    query_params: { tenant, source, reason, limit, atMs, callId, logTopic, logOffset },
    format: 'JSONEachRow',
  })
  const rows = await result.json<Row>()
  const last = rows.length < limit ? undefined : rows.at(-1)
  return {
    inputs: rows.map(toKeptInput),
    nextCursor:
      last === undefined ? null : encodeCursor([last.arrivedAtMs, last.callId, last.logTopic, last.logOffset]),
  }
}

const toKeptInput = ({ callId, gateway, restriction, fileStem, columns, ...row }: Row): KeptInput => ({
  ...{ callId, input: row.input, source: row.source, dialect: row.dialect, shiftMs: row.shiftMs },
  gateway: gateway || null,
  restriction: restriction || null,
  fileStem: fileStem || null,
  columns: columns.length === 0 ? null : columns,
})

/** From now on these are no rejections any more. To be called when their calls are durable. */
export async function markReplayed(store: Store, callIds: readonly string[]): Promise<void> {
  if (callIds.length === 0) return
  await store.client.insert({
    table: 'replays',
    values: callIds.map(callId => [callId]),
    columns: ['call_id'],
    format: 'JSONCompactEachRow',
    clickhouse_settings: { async_insert: 0 },
  })
}
