/** How late calls arrive: they are logged when they end, so the newest are not there yet. */
import type { ClickHouseClient } from '@clickhouse/client'
import { readRows, type Selection } from './selection.ts'

/** What is older says nothing of how late calls are now. */
const LOOK_BACK_MS = 6 * 3_600_000

/**
 * How many of the calls that arrived within the last of `edgesMs` (ascending) arrived within each of them, of those that
 * began in the last hours; so early that all of them have had the time.
 */
export async function readLateness(
  client: ClickHouseClient,
  selection: Selection,
  nowMs: number,
  edgesMs: readonly number[],
): Promise<number[]> {
  let within: number[] = []
  const toMs = nowMs - (edgesMs.at(-1) ?? 0)
  const params = { ...selection.match.params, fromMs: toMs - LOOK_BACK_MS, toMs, ...edgeParams(edgesMs) }
  await readRows<[string[]]>(client, latenessSql(selection, edgesMs.length), params, ([counts]) => {
    within = counts.map(Number)
  })
  return within
}

/** Calls by lateness, from the calls of the last hours. */
const latenessSql = ({ match }: Selection, edges: number): string =>
  `SELECT [${Array.from({ length: edges }, (_, edge) => `countIf(late < {edge${edge}:Int64})`).join(', ')}]
   FROM (SELECT toUnixTimestamp64Milli(arrived_at) - toUnixTimestamp64Milli(started_at) AS late
     FROM calls
     WHERE started_at >= fromUnixTimestamp64Milli({fromMs:Int64}) AND started_at < fromUnixTimestamp64Milli({toMs:Int64})
       AND ${match.sql})`

const edgeParams = (edgesMs: readonly number[]): Record<string, number> =>
  Object.fromEntries(edgesMs.map((edgeMs, edge) => [`edge${edge}`, edgeMs]))
