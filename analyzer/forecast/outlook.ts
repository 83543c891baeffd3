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
import { RHYTHM_TRAITS, rhythmTraits } from './rhythm.ts'
import { HISTORY_TRAITS, historyTraits } from './traits.ts'

/** Knots of the mixed curve, and how many of them the curves of its sources skip. */
const KNOTS = 24
const SOURCE_EVERY = 3
/** The largest total is kept as this, half of what half a float can hold. */
const TOTAL_MAX = 32_768
/** Most earlier windows that are looked at. */
const PAST_MAX = 60
const LEVELS = CURVE_LEVELS.length
const SOURCE_VALUES = (KNOTS / SOURCE_EVERY) * LEVELS
/** Where each part begins in an outlook's values. */
const AT = (() => {
  const sources = KNOTS * LEVELS
  const past = sources + SOURCES.length * SOURCE_VALUES
  const periods = past + LEVELS
  const weights = periods + LEVELS
  const traits = weights + SOURCES.length
  return { sources, past, periods, weights, traits }
})()

/** Everything in one array, so that a hundred thousand of them fit: what it means is said by the functions below. */
export interface Outlook {
  atMs: number
  untilMs: number
  windowMs: number
  /** What a total of 1 stands for among the values: halves of floats reach over nine digits, and are good for three. */
  unit: number
  values: Float16Array
}

/** Traits of a series, in their order. */
export const TRAITS = [
  ...HISTORY_TRAITS,
  ...RHYTHM_TRAITS,
  /** How many earlier instants the sources were scored at, and how they did: see `SourceRecord`. */
  'origins',
  'past bias',
  'past width',
] as const

/** How far ahead a series is looked at, in windows of `windowMs`. */
export type OutlookAsk = Pick<Outlook, 'atMs' | 'untilMs' | 'windowMs'>

/** Fits the sources at `atMs`, for windows of `windowMs` and as far as `untilMs`. */
export function toOutlook(history: History, ask: OutlookAsk): Outlook {
  const { atMs, untilMs, windowMs } = ask
  const pathAsk = { atMs, leftMs: untilMs - atMs, windowMs, knots: KNOTS }
  const fit = fitMix(history, pathAsk)
  const drawn = drawAll(fit, pathAsk)
  const mixed = mixPaths(drawn, fit.weights)
  const totals = new Float64Array(AT.weights).fill(Number.NaN)
  if (mixed) totals.set(toCurve(mixed, atMs).totals)
  drawn.forEach((paths, source) => {
    if (paths) totals.set(toCurve(paths, atMs, SOURCE_EVERY).totals, AT.sources + source * SOURCE_VALUES)
  })
  totals.set(pastTotals(history, atMs, windowMs, windowMs) ?? [], AT.past)
  totals.set(pastTotals(history, atMs, windowMs, periodMsOf(windowMs)) ?? [], AT.periods)
  const unit = Math.max(...totals.filter(total => total > 0), 0) / TOTAL_MAX || 1
  const values = new Float16Array(AT.traits + TRAITS.length)
  for (let at = 0; at < totals.length; at++) values[at] = (totals[at] ?? 0) / unit
  values.set(fit.weights, AT.weights)
  values.set(
    [...historyTraits(history, ask), ...rhythmTraits(history, ask), fit.origins, fit.bias, fit.width],
    AT.traits,
  )
  return { atMs, untilMs, windowMs, unit, values }
}

/** The curve of all sources as they are mixed; `null` where none has anything to say. */
export const mixedCurve = (outlook: Outlook): Curve | null => curveAt(outlook, 0, KNOTS)

/** The curve of each of `SOURCES`; `null` where the history is too short for it. */
export const sourceCurves = (outlook: Outlook): (Curve | null)[] =>
  SOURCES.map((_, source) => curveAt(outlook, AT.sources + source * SOURCE_VALUES, KNOTS / SOURCE_EVERY))

function curveAt({ atMs, untilMs, unit, values }: Outlook, from: number, knots: number): Curve | null {
  const totals = values.subarray(from, from + knots * LEVELS)
  return Number.isNaN(totals[0]) ? null : { fromMs: atMs, knotMs: (untilMs - atMs) / knots, totals, unit }
}

/** Quantiles at `CURVE_LEVELS` of the totals of earlier windows of this length; `null` where none is known. */
export const pastQuantiles = (outlook: Outlook): Float64Array | null => quantilesAt(outlook, AT.past)

/** The same of earlier days, or of windows when they are shorter. */
export const periodQuantiles = (outlook: Outlook): Float64Array | null => quantilesAt(outlook, AT.periods)

function quantilesAt({ unit, values }: Outlook, from: number): Float64Array | null {
  const quantiles = new Float64Array(values.subarray(from, from + LEVELS)).map(total => total * unit)
  return Number.isNaN(quantiles[0]) ? null : quantiles
}

/** How much each of `SOURCES` counts; they sum to 1. */
export const sourceWeights = ({ values }: Outlook): Float16Array => values.subarray(AT.weights, AT.traits)

/** By their order in `TRAITS`. */
export const traitValues = ({ values }: Outlook): Float16Array => values.subarray(AT.traits)

/** How many earlier instants the weights were learnt from. */
export const originsOf = ({ values }: Outlook): number => values[AT.traits + TRAITS.indexOf('origins')] ?? 0

/** Quantiles of the totals of earlier stretches, which end whole periods ago. */
function pastTotals(history: History, atMs: number, windowMs: number, lengthMs: number): number[] | null {
  const periodMs = periodMsOf(windowMs)
  const count = Math.min(PAST_MAX, 1 + Math.floor((atMs - lengthMs - firstUseMs(history)) / periodMs))
  if (count < 1) return null
  const totals = Float64Array.from({ length: count }, (_, k) => {
    const toMs = atMs - k * periodMs
    return totalBetween(history, toMs - lengthMs, toMs)
  })
  return weightedQuantiles(totals, new Float64Array(count).fill(1), CURVE_LEVELS)
}
