/**
 * The forecasts that the analyzer would have kept, had it run all the time: its own code, at the twelfths of past windows,
 * each from what was used until then.
 */
import type { Quota } from '../../analyzer/policy/quota.ts'
import type { AllowedOf } from '../../analyzer/tick/allowed.ts'
import { hasReset, type ResettingQuota } from '../../analyzer/tick/followed-quota.ts'
import { type Kept, markOf, writeKept } from '../../analyzer/tick/kept-forecasts.ts'
import { HISTORY_STEPS_MAX, loadQuotaSeries, type QuotaSeries } from '../../analyzer/tick/quota-series.ts'
import { type FollowedForecast, forecastSubject, type SubjectForecast } from '../../analyzer/tick/subject-forecast.ts'
import type { UsageSeries } from '../../analyzer/usage/series.ts'
import { type Window, windowAt } from '../../analyzer/usage/window.ts'
import type { Store } from '../../collector/store/open.ts'

const FRACTIONS = 12
const SUBJECTS_MAX = 100
/** Of each quota so many windows, the newest. */
const WINDOWS_MAX = 12

/** In the demo's past nobody changed a limit. */
const allowedOf: AllowedOf = ({ limit }, _subject, { nowMs }) => ({
  steps: limit === null ? [] : [{ fromMs: nowMs, limit }],
  sinceMs: 0,
  elsewhere: 0,
  deniedUntilMs: null,
  forgiven: 0,
})

export interface HistoryRange {
  /** Forecasts made after this are missing. */
  fromMs: number
  toMs: number
}

/** Answers how many were kept. */
export async function keepPastForecasts(
  { client }: Pick<Store, 'client'>,
  quotas: readonly Quota[],
  range: HistoryRange,
): Promise<number> {
  let count = 0
  for (const quota of quotas.filter(hasReset)) {
    const decisionsSeen = { positions: [], newestAtMs: 0 }
    const ask = { nowMs: range.toMs, budget: { left: SUBJECTS_MAX }, decisionsSeen }
    const series = await loadQuotaSeries(client, quota, ask)
    const rows = [...series.subjects.keys()].flatMap(key => pastForecasts(series, quota, key, range))
    if (rows.length > 0) await writeKept(client, rows)
    count += rows.length
  }
  return count
}

interface KeptRow {
  mark: string
  forecast: SubjectForecast
}

function pastForecasts(series: QuotaSeries, quota: ResettingQuota, key: string, range: HistoryRange): KeptRow[] {
  const rows: KeptRow[] = []
  const scratch = new Float64Array(2 * HISTORY_STEPS_MAX)
  let followed: FollowedForecast | undefined
  let kept: Kept | undefined
  for (const asOfMs of instantsOf(series, quota, range)) {
    const ask = { nowMs: asOfMs, allowedOf, state: followed?.state ?? null, scratch }
    const next = forecastSubject(seriesUntil(series, key, asOfMs), key, ask)
    if (!next) continue
    followed = next
    // A forecast that crosses the threshold may be that of a twelfth too.
    for (let marked = markOf(next.forecast, quota.alerts.exhaustionProbability, kept); marked; ) {
      kept = marked.kept
      rows.push({ mark: marked.mark, forecast: next.forecast })
      marked = markOf(next.forecast, quota.alerts.exhaustionProbability, kept)
    }
  }
  return rows
}

/** The twelfths of the newest windows that lie in the range, on steps of the series, where use is known exactly. */
function instantsOf({ grid }: QuotaSeries, { window }: ResettingQuota, { fromMs, toMs }: HistoryRange): number[] {
  const windows: Window[] = []
  for (let atMs = toMs; windows.length < WINDOWS_MAX && atMs > Math.max(fromMs, grid.startMs); ) {
    const found = windowAt(window, atMs)
    windows.unshift(found)
    atMs = found.startMs - 1
  }
  const onGrid = (atMs: number) => grid.startMs + Math.ceil((atMs - grid.startMs) / grid.stepMs) * grid.stepMs
  return windows
    .flatMap(({ startMs, endMs }) =>
      Array.from({ length: FRACTIONS }, (_, part) => onGrid(startMs + (part * (endMs - startMs)) / FRACTIONS)),
    )
    .filter(atMs => atMs > Math.max(fromMs, grid.startMs) && atMs <= toMs)
}

/** The series of one subject as they were at that instant. */
function seriesUntil(series: QuotaSeries, key: string, asOfMs: number): QuotaSeries {
  const one = series.subjects.get(key)
  const steps = Math.round((asOfMs - series.grid.startMs) / series.grid.stepMs)
  const cut = one && cutOff(one, steps)
  return { ...series, exactFromMs: series.grid.startMs, delay: null, subjects: { ...series.subjects, get: () => cut } }
}

const cutOff = (one: UsageSeries, steps: number): UsageSeries => ({
  ...one,
  used: one.used.slice().fill(0, steps),
  calls: one.calls.slice().fill(0, steps),
  refused: one.refused?.slice().fill(0, steps) ?? null,
})
