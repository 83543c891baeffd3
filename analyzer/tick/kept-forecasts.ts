/**
 * Which forecasts are kept in the table `forecasts`, to be scored when their window has ended: one in each twelfth of
 * the window, and those that crossed the quota's alert threshold or found the limit reached. At most 24 a subject and window, also over restarts.
 */
import { setImmediate } from 'node:timers/promises'
import type { ClickHouseClient } from '@clickhouse/client'
import type { ForecastRow } from '../../collector/store/tables.ts'
import { isExhausted } from '../forecast/exhausted.ts'
import type { Quota } from '../policy/quota.ts'
import { keyOfSubject, type QueryParams, readRows } from '../usage/selection.ts'
import { createNumberedRows } from './numbered-rows.ts'
import type { SubjectForecast } from './subject-forecast.ts'

const FRACTIONS = 12
const CROSSINGS_MAX = 12
/** A threshold is crossed downwards at this share of it, so that a probability near it does not cross all the time. */
const CLEARED_SHARE = 0.5
/** Kept forecasts that are written at once: few enough that making them into text holds nobody up. */
const ROWS_MAX = 1_000
/** Forecasts that are looked at before others may answer requests: some milliseconds. */
const LOOKED_AT_ONCE = 5_000
/** What an alert knows of the subject; each change is kept. */
const LEVELS = ['below threshold', 'above threshold', 'limit reached'] as const

/** What was kept of one subject's window. */
export interface Kept {
  windowStartMs: number
  windowEndMs: number
  /** Last twelfth of the window of which a forecast was kept, -1 for none. */
  fraction: number
  crossings: number
  /** Among `LEVELS`. */
  level: number
}

/** Why this forecast should be kept, and what will have been kept then; `null` when it should not. */
export function markOf(
  forecast: SubjectForecast,
  threshold: number,
  kept: Kept | undefined,
): { mark: string; kept: Kept } | null {
  const { probability, windowStartMs, windowEndMs, asOfMs } = forecast
  const isSameWindow = kept !== undefined && kept.windowStartMs === windowStartMs
  const before: Kept = isSameWindow ? kept : { windowStartMs, windowEndMs, fraction: -1, crossings: 0, level: 0 }
  const isAbove = (probability ?? 0) >= (before.level > 0 ? threshold * CLEARED_SHARE : threshold)
  const level = isExhausted(forecast) ? 2 : isAbove ? 1 : 0
  if (level !== before.level && before.crossings < CROSSINGS_MAX) {
    return { mark: LEVELS[level], kept: { ...before, level, crossings: before.crossings + 1 } }
  }
  const fraction = Math.floor((FRACTIONS * (asOfMs - windowStartMs)) / (windowEndMs - windowStartMs))
  // What cannot be scored is kept only to take back what an alert rings for.
  if (probability === null || fraction <= before.fraction) return null
  return { mark: `${fraction}/${FRACTIONS}`, kept: { ...before, fraction } }
}

/** What was kept of all subjects, by quota and key. */
export interface KeptMarks {
  of(quota: string, key: string): Kept | undefined
  set(quota: string, key: string, kept: Kept): void
  /** Forgets windows that have ended, once there are more than so many. */
  forgetEnded(nowMs: number, most: number): void
}

export function createKeptMarks(): KeptMarks {
  const all = new Map<string, KeptOfQuota>()
  return {
    of: (quota, key) => all.get(quota)?.get(key),
    set(quota, key, kept) {
      const ofQuota = all.get(quota) ?? createKeptOfQuota()
      all.set(quota, ofQuota)
      ofQuota.set(key, kept)
    },
    forgetEnded(nowMs, most) {
      if ([...all.values()].reduce((sum, { rows }) => sum + rows.size, 0) <= most) return
      for (const [quota, { rows, get }] of all) {
        for (const key of rows.keys()) if ((get(key)?.windowEndMs ?? 0) <= nowMs) rows.delete(key)
        if (rows.size === 0) all.delete(quota)
      }
    },
  }
}

/** Subjects whose numbers are in one buffer, and the numbers of each. */
const ROWS = 256
const NUMBERS = 5

