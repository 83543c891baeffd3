/**
 * What came into a table since it was last looked at. Every row carries its position in the log, and a partition's rows
 * are inserted in order, so what is beyond the last position is exactly what is new. A time only narrows the search to
 * the newest parts of the table.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { type QueryParams, readRows } from './selection.ts'

/** Where to look, and how much later than its neighbours in the log a row may be and still be found at once. */
const TABLES = {
  calls: { time: 'arrived_at', first: 'started_at', slackMs: 10 * 60_000 },
  decisions: { time: 'toDateTime64(minute, 3)', first: 'toDateTime64(minute, 3)', slackMs: 86_400_000 },
} as const
export type FreshTable = keyof typeof TABLES

/** How far a table was seen. */
export interface Seen {
  /** Last offset by partition of the log. */
  positions: readonly { logId: string; partition: number; offset: number }[]
  /** The newest row's time (arrival of a call, minute of a decision), Unix milliseconds; 0 while there is none. */
  newestAtMs: number
}

export interface Fresh {
  /** The earliest held instant that the new rows are about: start of a call, minute of a decision. Unix milliseconds. */
  fromMs: number
  /** A condition over the table that holds for the new rows and no others, and its parameters. */
  condition: Condition
}

export interface Condition {
  sql: string
  params: QueryParams
}

type FreshRow = [logId: string, partition: number, offset: number, firstMs: number | null, newestMs: number]

export interface FreshAsk {
  seen: Seen | null
  nowMs: number
  /** What is about an earlier instant concerns nobody; 0 when absent. */
  heldFromMs?: number
}

/**
 * Finds what is beyond `seen` (`null`: never looked at before); `fresh` is `null` when there is nothing. What a clock gone
 * wrong dated ahead of `nowMs`, be it our own before it was set back, does not make all that follows look old; nor does what
 * it dated before `heldFromMs` make the new rows be about all that is held.
 */
export async function readFresh(
  client: ClickHouseClient,
  table: FreshTable,
  { seen, nowMs, heldFromMs = 0 }: FreshAsk,
): Promise<{ seen: Seen; fresh: Fresh | null }> {
  const { positions: known, newestAtMs: knownAtMs } = seen ?? { positions: [], newestAtMs: 0 }
  let newestAtMs = Math.min(nowMs, knownAtMs)
  const beyond = seen === null ? newest(table, nowMs) : beyondSeen(table, { positions: known, newestAtMs })
  const found: { logId: string; partition: number; offset: number }[] = []
  let fromMs = Number.POSITIVE_INFINITY
  await readRows<FreshRow>(client, freshSql(table, beyond.sql), { ...beyond.params, heldFromMs }, row => {
    const [logId, partition, offset, firstMs, newestMs] = row
    found.push({ logId, partition, offset })
    fromMs = Math.min(fromMs, firstMs ?? nowMs)
    newestAtMs = Math.max(newestAtMs, Math.min(nowMs, newestMs))
  })
  if (found.length === 0) return { seen: { positions: known, newestAtMs }, fresh: null }
  const isFound = (at: Seen['positions'][number]) =>
    found.some(({ logId, partition }) => logId === at.logId && partition === at.partition)
  const now: Seen = { positions: [...found, ...known.filter(position => !isFound(position))], newestAtMs }
  const within = atMost(now.positions, 'seen')
  const condition = { sql: `${beyond.sql} AND ${within.sql}`, params: { ...beyond.params, ...within.params } }
  return { seen: now, fresh: { fromMs, condition } }
}

/** The positions and bounds of the rows for which `condition` holds. */
export const freshSql = (table: FreshTable, condition: string): string =>
  `SELECT toString(log_id), log_partition, max(log_offset),
     minOrNullIf(toUnixTimestamp64Milli(${TABLES[table].first}) AS first, first >= {heldFromMs:Int64}),
     toUnixTimestamp64Milli(max(${TABLES[table].time}))
   FROM ${table}
   WHERE ${condition}
   GROUP BY log_id, log_partition`

/** Holds for every row but those that the next look will find: whatever was seen, and what is too old to be new. */
export function notFresh(table: FreshTable, seen: Seen): Condition {
  const { sql, params } = beyondSeen(table, seen)
  return { sql: `NOT (${sql})`, params }
}

/** At first only the newest rows are looked at: what is older is read completely anyway. */
function newest(table: FreshTable, nowMs: number): Condition {
  const { time, slackMs } = TABLES[table]
  const newestAt = `least((SELECT max(${time}) FROM ${table}), fromUnixTimestamp64Milli({nowMs:Int64}))`
  return { sql: `${time} >= ${newestAt} - toIntervalMillisecond({slackMs:UInt32})`, params: { slackMs, nowMs } }
}

function beyondSeen(table: FreshTable, seen: Seen): Condition {
  const { time, slackMs } = TABLES[table]
  const known = atMost(seen.positions, 'known')
  return {
    sql: `${time} >= fromUnixTimestamp64Milli({freshFromMs:Int64}) AND NOT ${known.sql}`,
    params: { ...known.params, freshFromMs: Math.max(0, seen.newestAtMs - slackMs) },
  }
}

function atMost(positions: Seen['positions'], prefix: string): Condition {
  const params: QueryParams = {}
  const each = positions.map(({ logId, partition, offset }, index) => {
    params[`${prefix}Log${index}`] = logId
    params[`${prefix}Partition${index}`] = partition
    params[`${prefix}Offset${index}`] = offset
    return (
      `(log_id = {${prefix}Log${index}:String} AND log_partition = {${prefix}Partition${index}:UInt32} ` +
      `AND log_offset <= {${prefix}Offset${index}:UInt64})`
    )
  })
  return { sql: each.length === 0 ? '0' : `(${each.join(' OR ')})`, params }
}
