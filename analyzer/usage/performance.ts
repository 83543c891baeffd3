/** Latency and errors by day and dimension, from the hourly projection of the routes. */
import type { ClickHouseClient } from '@clickhouse/client'
import { LATENCY_QUANTILES_SQL } from '../../collector/store/tables.ts'
import { type QueryParams, readRows } from './selection.ts'
import { UNIT_SQL } from './units.ts'

const DAY_MS = 86_400_000

/** The columns that the projection knows. */
export const PERFORMANCE_COLUMNS = ['route', 'service', 'gateway', 'provider', 'model'] as const
export type PerformanceColumn = (typeof PERFORMANCE_COLUMNS)[number]

export interface PerformanceAsk {
  by: PerformanceColumn
  /** Whole days, UTC. */
  fromMs: number
  toMs: number
  /** The most called values of the column. */
  valuesMax: number
  /** Only of this tenant, or of all. */
  tenant: string | undefined
}

/** Per day of the time asked for, oldest first. What a limit refused is not counted. */
export interface Performance {
  value: string
  calls: number[]
  errors: number[]
  /** Milliseconds at 50, 90 and 99 %; `null` where no latency is known. */
  latencyMs: ({ p50: number; p90: number; p99: number } | null)[]
}

/** Reads the most called values, most first. */
export async function readPerformance(client: ClickHouseClient, ask: PerformanceAsk): Promise<Performance[]> {
  const { by, fromMs, toMs, valuesMax, tenant } = ask
  const days = (toMs - fromMs) / DAY_MS
  const params: QueryParams = { fromSeconds: fromMs / 1000, toSeconds: toMs / 1000, valuesMax }
  if (tenant !== undefined) params.tenant = tenant
  const byValue = new Map<string, Performance>()
  const of = (value: string): Performance => {
    const known = byValue.get(value) ?? {
      value,
      calls: new Array(days).fill(0),
      errors: new Array(days).fill(0),
      latencyMs: new Array(days).fill(null),
    }
    byValue.set(value, known)
    return known
  }
  const isOneTenant = tenant !== undefined
  await readRows<[string, number, string, number]>(client, outcomesSql(by, isOneTenant), params, row => {
    const [value, day, outcome, count] = row
    const { calls, errors } = of(value)
    const index = day - fromMs / DAY_MS
    calls[index] = (calls[index] ?? 0) + count
    if (!UNIT_SQL.errors.excludedOutcomes.includes(outcome)) errors[index] = (errors[index] ?? 0) + count
  })
  await readRows<[string, number, (number | null)[]]>(client, latencySql(by, isOneTenant), params, row => {
    const [value, day, [p50 = null, p90 = null, p99 = null]] = row
    // A digest of nothing has no quantiles: they come as null.
    if (p50 !== null && p90 !== null && p99 !== null) of(value).latencyMs[day - fromMs / DAY_MS] = { p50, p90, p99 }
  })
  const callsOf = ({ calls }: Performance) => calls.reduce((sum, count) => sum + count, 0)
  return [...byValue.values()].sort((a, b) => callsOf(b) - callsOf(a))
}

const DAY = 'intDiv(toUnixTimestamp(hour), 86400)'

const matched = (isOneTenant: boolean): string =>
  `hour >= toDateTime({fromSeconds:UInt32}) AND hour < toDateTime({toSeconds:UInt32})
     AND outcome NOT IN ('limited')${isOneTenant ? ' AND tenant = {tenant:String}' : ''}`

const isMostCalled = (by: PerformanceColumn, isOneTenant: boolean): string =>
  `${by} IN (SELECT ${by} FROM calls WHERE ${matched(isOneTenant)}
     GROUP BY ${by} ORDER BY count() DESC, ${by} LIMIT {valuesMax:UInt32})`

/** Calls by day and outcome. */
export const outcomesSql = (by: PerformanceColumn, isOneTenant: boolean): string =>
  `SELECT ${by}, ${DAY} AS day, outcome, count()
   FROM calls
   WHERE ${matched(isOneTenant)} AND ${isMostCalled(by, isOneTenant)}
   GROUP BY ${by}, day, outcome`

/** Quantiles of the latency by day. */
export const latencySql = (by: PerformanceColumn, isOneTenant: boolean): string =>
  `SELECT ${by}, ${DAY} AS day, ${LATENCY_QUANTILES_SQL}
   FROM calls
   WHERE ${matched(isOneTenant)} AND ${isMostCalled(by, isOneTenant)}
   GROUP BY ${by}, day`
