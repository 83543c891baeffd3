/** The newest calls of a selection, one by one. */
import type { ClickHouseClient } from '@clickhouse/client'
import { readRows, type Selection } from './selection.ts'

/** A call as far as somebody who looks for its quota cares. Unknown text is '', an unknown number null. */
export interface RecentCall {
  startedAtMs: number
  requestId: string
  gateway: string
  route: string
  provider: string
  model: string
  status: number | null
  outcome: string
  latencyMs: number | null
  totalTokens: number | null
  costMicros: number | null
}

type RecentCallRow = [
  ...[number, string, string, string, string, string],
  ...[number | null, string, number | null, number | null, number | null],
]

/** The newest first, begun at `fromMs` or later. Throws what the store's client throws. */
export async function readRecentCalls(
  client: ClickHouseClient,
  match: Selection['match'],
  { fromMs, callsMax }: { fromMs: number; callsMax: number },
): Promise<RecentCall[]> {
  const calls: RecentCall[] = []
  const params = { ...match.params, fromMs, callsMax }
  await readRows<RecentCallRow>(client, recentCallsSql(match.sql), params, row => {
    const [startedAtMs, requestId, gateway, route, provider, model, status, outcome, ...numbers] = row
    const [latencyMs, totalTokens, costMicros] = numbers
    calls.push({
      ...{ startedAtMs, requestId, gateway, route, provider, model, status, outcome },
      ...{ latencyMs, totalTokens, costMicros },
    })
  })
  return calls
}

/** Single calls are in no projection: the order of the table finds those of a consumer, by their start. */
export const recentCallsSql = (match: string): string =>
  `SELECT toUnixTimestamp64Milli(started_at), request_id, gateway, route, provider, model, status, outcome,
     latency_ms, total_tokens, cost_micros
   FROM calls
   WHERE started_at >= fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC') AND ${match}
   ORDER BY started_at DESC
   LIMIT {callsMax:UInt32}`
