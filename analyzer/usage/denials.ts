/** What quotas refused, by minute and subject: the newest first. */
import type { ClickHouseClient } from '@clickhouse/client'
import { type QueryParams, readRows } from './selection.ts'

export interface DenialsAsk {
  /** Minutes that begin then or later, Unix milliseconds. */
  fromMs: number
  /** Each of them `null` for any. */
  quota: string | null
  tenant: string | null
  consumer: string | null
  /** Other dimensions of the subject, and the values that they must have. */
  others?: [name: string, value: string][]
  /** Most rows, and most of one tenant. */
  rowsMax: number
  rowsPerTenantMax: number
}

/** The checks of one minute that a quota refused one of its subjects. */
export interface Denials {
  quota: string
  subject: Record<string, string>
  /** '' where the quota does not say whose its subjects are. */
  tenant: string
  unit: string
  /** Begin of the minute, Unix milliseconds. */
  minuteMs: number
  denied: number
  /** Units that they asked for; what is known only afterwards is not among them. */
  deniedCost: number
}

type DenialsRow = [string, string, string, string, number, number, number]

/** Throws what the store's client throws. Sums of decisions are stored some ten seconds late. */
export async function readDenials(client: ClickHouseClient, ask: DenialsAsk): Promise<Denials[]> {
  const { fromMs, others = [], rowsMax, rowsPerTenantMax } = ask
  const filters: QueryParams = {}
  for (const name of ['quota', 'tenant', 'consumer'] as const) {
    const value = ask[name]
    if (value !== null) filters[name] = value
  }
  const params = { ...filters, others, fromSeconds: secondsOf(fromMs), rowsMax, rowsPerTenantMax }
  const found: Denials[] = []
  await readRows<DenialsRow>(client, denialsSql(Object.keys(filters), others.length > 0), params, row => {
    const [quota, subject, tenant, unit, minuteMs, denied, deniedCost] = row
    found.push({ quota, subject: JSON.parse(subject), tenant, unit, minuteMs, denied, deniedCost })
  })
  return found
}

/** How many checks of each tenant's subjects were denied since then. Throws what the store's client throws. */
export async function countDenials(client: ClickHouseClient, fromMs: number): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>()
  await readRows<[tenant: string, denied: number]>(client, countSql, { fromSeconds: secondsOf(fromMs) }, row => {
    found.set(...row)
  })
  return found
}

const secondsOf = (atMs: number): number => Math.max(0, Math.floor(atMs / 1000))

const countSql =
  'SELECT tenant, sum(denied) FROM decisions WHERE minute >= toDateTime({fromSeconds:UInt32}) AND denied > 0 GROUP BY tenant'

/** The statement of `readDenials`; each filter is a column and the parameter of that name. */
export const denialsSql = (filters: readonly string[], hasOthers = false): string =>
  `SELECT quota, subject, tenant, unit, toUnixTimestamp(minute) * 1000 AS minute_ms, sum(denied), sum(denied_cost)
   FROM decisions
   WHERE minute >= toDateTime({fromSeconds:UInt32}) AND denied > 0
     ${filters.map(name => `AND ${name} = {${name}:String}`).join(' ')}
     ${hasOthers ? 'AND arrayAll(other -> JSONExtractString(subject, other[1]) = other[2], {others:Array(Array(String))})' : ''}
   GROUP BY quota, subject, tenant, unit, minute_ms
   ORDER BY minute_ms DESC, quota, subject
   LIMIT {rowsPerTenantMax:UInt32} BY tenant
   LIMIT {rowsMax:UInt32}`
