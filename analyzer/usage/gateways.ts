/** Which gateways sent calls lately, how many, and when the last one came. */
import type { ClickHouseClient } from '@clickhouse/client'
import { readRows } from './selection.ts'

const HOUR_MS = 3_600_000

export interface GatewaysAsk {
  /** Hours of arrival, whole ones. */
  fromMs: number
  toMs: number
  /** Only calls of this tenant, or of all. */
  tenant: string | undefined
}

export interface GatewayActivity {
  gateway: string
  dialect: string
  /** By the hour of their arrival, oldest first. */
  calls: number[]
  errors: number
  /** Refused by a limit, or because the provider's quota was gone. */
  refused: number
  lastArrivedAtMs: number
}

type ActivityRow = [string, string, number, number, number, number, number]

/** In no order. Throws what the store's client throws. */
export async function readGateways(client: ClickHouseClient, ask: GatewaysAsk): Promise<GatewayActivity[]> {
  const { fromMs, toMs, tenant } = ask
  const hours = (toMs - fromMs) / HOUR_MS
  const found = new Map<string, GatewayActivity>()
  const params = { fromMs, toMs, ...(tenant === undefined ? {} : { tenant }) }
  await readRows<ActivityRow>(client, gatewaysSql(tenant !== undefined), params, row => {
    const [gateway, dialect, hour, calls, errors, refused, lastArrivedAtMs] = row
    const key = JSON.stringify([gateway, dialect])
    const known = found.get(key) ?? {
      ...{ gateway, dialect, calls: new Array<number>(hours).fill(0), errors: 0, refused: 0, lastArrivedAtMs: 0 },
    }
    found.set(key, known)
    known.calls[hour] = calls
    known.errors += errors
    known.refused += refused
    known.lastArrivedAtMs = Math.max(known.lastArrivedAtMs, lastArrivedAtMs)
  })
  return [...found.values()]
}

/** By arrival, which says whether a source is alive, and by which the table's parts are told apart. */
export const gatewaysSql = (isOneTenant: boolean): string =>
  `SELECT gateway, dialect,
     intDiv(toUnixTimestamp64Milli(arrived_at) - {fromMs:Int64}, ${HOUR_MS}) AS arrived_hour,
     count(), countIf(outcome IN ('client_error', 'server_error')), countIf(outcome IN ('limited', 'exhausted')),
     toUnixTimestamp64Milli(max(arrived_at))
   FROM calls
   WHERE arrived_at >= fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC')
     AND arrived_at < fromUnixTimestamp64Milli({toMs:Int64}, 'UTC')${isOneTenant ? ' AND tenant = {tenant:String}' : ''}
   GROUP BY gateway, dialect, arrived_hour`
