/** The forecast of one subject under one quota, as the API answers it and the store keeps it. */
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { CALIBRATOR } from '../forecast/calibrator.ts'
import { burnRateOf, type Forecast, headroomOf, NEVER, REACHED } from '../forecast/forecaster.ts'
import type { LimitStep } from '../forecast/limit-steps.ts'
import { type ForecastState, forecastNext, passingNext } from '../forecast/refit.ts'
import { elsewhereWords } from '../policy/learned.ts'
import { type DimensionField, onlyValue, type Quota } from '../policy/quota.ts'
import { subjectMap } from '../policy/subject.ts'
import { amountWords, type Unit } from '../usage/units.ts'
import type { UpstreamReading } from '../usage/upstream.ts'
import type { Allowed } from './allowed.ts'
import { countedWindow } from './followed-quota.ts'
import { isHeldWhole, type QuotaSeries } from './quota-series.ts'
import { type Asked, askedOf, phaseOf, type SubjectAsk } from './subject-ask.ts'

export interface SubjectForecast extends Forecast {
  quota: string
  /** The dimensions of the quota's `per`, by name; unknown is an empty text. */
  subject: Record<string, string>
  /** Whose it is, where the quota says so by `per` or by a `match` of a single value; else `null`. */
  tenant: string | null
  consumer: string | null
  unit: Unit
  /** The subject's, now; null while nobody has said it. */
  limit: number | null
  /** How that will change until the window's end, as far as is known. */
  limitChanges: readonly LimitStep[]
  /** What the provider said last, where the limit is its to say; null while it said nothing. */
  upstream: UpstreamReading | null
  used: number
  windowStartMs: number
  /** Without a reset: a length from now, as far as is forecast. */
  windowEndMs: number
  asOfMs: number
  /** Made by another analyzer, and as old as `asOfMs` says. */
  isStored: boolean
}

/** What can be spread: forecasts that are followed reckon their fields when they are asked for them. */
export function plainForecast(forecast: SubjectForecast): SubjectForecast {
  const { quota, subject, tenant, consumer, unit, limit, limitChanges, upstream, used, isStored } = forecast
  const { windowStartMs, windowEndMs, asOfMs, probability, exhaustionAtMs, usageAtReset, headroom } = forecast
  const { burnRate, confidence, why, crossing } = forecast
  return {
    ...{ quota, subject, tenant, consumer, unit, limit, limitChanges, upstream, used, isStored },
    ...{ windowStartMs, windowEndMs, asOfMs, probability, exhaustionAtMs, usageAtReset, headroom },
    ...{ burnRate, confidence, why, crossing },
  }
}

/** A forecast as it is made. */
export interface FollowedForecast {
  forecast: SubjectForecast
  /** Null where nothing is forecast. */
  state: ForecastState | null
  /** What it was forecast under. */
  allowed: Allowed
  /** Without new calls it is good until then. */
  dueAtMs: number
}

/** Parts of a window after which a forecast is made again without new calls. */
const DUE_PARTS = 1_440
const DUE_MS = { min: 1_000, max: 60_000 }

/** Forecasts one subject of the series. */
export function forecastSubject(series: QuotaSeries, key: string, asking: SubjectAsk): FollowedForecast | null {
  const one = series.subjects.get(key)
  if (!one) return null
  const { quota } = series
  const { nowMs } = asking
  const window = countedWindow(quota, nowMs)
  const asked = askedOf(series, key, one, asking)
  const { allowed, used, windowEndMs } = asked
  const made = makeForecast(quota, asked, { state: asking.state, phase: phaseOf(key) })
  const [now, ...limitChanges] = allowed.steps
  const forecastNow: SubjectForecast = {
    quota: quota.name,
    subject: subjectMap(quota, one.subject),
    tenant: ownerOf(quota, one.subject, 'tenant'),
    consumer: ownerOf(quota, one.subject, 'consumer'),
    unit: quota.unit,
    limit: now?.limit ?? null,
    limitChanges,
    upstream: series.said.get(key) ?? null,
    used,
    windowStartMs: window.startMs,
    windowEndMs,
    asOfMs: nowMs,
    isStored: false,
    ...asFarAsKnown(made.forecast, { allowed, isWhole: isHeldWhole(window, nowMs), nowMs }),
  }
  return {
    forecast: forecastNow,
    state: made.state,
    allowed,
    dueAtMs: nowMs + Math.max(DUE_MS.min, Math.min(DUE_MS.max, (window.endMs - window.startMs) / DUE_PARTS)),
  }
}

