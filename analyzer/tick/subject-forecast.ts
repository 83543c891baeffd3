/** The forecast of one subject under one quota, as the API answers it and the store keeps it. */

import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { describeRate, type Forecast, type ForecastAsk, fitForecast, forecast } from '../forecast/forecaster.ts'
import type { Mix } from '../forecast/mix.ts'
import type { DimensionField, Quota } from '../policy/quota.ts'
import { subjectMap } from '../policy/subject.ts'
import type { UsageSeries } from '../usage/series.ts'
import type { Unit } from '../usage/units.ts'
import { isResetting, type Window } from '../usage/window.ts'
import { countedWindow } from './followed-quota.ts'
import { passingUse } from './passing-use.ts'
import { demandTotals, isHeldWhole, type QuotaSeries, usedInWindow } from './quota-series.ts'

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
export interface ForecastState {
  forecast: SubjectForecast
  mix: Mix
  /** The weights of the sources are good until then. */
  mixUntilMs: number
  /** A forecast without new calls is good until then. */
  dueAtMs: number
}

/** Parts of a window after which the weights are learnt again, and a forecast is made again without new calls. */
const MIX_PARTS = 24
const DUE_PARTS = 1_440
const MIX_MS = { min: 60_000, max: 3_600_000 }
const DUE_MS = { min: 1_000, max: 60_000 }

/** True when the subject must be forecast now: it has new calls, its window ended, or its forecast is old. */
export const isForecastDue = (state: ForecastState | undefined, nowMs: number, isTouched: boolean): boolean =>
  state === undefined || isTouched || nowMs >= state.dueAtMs || nowMs >= state.forecast.windowEndMs

/** Forecasts one subject of the series. `scratch` is at least one longer than the series' grid. */
export function forecastSubject(
  series: QuotaSeries,
  key: string,
  nowMs: number,
  previous: ForecastState | undefined,
  scratch: Float64Array,
): ForecastState | null {
  const one = series.subjects.get(key)
  if (!one) return null
  const { quota, grid } = series
  const counted = countedWindow(quota, nowMs)
  const ask: ForecastAsk = {
    ...useNow(series, key, one, counted),
    history: {
      startMs: grid.startMs,
      stepMs: grid.stepMs,
      endMs: nowMs,
      total: demandTotals(series, one, nowMs, scratch),
    },
    nowMs,
    limit: quota.limit,
  }
  const { used, windowStartMs, windowEndMs } = ask
  const isRate = quota.window.kind === 'rate'
  const isMixGood = isRate || (nowMs < (previous?.mixUntilMs ?? 0) && nowMs < (previous?.forecast.windowEndMs ?? 0))
  const hasMix = previous !== undefined && isMixGood
  const mix = hasMix ? previous.mix : fitForecast(ask)
  const made = isRate ? describeRate(ask) : forecast(ask, mix)
  const forecastNow: SubjectForecast = {
    quota: quota.name,
    subject: subjectMap(quota, one.subject),
    tenant: ownerOf(quota, one.subject, 'tenant'),
    consumer: ownerOf(quota, one.subject, 'consumer'),
    unit: quota.unit,
    limit: quota.limit,
    used,
    windowStartMs: counted.startMs,
    windowEndMs,
    asOfMs: nowMs,
    ...(isHeldWhole(counted, nowMs) ? made : ofHeldPart(made)),
  }
  const window = { startMs: windowStartMs, endMs: windowEndMs }
  return {
    forecast: forecastNow,
    mix,
    mixUntilMs: hasMix ? previous.mixUntilMs : nowMs + part(window, MIX_PARTS, MIX_MS),
    dueAtMs: nowMs + part(window, DUE_PARTS, DUE_MS),
  }
}

/** What is used now, and the window in which that may reach the limit. */
function useNow(
  series: QuotaSeries,
  key: string,
  one: UsageSeries,
  counted: Window,
): Pick<ForecastAsk, 'used' | 'windowStartMs' | 'windowEndMs' | 'expiredAfter'> {
  const { window } = series.quota
  const nowMs = counted.endMs
  if (isResetting(window)) {
    const used = usedInWindow(series, key, counted)
    return { used, windowStartMs: counted.startMs, windowEndMs: counted.endMs, expiredAfter: null }
  }
  const lengthMs = window.kind === 'sliding' ? window.lengthMs : window.periodMs
  const { used, expiredAfter } = passingUse(series, one, counted, lengthMs)
  // Of a rate, the mean of a period: periods are shorter than the steps in which use is known.
  const share = window.kind === 'sliding' ? 1 : lengthMs / (nowMs - counted.startMs)
  return { used: Math.round(used * share), windowStartMs: nowMs, windowEndMs: nowMs + lengthMs, expiredAfter }
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

function part(window: Window, parts: number, { min, max }: { min: number; max: number }): number {
  return Math.max(min, Math.min(max, (window.endMs - window.startMs) / parts))
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
