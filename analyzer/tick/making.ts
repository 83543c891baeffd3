/** Makes the forecasts that are due: what has to be learnt for some of them is learnt first, then these are forecast. */
import { setImmediate } from 'node:timers/promises'
import type { FitAsk, ForecastState } from '../forecast/refit.ts'
import type { AllowedOf } from './allowed.ts'
import { type Fitting, SLICE_MS } from './fitting.ts'
import type { FollowedQuota } from './followed-quota.ts'
import { HISTORY_STEPS_MAX, type QuotaSeries } from './quota-series.ts'
import { subjectFitDue } from './subject-ask.ts'
import { type FollowedForecast, forecastSubject, isAllowedOtherwise, isForecastDue } from './subject-forecast.ts'

/** Subjects whose histories are held at once while they are learnt: 16 kB each. */
const BATCH = 64
/** Subjects that are looked at before others may answer requests: some milliseconds. */
const LOOKED_AT_ONCE = 5_000

export interface Followed {
  quota: FollowedQuota
  series: QuotaSeries | null
  states: Map<string, FollowedForecast>
  /** What was learnt of each subject, shared with quotas that add up the same in the same window. */
  learnt: Map<string, ForecastState>
}

export interface Making {
  nowMs: number
  allowedOf: AllowedOf
  /** Something may be allowed otherwise than in the tick before. */
  isPolicyNew: boolean
  /** Keys of subjects with something new, by quota. */
  touched: ReadonlyMap<string, ReadonlySet<string>>
  fitting: Fitting
}

/** Answers how many were made. */
export async function makeForecasts(following: Iterable<Followed>, making: Making): Promise<number> {
  const scratch = new Float64Array(2 * HISTORY_STEPS_MAX)
  let made = 0
  for (const followed of following) {
    const { quota, series, states, learnt } = followed
    if (!series) continue
    for (const key of states.keys()) if (!series.subjects.has(key)) states.delete(key)
    for (const key of learnt.keys()) if (!series.subjects.has(key)) learnt.delete(key)
    const { nowMs, touched, isPolicyNew } = making
    const isDue = (key: string) => {
      const known = states.get(key)
      if (isForecastDue(known, nowMs, touched.get(quota.name)?.has(key) ?? false)) return true
      return isPolicyNew && known !== undefined && isAllowedOtherwise(series, key, known, making)
    }
    const due: string[] = []
    for (const [index, key] of [...series.subjects.keys()].entries()) {
      if (isDue(key)) due.push(key)
      if ((index + 1) % LOOKED_AT_ONCE === 0) await setImmediate()
    }
    for (let first = 0; first < due.length; first += BATCH) {
      await makeSome({ ...followed, series }, due.slice(first, first + BATCH), { ...making, scratch })
    }
    made += due.length
  }
  return made
}

async function makeSome(
  { series, states, learnt }: Followed & { series: QuotaSeries },
  keys: readonly string[],
  { fitting, nowMs, allowedOf, scratch }: Making & { scratch: Float64Array },
): Promise<void> {
  const asking = (key: string) => ({ nowMs, allowedOf, scratch, state: learnt.get(key) ?? null })
  const fits: { key: string; ask: FitAsk }[] = []
  for (const key of keys) {
    const ask = subjectFitDue(series, key, asking(key))
    if (ask) fits.push({ key, ask })
  }
  if (fits.length > 0) {
    const found = await fitting.fit(fits.map(({ ask }) => ask))
    for (const [index, state] of found.entries()) learnt.set(fits[index]?.key ?? '', state)
  }
  let sliceEndsAt = performance.now() + SLICE_MS
  for (const key of keys) {
    const next = forecastSubject(series, key, asking(key))
    if (next) states.set(key, next)
    if (performance.now() < sliceEndsAt) continue
    await setImmediate()
    sliceEndsAt = performance.now() + SLICE_MS
  }
}
