/**
 * What is learnt of a series when it is fit: curves of each path source as far as asked, what earlier windows took, and
 * traits of the series. Small, and good until it is made anew; everything else a forecast needs is looked up in the
 * history when it is made.
 */
import { periodMsOf } from './analogs.ts'
import { CURVE_LEVELS, type Curve, toCurve } from './curve.ts'
import { firstUseMs, type History, totalBetween } from './history.ts'
import { drawAll, fitMix, mixPaths, SOURCES } from './mix.ts'
import { weightedQuantiles } from './paths.ts'

/** Knots of the mixed curve, and how many of them the curves of its sources skip. */
const KNOTS = 24
const SOURCE_EVERY = 3
/** Most earlier windows and periods that are looked at. */
const PAST_MAX = 60
const DAY_MS = 86_400_000
const LEVELS = CURVE_LEVELS.length
const SOURCE_VALUES = (KNOTS / SOURCE_EVERY) * LEVELS
/** Where each part begins in an outlook's values. */
const AT = (() => {
  const sources = KNOTS * LEVELS
  const past = sources + SOURCES.length * SOURCE_VALUES
  const weights = past + LEVELS
  const traits = weights + SOURCES.length
  return { sources, past, weights, traits }
})()

/** Everything in one array, so that a hundred thousand of them fit: what it means is said by the functions below. */
export interface Outlook {
  atMs: number
  untilMs: number
  windowMs: number
  values: Float32Array
}

/** Traits of a series, in their order. */
export const TRAITS = [
  /** Share of the earlier periods (days, or windows when shorter) in which anything was used. */
  'active share',
  /** Standard deviation of the logarithms of their totals, without the idle ones. */
  'spread',
  /** Logarithm of the mean of the last three of them over the mean of all. */
  'trend',
  /** Share of the recent parts of a period in which nothing was used, and the spread of the others. */
  'idle share',
  'part spread',
  /** Correlation of parts of consecutive days: how seasonal the series is. */
  'season',
  /** How many earlier instants the sources were scored at, and how they did: see `SourceRecord`. */
  'origins',
  'past bias',
  'past width',
] as const

/** Fits the sources at `atMs`, for windows of `windowMs` and as far as `untilMs`. */
export function toOutlook(history: History, ask: { atMs: number; untilMs: number; windowMs: number }): Outlook {
  const { atMs, untilMs, windowMs } = ask
  const pathAsk = { atMs, leftMs: untilMs - atMs, windowMs, knots: KNOTS }
  const fit = fitMix(history, pathAsk)
  const drawn = drawAll(fit, pathAsk)
  const mixed = mixPaths(drawn, fit.weights)
  const values = new Float32Array(AT.traits + TRAITS.length).fill(Number.NaN)
  if (mixed) values.set(toCurve(mixed, atMs).totals)
  drawn.forEach((paths, source) => {
    if (paths) values.set(toCurve(paths, atMs, SOURCE_EVERY).totals, AT.sources + source * SOURCE_VALUES)
  })
  values.set(pastWindows(history, atMs, windowMs) ?? [], AT.past)
  values.set(fit.weights, AT.weights)
  values.set([...traitsOf(history, atMs, windowMs), fit.origins, fit.bias, fit.width], AT.traits)
  return { atMs, untilMs, windowMs, values }
}

/** The curve of all sources as they are mixed; `null` where none has anything to say. */
export const mixedCurve = (outlook: Outlook): Curve | null => curveAt(outlook, 0, KNOTS)

/** The curve of each of `SOURCES`; `null` where the history is too short for it. */
export const sourceCurves = (outlook: Outlook): (Curve | null)[] =>
  SOURCES.map((_, source) => curveAt(outlook, AT.sources + source * SOURCE_VALUES, KNOTS / SOURCE_EVERY))

function curveAt({ atMs, untilMs, values }: Outlook, from: number, knots: number): Curve | null {
  const totals = values.subarray(from, from + knots * LEVELS)
  return Number.isNaN(totals[0]) ? null : { fromMs: atMs, knotMs: (untilMs - atMs) / knots, totals }
}

/** Quantiles at `CURVE_LEVELS` of the totals of earlier windows of this length; `null` where none is known. */
export function pastQuantiles({ values }: Outlook): Float32Array | null {
  const past = values.subarray(AT.past, AT.past + LEVELS)
  return Number.isNaN(past[0]) ? null : past
}

/** How much each of `SOURCES` counts; they sum to 1. */
export const sourceWeights = ({ values }: Outlook): Float32Array => values.subarray(AT.weights, AT.traits)

/** By their order in `TRAITS`. */
export const traitValues = ({ values }: Outlook): Float32Array => values.subarray(AT.traits)

/** How many earlier instants the weights were learnt from. */
export const originsOf = ({ values }: Outlook): number => values[AT.traits + TRAITS.indexOf('origins')] ?? 0

function pastWindows(history: History, atMs: number, windowMs: number): number[] | null {
  const periodMs = periodMsOf(windowMs)
  const beginMs = firstUseMs(history)
  const count = Math.min(PAST_MAX, 1 + Math.floor((atMs - windowMs - beginMs) / periodMs))
  if (count < 1) return null
  const totals = Float64Array.from({ length: count }, (_, k) => {
    const toMs = atMs - k * periodMs
    return totalBetween(history, toMs - windowMs, toMs)
  })
  return weightedQuantiles(totals, new Float64Array(count).fill(1), CURVE_LEVELS)
}

/** The first of `TRAITS`, which are about the history alone. */
function traitsOf(history: History, atMs: number, windowMs: number): number[] {
  const periodMs = periodMsOf(windowMs)
  const beginMs = firstUseMs(history)
  const count = Math.min(PAST_MAX, Math.max(0, Math.floor((atMs - beginMs) / periodMs)))
  const totals = Float64Array.from({ length: count }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * periodMs, atMs - k * periodMs),
  )
  const active = totals.filter(total => total > 0)
  const recent = totals.subarray(0, 3)
  const partMs = Math.max(history.stepMs, periodMs / 24)
  const partCount = Math.min(24 * 14, Math.max(0, Math.floor((atMs - beginMs) / partMs)))
  const parts = Float64Array.from({ length: partCount }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * partMs, atMs - k * partMs),
  )
  const activeParts = parts.filter(total => total > 0)
  return [
    count > 0 ? active.length / count : 0,
    logSpread(active),
    recent.length > 0 ? Math.log((mean(recent) + 0.01 * mean(totals)) / (1.01 * mean(totals))) : 0,
    partCount > 0 ? 1 - activeParts.length / partCount : 1,
    logSpread(activeParts),
    correlation(parts, Math.round(Math.min(DAY_MS, periodMs) / partMs)),
  ]
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length

function logSpread(values: Float64Array): number {
  if (values.length < 2) return 0
  const logs = values.map(Math.log)
  const middle = mean(logs)
  return Math.sqrt(mean(logs.map(value => (value - middle) ** 2)))
}

/** Correlation of the values with those `lag` places on; 0 where there are too few. */
function correlation(values: Float64Array, lag: number): number {
  const count = values.length - lag
  if (count < lag || lag < 1) return 0
  const middle = mean(values)
  let across = 0
  let all = 0
  for (let i = 0; i < values.length; i++) {
    all += ((values[i] ?? 0) - middle) ** 2
    if (i < count) across += ((values[i] ?? 0) - middle) * ((values[i + lag] ?? 0) - middle)
  }
  return all > 0 ? across / all : 0
}
