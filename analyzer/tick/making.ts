/** Makes the forecasts that are due: what has to be learnt for some of them is learnt first, then these are forecast. */
import { setImmediate } from 'node:timers/promises'
import type { FitAsk } from '../forecast/refit.ts'
import { createSlices } from '../usage/slices.ts'
import { type AllowedOf, isSameAllowed } from './allowed.ts'
import { type Fitting, SLICE_MS } from './fitting.ts'
import type { FollowedForecasts, FollowedOne } from './followed-forecasts.ts'
import type { FollowedQuota } from './followed-quota.ts'
import type { Learnt } from './learnt.ts'
import { HISTORY_STEPS_MAX, type QuotaSeries } from './quota-series.ts'
import { subjectFitDue } from './subject-ask.ts'
import { forecastSubject } from './subject-forecast.ts'

/** Subjects whose histories are held at once while they are learnt: 16 kB each. */
const BATCH = 64
/** Subjects that are looked at before others may answer requests: some milliseconds. */
const LOOKED_AT_ONCE = 5_000

export interface Followed {
  quota: FollowedQuota
  series: QuotaSeries | null
  forecasts: FollowedForecasts
  /** What was learnt of each subject, shared with quotas that add up the same in the same window. */
  learnt: Learnt
  /** Not null: it could not be read when that was tried last. */
  failing: Failing | null
}

/** Since a quota was read. */
export interface Failing {
  times: number
  reason: string
  atMs: number
  /** It is tried again then. */
  againAtMs: number
}

export interface Making {
  nowMs: number
  allowedOf: AllowedOf
  /** Something may be allowed otherwise than in the tick before. */
  isPolicyNew: boolean
  /** Keys of subjects with something new, by quota. */
  touched: ReadonlyMap<string, ReadonlySet<string>>
  fitting: Fitting
  signal: AbortSignal | undefined
}

/** Answers how many were made. Throws when the signal is aborted. */
export async function makeForecasts(following: Iterable<Followed>, making: Making): Promise<number> {
  const scratch = new Float64Array(2 * HISTORY_STEPS_MAX)
  let made = 0
  for (const followed of following) {
    const { quota, series, forecasts, learnt } = followed
    if (!series) continue
    for (const key of forecasts.keys()) if (!series.subjects.has(key)) forecasts.delete(key)
    for (const key of learnt.keys()) if (!series.subjects.has(key)) learnt.delete(key)
    const touched = making.touched.get(quota.name)
    const isDue = (key: string) => touched?.has(key) || isForecastDue(forecasts.get(key), series, key, making)
    const due: string[] = []
    for (const [index, key] of [...series.subjects.keys()].entries()) {
      if (isDue(key)) due.push(key)
      if ((index + 1) % LOOKED_AT_ONCE === 0) await setImmediate()
    }
    for (let first = 0; first < due.length; first += BATCH) {
      making.signal?.throwIfAborted()
      await makeSome({ ...followed, series }, due.slice(first, first + BATCH), { ...making, scratch })
    }
    made += due.length
  }
  return made
}

/** True when a forecast without new calls is old: its time is up, its window ended, or something else is allowed. */
function isForecastDue(
  known: FollowedOne | undefined,
  series: QuotaSeries,
  key: string,
  { nowMs, isPolicyNew, allowedOf }: Making,
): boolean {
  if (known === undefined || nowMs >= known.dueAtMs || nowMs >= known.windowEndMs) return true
  const subject = isPolicyNew ? series.subjects.valuesOf(key) : undefined
  if (!subject) return false
  return !isSameAllowed(known.allowed, allowedOf(series.quota, subject, { nowMs, endMs: known.windowEndMs }))
}

async function makeSome(
  { series, forecasts, learnt }: Followed & { series: QuotaSeries },
  keys: readonly string[],
  { fitting, nowMs, allowedOf, scratch }: Making & { scratch: Float64Array },
): Promise<void> {
  const asking = (key: string) => ({ nowMs, allowedOf, scratch, state: learnt.get(key) })
  const fits: { key: string; ask: FitAsk }[] = []
  for (const key of keys) {
    const ask = subjectFitDue(series, key, asking(key))
    if (ask) fits.push({ key, ask })
  }
  if (fits.length > 0) {
    const found = await fitting.fit(fits.map(({ ask }) => ask))
    for (const [index, state] of found.entries()) learnt.set(fits[index]?.key ?? '', state)
  }
  const slices = createSlices(SLICE_MS)
  for (const key of keys) {
    const next = forecastSubject(series, key, asking(key))
    const subject = series.subjects.valuesOf(key)
    if (next && subject) forecasts.set(key, subject, next)
    if (slices.isOver()) await slices.next()
  }
}
