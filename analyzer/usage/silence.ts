/** Hours of which nothing was recorded of anybody: nobody can tell use that stopped from records that do not come. */
import type { ClickHouseClient } from '@clickhouse/client'
import { readRows } from './selection.ts'
import type { CountedBy } from './series.ts'

const HOUR_MS = 3_600_000

/** Begins of hours from `fromMs` to before `toMs`, whole hours both, in which nothing came that spends so. */
export async function readSilentHours(
  client: ClickHouseClient,
  countedBy: CountedBy,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<ReadonlySet<number>> {
  const hours = Array.from({ length: (toMs - fromMs) / HOUR_MS }, (_, hour) => fromMs + hour * HOUR_MS)
  const silent = new Set(hours)
  const params = { fromSeconds: fromMs / 1000, toSeconds: toMs / 1000 }
  for (const sql of HEARD_SQL[countedBy]) {
    await readRows<[number]>(client, sql, params, ([seconds]) => silent.delete(seconds * 1000))
  }
  return silent
}

const RECORDED_HOURS_SQL = `SELECT toUnixTimestamp(hour) FROM calls
   WHERE hour >= toDateTime({fromSeconds:UInt32}) AND hour < toDateTime({toSeconds:UInt32})
   GROUP BY hour`
const ASKED_HOURS_SQL = `SELECT DISTINCT toUnixTimestamp(toStartOfHour(minute)) FROM decisions
   WHERE minute >= toDateTime({fromSeconds:UInt32}) AND minute < toDateTime({toSeconds:UInt32})`

/** The statements that tell the hours in which something came. */
export const HEARD_SQL: Readonly<Record<CountedBy, readonly string[]>> = {
  records: [RECORDED_HOURS_SQL],
  checks: [ASKED_HOURS_SQL],
  checks_and_records: [RECORDED_HOURS_SQL, ASKED_HOURS_SQL],
}
