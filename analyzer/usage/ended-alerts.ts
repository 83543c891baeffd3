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
  /** Only those that come later in the order; `null` for all. */
  after: AlertEnd | null
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

/** When an alert was removed, and which: what a page of them is made of. */
export interface AlertEnd {
  closedAtMs: number
  key: string
}

/** At most `rowsMax` ends behind one of them, the newest first. Throws what the store's client throws. */
export async function readAlertEnds(
  client: ClickHouseClient,
  { fromMs, rowsMax, after, ...wanted }: EndedAlertsAsk,
): Promise<AlertEnd[]> {
  const filters = filtersOf(wanted)
  const { closedAtMs: afterMs, key: afterKey } = after ?? { closedAtMs: AFTER_ALL_MS, key: '' }
  const params = { ...filters, fromMs, beginMs: beginOf(fromMs), rowsMax, afterMs, afterKey }
  const found: AlertEnd[] = []
  await readRows<[string, number]>(client, alertEndsSql(Object.keys(filters)), params, ([key, closedAtMs]) => {
    found.push({ key, closedAtMs })
  })
  return found
}

/**
 * What is known of alerts that ended so, in the order of the ends. A removal that lost against another change ended
 * nothing: of that there is no row. Throws what the store's client throws.
 */
export async function readEndedAlerts(
  client: ClickHouseClient,
  fromMs: number,
  ends: readonly AlertEnd[],
): Promise<EndedAlertRow[]> {
  if (ends.length === 0) return []
  const found = new Map<string, EndedAlertRow>()
  const placeOf = ({ key, closedAtMs }: AlertEnd) => `${closedAtMs} ${key}`
  const params = { beginMs: beginOf(fromMs), keys: [...new Set(ends.map(({ key }) => key))] }
  await readRows<[string, string, number, string[]]>(
    client,
    ENDED_ALERTS_SQL,
    params,
    ([key, value, closedAtMs, told]) => {
      found.set(placeOf({ key, closedAtMs }), { key, value, closedAtMs, told })
    },
  )
  return ends.flatMap(end => found.get(placeOf(end)) ?? [])
}

/** Later than any, in milliseconds that the store's integers can bear. */
const AFTER_ALL_MS = Number.MAX_SAFE_INTEGER

const beginOf = (fromMs: number) => Math.max(0, fromMs - LASTING_MS_MAX)

function filtersOf(wanted: Pick<EndedAlertsAsk, 'quota' | 'tenant'>): QueryParams {
  const filters: QueryParams = {}
  for (const name of ['quota', 'tenant'] as const) {
    const value = wanted[name]
    if (value !== null) filters[name] = value
  }
  return filters
}

const OF_ALERTS = `kind = 'alert' AND at >= fromUnixTimestamp64Milli({beginMs:Int64})`

/**
 * The statement of `readAlertEnds`; each filter is a field of the alert and the parameter of that name. A removal says
 * nothing of what it removes: that is in the row before of the same key.
 */
export function alertEndsSql(filters: readonly string[]): string {
  const wanted = filters.map(name => `AND JSONExtractString(value, '${name}') = {${name}:String}`).join(' ')
  return `SELECT key, at_ms FROM (
     SELECT key, toUnixTimestamp64Milli(at) AS at_ms, value = '' AS is_removal,
       lagInFrame(value != '' ${wanted}) OVER (PARTITION BY key ORDER BY at, log_offset) AS was_wanted
     FROM audit
     WHERE ${OF_ALERTS}
   )
   WHERE is_removal AND was_wanted AND at_ms >= {fromMs:Int64}
     AND (at_ms < {afterMs:Int64} OR at_ms = {afterMs:Int64} AND key > {afterKey:String})
   ORDER BY at_ms DESC, key
   LIMIT {rowsMax:UInt32}`
}

/** The statement of `readEndedAlerts`: each time that one of the keys was there. */
export const ENDED_ALERTS_SQL = `SELECT key, argMax(known, (at, log_offset)),
     toUnixTimestamp64Milli(max(at)) AS closed_at_ms, arraySort(groupUniqArrayIf(channel, channel != ''))
   FROM (
     SELECT key, at, log_offset, value, extract(reason, '^Told (.+)\\.$') AS channel,
       if(value = '', lagInFrame(value) OVER (PARTITION BY key ORDER BY at, log_offset), value) AS known
     FROM audit
     WHERE ${OF_ALERTS} AND key IN {keys:Array(String)}
   )
   WHERE known != ''
   GROUP BY key, JSONExtractInt(known, 'sinceMs')
   HAVING countIf(value = '') > 0`
