/**
 * Which forecasts are kept in the table `forecasts`, to be scored when their window has ended: one in each twelfth of
 * the window, and those that crossed the quota's alert threshold. At most 24 a subject and window, also over restarts.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import type { ForecastRow } from '../../collector/store/tables.ts'
import { type QueryParams, readRows } from '../usage/selection.ts'
import type { SubjectForecast } from './subject-forecast.ts'

const FRACTIONS = 12
const CROSSINGS_MAX = 12
/** A threshold is crossed downwards at this share of it, so that a probability near it does not cross all the time. */
const CLEARED_SHARE = 0.5
const CROSSED_UP = 'above threshold'
const CROSSED_DOWN = 'below threshold'

/** What was kept of one subject's window. */
export interface Kept {
  windowStartMs: number
  windowEndMs: number
  /** Last twelfth of the window of which a forecast was kept, -1 for none. */
  fraction: number
  crossings: number
  isAbove: boolean
}

/** Why this forecast should be kept, and what will have been kept then; `null` when it should not. */
export function markOf(
  forecast: SubjectForecast,
  threshold: number,
  kept: Kept | undefined,
): { mark: string; kept: Kept } | null {
  const { probability, windowStartMs, windowEndMs, asOfMs } = forecast
  if (probability === null) return null
  const isSameWindow = kept !== undefined && kept.windowStartMs === windowStartMs
  const before: Kept = isSameWindow ? kept : { windowStartMs, windowEndMs, fraction: -1, crossings: 0, isAbove: false }
  const isAbove = probability >= (before.isAbove ? threshold * CLEARED_SHARE : threshold)
  if (isAbove !== before.isAbove && before.crossings < CROSSINGS_MAX) {
    const mark = isAbove ? CROSSED_UP : CROSSED_DOWN
    return { mark, kept: { ...before, isAbove, crossings: before.crossings + 1 } }
  }
  const fraction = Math.floor((FRACTIONS * (asOfMs - windowStartMs)) / (windowEndMs - windowStartMs))
  if (fraction <= before.fraction) return null
  return { mark: `${fraction}/${FRACTIONS}`, kept: { ...before, fraction } }
}

/** What is kept of windows that are still open, by `keptKey`. */
export async function readKept(client: ClickHouseClient, nowMs: number): Promise<Map<string, Kept>> {
  const kept = new Map<string, Kept>()
  const params: QueryParams = { nowMs, up: CROSSED_UP, down: CROSSED_DOWN }
  type KeptRow = [
    quota: string,
    subject: string,
    startMs: number,
    endMs: number,
    fraction: number,
    crossings: number,
    lastMark: string,
  ]
  await readRows<KeptRow>(client, keptSql, params, row => {
    const [quota, subject, windowStartMs, windowEndMs, fraction, crossings, lastMark] = row
    const known = kept.get(keptKey(quota, subject))
    if (known && known.windowStartMs > windowStartMs) return
    const isAbove = lastMark === CROSSED_UP
    kept.set(keptKey(quota, subject), { windowStartMs, windowEndMs, fraction, crossings, isAbove })
  })
  return kept
}

/** Marks of the open windows, folded. */
const keptSql = `SELECT quota, subject, toUnixTimestamp64Milli(window_start), toUnixTimestamp64Milli(max(window_end)),
     max(if(mark IN ({up:String}, {down:String}), -1, toInt32OrZero(splitByChar('/', mark)[1]))),
     countIf(mark IN ({up:String}, {down:String})),
     argMaxIf(mark, as_of, mark IN ({up:String}, {down:String}))
   FROM forecasts
   WHERE window_end > fromUnixTimestamp64Milli({nowMs:Int64})
   GROUP BY quota, subject, window_start`

/** Equal for the same subject of the same quota only. `subject` is its JSON as the table holds it. */
export const keptKey = (quota: string, subject: string): string => `${quota} ${subject}`

/** Writes one batch of kept forecasts. */
export async function writeKept(
  client: ClickHouseClient,
  rows: readonly { mark: string; forecast: SubjectForecast }[],
): Promise<void> {
  await client.insert({ table: 'forecasts', values: rows.map(toRow), format: 'JSONEachRow' })
}

function toRow({ mark, forecast }: { mark: string; forecast: SubjectForecast }): ForecastRow {
  const { exhaustionAtMs, usageAtReset, headroom } = forecast
  return {
    quota: forecast.quota,
    subject: JSON.stringify(forecast.subject),
    tenant: forecast.tenant ?? '',
    consumer: forecast.consumer ?? '',
    unit: forecast.unit,
    window_start: toInstant(forecast.windowStartMs),
    window_end: toInstant(forecast.windowEndMs),
    as_of: toInstant(forecast.asOfMs),
    mark,
    used: forecast.used,
    // What it will be judged by.
    limit: forecast.limitChanges.at(-1)?.limit ?? forecast.limit ?? 0,
    probability: forecast.probability ?? 0,
    exhaustion_p10: toInstantOrNull(exhaustionAtMs.p10),
    exhaustion_p50: toInstantOrNull(exhaustionAtMs.p50),
    exhaustion_p90: toInstantOrNull(exhaustionAtMs.p90),
    usage_p10: usageAtReset?.p10 ?? null,
    usage_p50: usageAtReset?.p50 ?? null,
    usage_p90: usageAtReset?.p90 ?? null,
    headroom_p10: headroom?.p10 ?? null,
    headroom_p50: headroom?.p50 ?? null,
    headroom_p90: headroom?.p90 ?? null,
    burn_rate: forecast.burnRate,
    confidence: forecast.confidence,
    why: forecast.why,
  }
}

/** ClickHouse's text of an instant, UTC. */
const toInstant = (atMs: number): string => new Date(atMs).toISOString().replace('T', ' ').replace('Z', '')
const toInstantOrNull = (atMs: number | null): string | null => (atMs === null ? null : toInstant(atMs))
