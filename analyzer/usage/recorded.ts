/**
 * What the store holds of a window, or of the slots of a sliding one, at given positions of the log: the other side of
 * the limiter's counters. Rows beyond the positions are left out, so that records under way are no difference.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { LIMITED, listed, type QueryParams, readRows, type Selection, type SubjectValues, spends } from './selection.ts'
import { UNIT_SQL } from './units.ts'

/** Rows of one partition of one life of the log, `afterOffset` < offset ≤ `toOffset`. */
export interface RecordedRange {
  readonly logId: string
  readonly partition: number
  readonly afterOffset: number
  readonly toOffset: number
}

export interface RecordedQuery extends Selection {
  readonly startMs: number
  readonly endMs: number
  /** Costs are told apart by the steps from `startMs` in which their calls began. */
  readonly stepMs: number
  readonly ranges: readonly RecordedRange[]
  /** Rows of other lives of the log too. */
  readonly isWhole: boolean
  /** Calls of these subjects that began before are left out. */
  readonly resets: readonly { readonly subject: SubjectValues; readonly sinceMs: number }[]
  /** Only what spends, when absent; else all records of checks, also where a limit of the gateway then refused the call. */
  readonly isOfChecks?: boolean
}

export interface RecordedCost {
  readonly subject: SubjectValues
  readonly gateway: string
  /** Begin of the step. */
  readonly startMs: number
  readonly amount: number
}

const DAY_MS = 86_400_000

/** The store surely holds what arrived since; older rows drop by whole days. */
export const recordedSinceMs = (nowMs: number): number => nowMs - (CALLS_RETENTION_DAYS - 1) * DAY_MS

/** Costs by subject, gateway and step. Rejects when the store does not answer. */
export async function readRecorded(client: ClickHouseClient, query: RecordedQuery): Promise<RecordedCost[]> {
  const { columns, match, startMs, endMs, stepMs } = query
  const within = rangesSql(query)
  const later = resetsSql(query)
  const costs: RecordedCost[] = []
  await readRows<[...string[], number, number]>(
    client,
    `SELECT ${listed(columns)}gateway,
       intDiv(toUnixTimestamp64Milli(started_at) - {startMs:Int64}, {stepMs:Int64}) AS step,
       ${UNIT_SQL[query.unit].sum} AS units
     FROM calls
     WHERE started_at >= fromUnixTimestamp64Milli({startMs:Int64})
       AND started_at < fromUnixTimestamp64Milli({endMs:Int64})
       AND ${query.isOfChecks ? ofChecks(query) : spends(query)}
       AND (${within.sql})${later.sql}
     GROUP BY ${listed(columns)}gateway, step`,
    { ...match.params, ...within.params, ...later.params, startMs, endMs, stepMs },
    row => {
      const gateway = String(row[columns.length])
      const stepStartMs = startMs + Number(row.at(-2)) * stepMs
      const subject = row.slice(0, columns.length) as string[]
      costs.push({ subject, gateway, startMs: stepStartMs, amount: Number(row.at(-1)) })
    },
  )
  return costs
}

/** A refused call names its check only where it passed that. */
const ofChecks = ({ match }: Selection) => `${match.sql} AND NOT (${LIMITED} AND decision_id = '')`

/** True when the store holds the row at this position or a later one of the same partition. */
export async function isRecordedUpTo(
  client: ClickHouseClient,
  position: { logId: string; partition: number; offset: number },
): Promise<boolean> {
  let isThere = false
  await readRows(
    client,
    `SELECT 1 FROM calls
     WHERE log_id = {logId:String} AND log_partition = {partition:UInt32} AND log_offset >= {offset:UInt64}
     LIMIT 1`,
    { ...position },
    () => {
      isThere = true
    },
  )
  return isThere
}

/** A subject without a reset is at no place in the list, where the instant is 0. */
function resetsSql({ resets, columns }: RecordedQuery): { sql: string; params: QueryParams } {
  if (resets.length === 0) return { sql: '', params: {} }
  return {
    sql: `
       AND toUnixTimestamp64Milli(started_at) >= {resetsMs:Array(Int64)}[
         indexOf({resetSubjects:Array(Array(String))}, CAST([${columns.join(', ')}], 'Array(String)'))]`,
    params: {
      resetSubjects: resets.map(({ subject }) => [...subject]),
      resetsMs: resets.map(({ sinceMs }) => sinceMs),
    },
  }
}

function rangesSql({ ranges, isWhole }: RecordedQuery): { sql: string; params: QueryParams } {
  const params: QueryParams = {}
  const any = ranges.map(({ logId, partition, afterOffset, toOffset }, index) => {
    params[`log_${index}`] = logId
    params[`partition_${index}`] = partition
    params[`after_${index}`] = afterOffset
    params[`to_${index}`] = toOffset
    return `(log_id = {log_${index}:String} AND log_partition = {partition_${index}:UInt32}
       AND log_offset > {after_${index}:Int64} AND log_offset <= {to_${index}:Int64})`
  })
  if (isWhole) {
    params.logs = [...new Set(ranges.map(({ logId }) => logId))]
    any.push('log_id NOT IN {logs:Array(String)}')
  }
  return { sql: any.length === 0 ? '0' : any.join(' OR '), params }
}