type KeptOfQuota = ReturnType<typeof createKeptOfQuota>

function createKeptOfQuota() {
  const rows = createNumberedRows()
  const chunks: Float64Array[] = []
  return {
    rows,
    get(key: string): Kept | undefined {
      const row = rows.of(key)
      if (row === undefined) return undefined
      const at = NUMBERS * (row % ROWS)
      const [windowStartMs = 0, windowEndMs = 0, fraction = 0, crossings = 0, level = 0] =
        chunks[Math.floor(row / ROWS)]?.subarray(at, at + NUMBERS) ?? []
      return { windowStartMs, windowEndMs, fraction, crossings, level }
    },
    set(key: string, { windowStartMs, windowEndMs, fraction, crossings, level }: Kept): void {
      const row = rows.take(key)
      if (row === chunks.length * ROWS) chunks.push(new Float64Array(ROWS * NUMBERS))
      chunks[Math.floor(row / ROWS)]?.set(
        [windowStartMs, windowEndMs, fraction, crossings, level],
        NUMBERS * (row % ROWS),
      )
    },
  }
}

/** What is kept of windows that are still open. */
export async function readKept(client: ClickHouseClient, nowMs: number): Promise<KeptMarks> {
  const kept = createKeptMarks()
  const params: QueryParams = { nowMs, levels: [...LEVELS] }
  type KeptRow = [
    quota: string,
    subject: string,
    startMs: number,
    endMs: number,
    fraction: number,
    crossings: number,
    level: number,
  ]
  await readRows<KeptRow>(client, keptSql, params, row => {
    const [quota, subject, windowStartMs, windowEndMs, fraction, crossings, level] = row
    const key = keyOfSubject(Object.values(parseSubject(subject)))
    const known = kept.of(quota, key)
    if (known && known.windowStartMs > windowStartMs) return
    kept.set(quota, key, { windowStartMs, windowEndMs, fraction, crossings, level })
  })
  return kept
}

const parseSubject = (json: string) => JSON.parse(json) as Record<string, string>

/** Marks of the open windows, folded. */
const keptSql = `SELECT quota, subject, toUnixTimestamp64Milli(window_start), toUnixTimestamp64Milli(max(window_end)),
     max(if(mark IN {levels:Array(String)}, -1, toInt32OrZero(splitByChar('/', mark)[1]))),
     countIf(mark IN {levels:Array(String)}),
     toInt32(greatest(1, indexOf({levels:Array(String)}, argMaxIf(mark, as_of, mark IN {levels:Array(String)}))) - 1)
   FROM forecasts
   WHERE window_end > fromUnixTimestamp64Milli({nowMs:Int64})
   GROUP BY quota, subject, window_start`

interface Forecasts {
  readonly quota: Pick<Quota, 'name' | 'alerts'>
  readonly forecasts: { entries(): Iterable<[key: string, forecast: SubjectForecast]> }
}

/**
 * Keeps what should be scored later of forecasts that were made at `asOfMs`, of all quotas together: each insert is a part
 * of the table. Where the store refuses, the subject's next forecast is kept instead.
 */
export async function keepForecasts(
  client: ClickHouseClient,
  kept: KeptMarks,
  all: Iterable<Forecasts>,
  asOfMs: number,
): Promise<void> {
  let rows: { quota: string; key: string; mark: string; forecast: SubjectForecast; next: Kept }[] = []
  const write = async () => {
    await writeKept(client, rows)
    for (const { quota, key, next } of rows) kept.set(quota, key, next)
    rows = []
  }
  let lookedAt = 0
  for (const { quota, forecasts } of all) {
    for (const [key, forecast] of forecasts.entries()) {
      if (++lookedAt % LOOKED_AT_ONCE === 0) await setImmediate()
      if (forecast.asOfMs !== asOfMs) continue
      const marked = markOf(forecast, quota.alerts.exhaustionProbability, kept.of(quota.name, key))
      if (marked) rows.push({ quota: quota.name, key, mark: marked.mark, forecast, next: marked.kept })
      if (rows.length === ROWS_MAX) await write()
    }
  }
  if (rows.length > 0) await write()
}

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
