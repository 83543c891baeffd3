/** What providers said of their limits: in the headers of their answers, and when they refused a call. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Condition } from './fresh.ts'
import { keyOfSubject, listed, readRows, type Selection } from './selection.ts'

/** Subjects that are answered at most, those heard of last. */
const SUBJECTS_MAX = 10_000

/** The last that was said of one subject's unit. Instants are Unix milliseconds, amounts units. */
export interface UpstreamReading {
  limit: number | null
  remaining: number | null
  /** When the provider refills. */
  resetAtMs: number | null
  /** It refused a call and said to come again then. */
  deniedUntilMs: number | null
  /** End of the call whose answer said it; of a refusal alone, 0. */
  asOfMs: number
}

type UpstreamRow = [
  ...string[],
  limit: number | null,
  remaining: number | null,
  resetAtMs: number | null,
  asOfMs: number,
  deniedUntilMs: number,
]
const NUMBERS = 5

/** Reads what the calls since `fromMs` were told for which `condition` holds, by `keyOfSubject`. */
export async function readUpstream(
  client: ClickHouseClient,
  selection: Selection,
  { fromMs, condition }: { fromMs: number; condition: Condition | null },
): Promise<Map<string, UpstreamReading>> {
  const readings = new Map<string, UpstreamReading>()
  const params = { ...selection.match.params, ...condition?.params, fromMs, unit: selection.unit, max: SUBJECTS_MAX }
  await readRows<UpstreamRow>(client, upstreamSql(selection, condition?.sql), params, row => {
    const [limit = null, remaining = null, resetAtMs = null, asOfMs, deniedUntilMs] = row.slice(-NUMBERS) as (
      | number
      | null
    )[]
    readings.set(keyOfSubject(row.slice(0, -NUMBERS) as string[]), {
      ...{ limit, remaining, resetAtMs, asOfMs: asOfMs ?? 0 },
      deniedUntilMs: deniedUntilMs === 0 ? null : (deniedUntilMs ?? null),
    })
  })
  return readings
}

/**
 * Each unit's last group of headers, with the last limit that was said where that has none, and the latest instant that a
 * refusal named. A call has ended when its record arrives, whatever its gateway's clock says: one that is ahead would have
 * the last word for long.
 */
const upstreamSql = ({ columns, match }: Selection, fresh = '1'): string =>
  `SELECT ${listed(columns)}argMaxIf(tupleElement(said, 1), ended, isSaid),
     tupleElement(argMaxIf(said, ended, isSaid) AS last, 2), tupleElement(last, 3), maxIf(ended, isSaid),
     maxIf(ended + toInt64(ifNull(retryMs, 0)), outcome = 'exhausted' AND isNotNull(retryMs))
   FROM (SELECT ${listed(columns)}outcome, started_at,
       least(toUnixTimestamp64Milli(started_at) + toInt64(ifNull(latency_ms, 0)), toUnixTimestamp64Milli(arrived_at)) AS ended,
       JSONHas(upstream_limits, 'units', {unit:String}) AS isSaid,
       JSONExtract(upstream_limits, 'units', {unit:String},
         'Tuple(limit Nullable(Float64), remaining Nullable(Float64), resetAtMs Nullable(Float64))') AS said,
       JSONExtract(upstream_limits, 'retryAfterMs', 'Nullable(Float64)') AS retryMs
     FROM calls
     WHERE started_at >= fromUnixTimestamp64Milli({fromMs:Int64}) AND upstream_limits != '' AND ${match.sql} AND ${fresh})
   GROUP BY ${columns.length === 0 ? '()' : columns.join(', ')}
   ORDER BY max(started_at) DESC
   LIMIT {max:UInt32}`

/** What is known when more was said. */
export function newerReading(before: UpstreamReading | undefined, said: UpstreamReading): UpstreamReading {
  if (!before) return said
  const last = said.asOfMs >= before.asOfMs ? said : before
  const deniedUntilMs = Math.max(before.deniedUntilMs ?? 0, said.deniedUntilMs ?? 0)
  const limit = last.limit ?? before.limit ?? said.limit
  return { ...last, limit, deniedUntilMs: deniedUntilMs === 0 ? null : deniedUntilMs }
}