function makeForecast(quota: Quota, asked: Asked, { state, phase }: { state: ForecastState | null; phase: number }) {
  if (asked.isPassing) return passingNext(asked.ask, state, phase)
  const made = forecastNext(asked.ask, state, { forest: CALIBRATOR, phase })
  const forecast = lessForgiven(made.forecast, asked)
  return { ...made, forecast: { ...forecast, why: fallingWords(quota, asked) + forecast.why } }
}

/** A limit that falls below what is used already is reached whatever is asked for. */
function fallingWords({ unit }: Quota, { allowed: { steps }, used }: Asked): string {
  const fall = used < (steps[0]?.limit ?? 0) && steps.find(({ limit }) => limit <= used)
  if (!fall) return ''
  return `From ${new Date(fall.fromMs).toISOString()} on the limit is ${amountWords(fall.limit, unit)}, and that is used already. `
}

/**
 * What was forgiven was allowed on top: it is taken from the use, and the limits are again what they are. What is dated
 * ahead was asked for as what is to come, and is used all the same.
 */
function lessForgiven(
  made: Forecast,
  { ask, used, forgiven, allowed }: Extract<Asked, { isPassing: false }>,
): Forecast {
  const { steps, elsewhere } = allowed
  const limit = steps[0]?.limit
  if ((forgiven === 0 && ask.used >= used) || limit === undefined) return made
  const less = (units: number) => Math.max(used, units - forgiven)
  const usage = made.usageAtReset
  const usageAtReset = usage && { p10: less(usage.p10), p50: less(usage.p50), p90: less(usage.p90) }
  const limitAtReset = steps.at(-1)?.limit ?? limit
  const isReachedElsewhere = elsewhere > 0 && limit > ask.used - forgiven - elsewhere
  return {
    ...made,
    usageAtReset,
    headroom: usageAtReset && headroomOf(usageAtReset, limitAtReset),
    burnRate: burnRateOf({ ...ask, limit }),
    ...(isReachedElsewhere && made.crossing === REACHED && reachedElsewhere(allowed, ask.nowMs)),
  }
}

/** Our own use alone did not reach the limit. When the rest came nobody has said, only that it did. */
const reachedElsewhere = ({ elsewhere, sinceMs }: Allowed, nowMs: number) => ({
  exhaustionAtMs: { p10: nowMs, p50: nowMs, p90: nowMs },
  why: `The limit is reached: by what the provider says is left, ${elsewhereWords(String(elsewhere), sinceMs)}.`,
})

/** What cannot be said of a limit that nobody has said, of one that the provider enforces, and of a window that is not whole. */
function asFarAsKnown(
  forecast: Forecast,
  { allowed: { steps, deniedUntilMs }, isWhole, nowMs }: { allowed: Allowed; isWhole: boolean; nowMs: number },
): Forecast {
  const ofPart = isWhole ? forecast : ofHeldPart(forecast)
  const made = steps.length > 0 ? ofPart : { ...ofPart, headroom: null, burnRate: null }
  if (deniedUntilMs !== null) {
    const why = `The provider refuses calls until ${new Date(deniedUntilMs).toISOString()}: its quota is gone.`
    const exhaustionAtMs = { p10: nowMs, p50: nowMs, p90: nowMs }
    return { ...made, probability: 1, exhaustionAtMs, confidence: 'normal', why, crossing: REACHED }
  }
  if (steps.length > 0) return made
  const why = `The provider has not said its limit yet. ${made.why}`
  return { ...made, probability: null, exhaustionAtMs: NEVER, confidence: 'none', why, crossing: null }
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
export function ownerOf(quota: Quota, subject: readonly string[], wanted: DimensionField): string | null {
  const index = quota.per.findIndex(({ field }) => field === wanted)
  const value = subject[index]
  if (value !== undefined) return value === '' ? null : value
  return onlyValue(quota.conditions, wanted)
}
