/** The forecast of one subject under one quota, as the API answers it and the store keeps it. */
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { CALIBRATOR } from '../forecast/calibrator.ts'
import { describePassing, type Forecast, type ForecastAsk } from '../forecast/forecaster.ts'
import { type ForecastState, forecastNext } from '../forecast/refit.ts'
import type { DimensionField, Quota } from '../policy/quota.ts'
import { subjectMap } from '../policy/subject.ts'
import type { UsageSeries } from '../usage/series.ts'
import type { Unit } from '../usage/units.ts'
import { isResetting, type Window } from '../usage/window.ts'
import { countedWindow } from './followed-quota.ts'
import { passingUse } from './passing-use.ts'
import { demandOf, isHeldWhole, type QuotaSeries, usedInWindow } from './quota-series.ts'

export interface SubjectForecast extends Forecast {
  quota: string
  /** The dimensions of the quota's `per`, by name; unknown is an empty text. */
  subject: Record<string, string>
  /** Whose it is, where the quota says so by `per` or by a `match` of a single value; else `null`. */
  tenant: string | null
  consumer: string | null
  unit: Unit
  limit: number
  used: number
  windowStartMs: number
  /** Without a reset: when all that is used now will count no more. */
  windowEndMs: number
  asOfMs: number
}

/** What is kept of a subject from one tick to the next. */
export interface FollowedForecast {
  forecast: SubjectForecast
  /** Null where nothing is forecast. */
  state: ForecastState | null
  /** A forecast without new calls is good until then. */
  dueAtMs: number
}

/** Parts of a window after which a forecast is made again without new calls. */
const DUE_PARTS = 1_440
/** What is left at least of a limit that no record says is reached, as a share of it. */
const LEAST_NEED = 1e-3
const DUE_MS = { min: 1_000, max: 60_000 }

/** True when the subject must be forecast now: it has new calls, its window ended, or its forecast is old. */
export const isForecastDue = (state: FollowedForecast | undefined, nowMs: number, isTouched: boolean): boolean =>
  state === undefined || isTouched || nowMs >= state.dueAtMs || nowMs >= state.forecast.windowEndMs

/** Forecasts one subject of the series. `scratch` is at least one longer than the series' grid. */
export function forecastSubject(
  series: QuotaSeries,
  key: string,
  nowMs: number,
  previous: FollowedForecast | undefined,
  scratch: Float64Array,
): FollowedForecast | null {
  const one = series.subjects.get(key)
  if (!one) return null
  const { quota } = series
  const window = countedWindow(quota, nowMs)
  const { ask, used } = askOf(series, one, { key, nowMs, window }, scratch)
  const { forecast, state } = isResetting(quota.window)
    ? forecastNext(ask, previous?.state ?? null, { forest: CALIBRATOR, phase: phaseOf(key) })
    : { forecast: describePassing(ask), state: null }
  const forecastNow: SubjectForecast = {
    quota: quota.name,
    subject: subjectMap(quota, one.subject),
    tenant: ownerOf(quota, one.subject, 'tenant'),
    consumer: ownerOf(quota, one.subject, 'consumer'),
    unit: quota.unit,
    limit: quota.limit,
    used,
    windowStartMs: window.startMs,
    windowEndMs: ask.windowEndMs,
    asOfMs: nowMs,
    ...(isHeldWhole(window, nowMs) ? forecast : ofHeldPart(forecast)),
  }
  return {
    forecast: forecastNow,
    state,
    dueAtMs: nowMs + Math.max(DUE_MS.min, Math.min(DUE_MS.max, (window.endMs - window.startMs) / DUE_PARTS)),
  }
}

/** What is asked of the forecast, and what records and checks say was used. */
function askOf(
  series: QuotaSeries,
  one: UsageSeries,
  { key, nowMs, window }: { key: string; nowMs: number; window: Window },
  scratch: Float64Array,
): { ask: ForecastAsk; used: number } {
  const { limit, window: spec } = series.quota
  const { history, missing } = demandOf(series, one, { nowMs, sinceMs: window.startMs }, scratch)
  const peers = series.peersOf(one.subject)
  if (isResetting(spec)) {
    const used = usedInWindow(series, key, window)
    // What has begun and is not recorded yet is as good as used, but only a record says that a limit is reached.
    const begun = Math.max(used, Math.min(used + missing, (1 - LEAST_NEED) * limit))
    const { startMs: windowStartMs, endMs: windowEndMs } = window
    return { ask: { history, nowMs, windowStartMs, windowEndMs, used: begun, limit, peers }, used }
  }
  const lengthMs = spec.kind === 'sliding' ? spec.lengthMs : spec.periodMs
  // Of a rate, the mean of a period: periods are shorter than the steps in which use is known.
  const share = spec.kind === 'sliding' ? 1 : lengthMs / (nowMs - window.startMs)
  const used = Math.round(passingUse(series, one, window) * share)
  return { ask: { history, nowMs, windowStartMs: nowMs, windowEndMs: nowMs + lengthMs, used, limit, peers }, used }
}

/** A number in [0, 1) that is the subject's own, by FNV-1a. */
function phaseOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash >>> 0) / 2 ** 32
}

/** What is said of a window that began before the oldest call that is kept: `used` is a lower bound. */
function ofHeldPart(made: Forecast): Forecast {
  const confidence = made.confidence === 'normal' ? 'low' : made.confidence
  return {
    ...made,
    confidence,
    why: `${made.why} Of this window only the last ${CALLS_RETENTION_DAYS} days are known.`,
  }
}

/** The one value that all calls of the subject have in this dimension, or `null`. */
function ownerOf(quota: Quota, subject: readonly string[], wanted: DimensionField): string | null {
  const index = quota.per.findIndex(({ field }) => field === wanted)
  const value = subject[index]
  if (value !== undefined) return value === '' ? null : value
  const condition = quota.conditions.find(({ field }) => field === wanted)
  if (!condition || condition.prefixes.length > 0 || condition.values.size !== 1) return null
  return condition.values.values().next().value ?? null
}
