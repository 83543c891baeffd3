/**
 * What was used between two instants, exactly, to the millisecond: complete hours from the hourly projection, the ragged
 * edges from the calls themselves.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { keyOfSubject, listed, readRows, type Selection, spends } from './selection.ts'
import { UNIT_SQL } from './units.ts'

const HOUR_MS = 3_600_000

/** Units that each subject used in `[fromMs, toMs)`, by `keyOfSubject`; absent is none. */
export async function readUsage(
  client: ClickHouseClient,
  selection: Selection,
  fromMs: number,
  toMs: number,
): Promise<Map<string, number>> {
  const usage = new Map<string, number>()
  if (fromMs >= toMs) return usage
  const add = (row: [...string[], number]) => {
    const key = keyOfSubject(row.slice(0, -1) as string[])
    usage.set(key, (usage.get(key) ?? 0) + Number(row.at(-1)))
  }
  const firstHourMs = Math.ceil(fromMs / HOUR_MS) * HOUR_MS
  const lastHourMs = Math.floor(toMs / HOUR_MS) * HOUR_MS
  if (firstHourMs >= lastHourMs) {
    await readRows(client, rawUsageSql(selection), params(selection, fromMs, toMs), add)
    return usage
  }
  await readRows(client, hourlyUsageSql(selection), params(selection, firstHourMs, lastHourMs), add)
  if (fromMs < firstHourMs) await readRows(client, rawUsageSql(selection), params(selection, fromMs, firstHourMs), add)
  if (lastHourMs < toMs) await readRows(client, rawUsageSql(selection), params(selection, lastHourMs, toMs), add)
  return usage
}

/** Sums of complete hours; filters and groups on nothing but the projection's keys. */
export const hourlyUsageSql = (selection: Selection): string =>
  `SELECT ${listed(selection.columns)}${UNIT_SQL[selection.unit].sum} AS units
   FROM calls
   WHERE hour >= toDateTime(intDiv({fromMs:Int64}, 1000)) AND hour < toDateTime(intDiv({toMs:Int64}, 1000))
     AND ${spends(selection)}
   ${grouped(selection)}`

/** Sums of anything, read from the calls. */
export const rawUsageSql = (selection: Selection): string =>
  `SELECT ${listed(selection.columns)}${UNIT_SQL[selection.unit].sum} AS units
   FROM calls
   WHERE started_at >= fromUnixTimestamp64Milli({fromMs:Int64}) AND started_at < fromUnixTimestamp64Milli({toMs:Int64})
     AND ${spends(selection)}
   ${grouped(selection)}`

/** Without dimensions there is one row, also when nothing was used. */
const grouped = ({ columns }: Selection): string => (columns.length === 0 ? '' : `GROUP BY ${columns.join(', ')}`)

const params = (selection: Selection, fromMs: number, toMs: number) => ({ ...selection.match.params, fromMs, toMs })
