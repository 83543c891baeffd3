/** Alerts that are over, as the audit has them: what holds now knows none of them any more. */
import type { ClickHouseClient } from '@clickhouse/client'
import { type QueryParams, readRows } from './selection.ts'

/** Of an alert that lasted longer, the begin is not found. */
const LASTING_MS_MAX = 30 * 86_400_000

export interface EndedAlertsAsk {
  /** Ended then or later, Unix milliseconds. */
  fromMs: number
  /** Each of them `null` for any. */
  quota: string | null
  tenant: string | null
  rowsMax: number
}

/** One time that an alert was there. */
export interface EndedAlertRow {
  key: string
  /** What was known last, as JSON. */
  value: string
  /** When the last channel knew, or nobody had to. Unix milliseconds. */
  closedAtMs: number
  /** Channels that were told something of it. */
  told: string[]
}

/** The newest first. Throws what the store's client throws. */
export async function readEndedAlerts(client: ClickHouseClient, ask: EndedAlertsAsk): Promise<EndedAlertRow[]> {
  const { fromMs, rowsMax } = ask
  const filters: QueryParams = {}
  for (const name of ['quota', 'tenant'] as const) {
    const value = ask[name]
    if (value !== null) filters[name] = value
  }
  const params = { ...filters, fromMs, beginMs: Math.max(0, fromMs - LASTING_MS_MAX), rowsMax }
  const found: EndedAlertRow[] = []
  await readRows<[string, string, number, string[]]>(
    client,
    endedAlertsSql(Object.keys(filters)),
    params,
    ([key, value, closedAtMs, told]) => {
      found.push({ key, value, closedAtMs, told })
    },
  )
  return found
}

/**
 * The statement of `readEndedAlerts`; each filter is a field of the alert and the parameter of that name. A removal says
 * nothing of what it removes: that is in the row before of the same key.
 */
export function endedAlertsSql(filters: readonly string[]): string {
  const wanted = (json: string) =>
    filters.map(name => `AND JSONExtractString(${json}, '${name}') = {${name}:String}`).join(' ')
  const since = (parameter: string) => `kind = 'alert' AND at >= fromUnixTimestamp64Milli({${parameter}:Int64})`
  return `SELECT key, argMax(known, (at, log_offset)), toUnixTimestamp64Milli(max(at)) AS closed_at_ms,
     arraySort(groupUniqArrayIf(channel, channel != ''))
   FROM (
     SELECT key, at, log_offset, value, extract(reason, '^Told (.+)\\\\.$') AS channel,
       if(value = '', lagInFrame(value) OVER (PARTITION BY key ORDER BY at, log_offset), value) AS known
     FROM audit
     WHERE ${since('beginMs')} AND key IN (
       SELECT key FROM audit
       WHERE ${since('fromMs')} AND value = ''
         AND key IN (SELECT key FROM audit WHERE ${since('beginMs')} AND value != '' ${wanted('value')})
       GROUP BY key ORDER BY max(at) DESC LIMIT {rowsMax:UInt32}
     )
   )
   WHERE known != '' ${wanted('known')}
   GROUP BY key, JSONExtractInt(known, 'sinceMs')
   HAVING countIf(value = '') > 0 AND closed_at_ms >= {fromMs:Int64}
   ORDER BY closed_at_ms DESC, key
   LIMIT {rowsMax:UInt32}`
}
