/**
 * Traits of how a series comes and goes: how alike its periods (days, or windows when shorter) are, where they lead, how
 * long it is used and rests at a time, and how the rest of a window differed from one period to the next. Logarithms,
 * shares and correlations, so that series of all sizes compare; unknown (NaN) where too little is known for one.
 */
import { periodMsOf } from './analogs.ts'
import { firstUseMs, type History, totalBetween } from './history.ts'
import type { OutlookAsk } from './outlook.ts'
import { meanOf } from './traits.ts'

/** Most earlier periods that are compared, and that are followed as analogs. */
const LIKENESS_PERIODS = 28
const PERIODS_MAX = 60
/** Periods whose likeness is told: the last one, and so many before. */
const LIKENESS_LAGS = [1, 7] as const
/** Periods over which a trend is laid. */
const TRENDS = [5, 10] as const
/** Fewest values that say anything of their spread. */
const FEW = 3
/** Softens logarithms, as a share of the mean total of a period. */
const FLOOR_SHARE = 0.02
/** Parts of a period that are told used from idle, and how many periods of them are looked at. */
const PARTS = 48
const RUN_PERIODS = 7
/** Analogs are compared by what came before them: for as long as the window runs, or for this part of a period. */
const BEFORE_PARTS = 12
const SCALE_MAX = 10
const SCALE_FLOOR = 0.05

/** Their names, in their order. */
export const RHYTHM_TRAITS = [
  ...LIKENESS_LAGS.map(lag => `likeness of ${lag} before` as const),
  'peak share',
  ...(['most', 'middle', 'least'] as const).map(name => `${name} of periods` as const),
  'run',
  'mean use',
  'mean rest',
  'uses',
  ...TRENDS.flatMap(count => [`slope of ${count}`, `spread about slope of ${count}`] as const),
  'spread of scaled rests',
  'spread of rests',
  'rests',
] as const

/** What the traits are taken of. */
interface Known {
  history: History
  ask: OutlookAsk
  beginMs: number
  periodMs: number
  /** What a period takes, by all that is known. */
  mean: number
}

/** The values of `RHYTHM_TRAITS`. */
export function rhythmTraits(history: History, ask: OutlookAsk): number[] {
  const { atMs, windowMs } = ask
  const periodMs = periodMsOf(windowMs)
  const beginMs = firstUseMs(history)
  const knownMs = Math.max(history.stepMs, atMs - beginMs)
  const mean = (totalBetween(history, beginMs, atMs) / knownMs) * periodMs + Number.MIN_VALUE
  const count = Math.min(PERIODS_MAX, Math.floor((atMs - beginMs) / periodMs + 1e-9))
  const totals = Array.from({ length: Math.max(0, count) }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * periodMs, atMs - k * periodMs),
  )
  const known: Known = { history, ask, beginMs, periodMs, mean }
  const logs = totals.slice(0, LIKENESS_PERIODS).map(total => Math.log(total + FLOOR_SHARE * mean))
  const sorted = totals.toSorted((a, b) => b - a)
  return [
    ...LIKENESS_LAGS.map(lag => likeness(logs, lag)),
    peakShare(known),
    ...[0, 0.5, 1].map(level => middleAt(sorted, level) / mean),
    ...runs(known),
    ...TRENDS.flatMap(length => trend(logs.slice(0, length))),
    ...restSpreads(known),
  ]
}

/** Correlation of the values with those `lag` places before. */
function likeness(values: readonly number[], lag: number): number {
  const count = values.length - lag
  if (count < FEW) return Number.NaN
  const middle = meanOf(values)
  let across = 0
  for (let at = 0; at < count; at++) across += ((values[at] ?? 0) - middle) * ((values[at + lag] ?? 0) - middle)
  return across / (values.reduce((sum, value) => sum + (value - middle) ** 2, 0) + 1e-9)
}

/** The largest part of the last period, as a share of it. */
function peakShare({ history, ask: { atMs }, periodMs }: Known): number {
  const partMs = Math.max(history.stepMs, periodMs / PARTS)
  const parts = Array.from({ length: PARTS }, (_, k) =>
    totalBetween(history, atMs - (k + 1) * partMs, atMs - k * partMs),
  )
  return Math.max(...parts) / (parts.reduce((sum, part) => sum + part, 0) + Number.MIN_VALUE)
}

/** The value at a share of sorted ones, between two of them where it falls there. */
function middleAt(sorted: readonly number[], level: number): number {
  const place = level * (sorted.length - 1)
  const below = sorted[Math.floor(place)] ?? Number.NaN
  return below + (place - Math.floor(place)) * ((sorted[Math.ceil(place)] ?? below) - below)
}

/** Parts for which it is used or idle (below 0) by now, logarithms of how many it mostly is, and uses in a period. */
function runs({ history, ask: { atMs }, beginMs, periodMs }: Known): number[] {
  const partMs = Math.max(history.stepMs, periodMs / PARTS)
  const count = Math.max(0, Math.min(PARTS * RUN_PERIODS, Math.floor((atMs - beginMs) / partMs)))
  const lengths: { isUsed: boolean; parts: number }[] = []
  for (let k = 0; k < count; k++) {
    const isUsed = totalBetween(history, atMs - (k + 1) * partMs, atMs - k * partMs) > 0
    const last = lengths.at(-1)
    if (last?.isUsed === isUsed) last.parts++
    else lengths.push({ isUsed, parts: 1 })
  }
  const [now] = lengths
  // The oldest one began before what is looked at.
  const whole = lengths.length > 1 ? lengths.slice(0, -1) : []
  const [used, idle] = [true, false].map(wanted =>
    whole.filter(({ isUsed }) => isUsed === wanted).map(({ parts }) => parts),
  ) as [number[], number[]]
  return [
    now ? (now.isUsed ? 1 : -1) * Math.log(1 + now.parts) : 0,
    Math.log(meanOf(used)),
    Math.log(meanOf(idle)),
    (used.length / Math.max(1, count)) * PARTS,
  ]
}

/** How much the logarithms rise from one to the next, by least squares, and their spread about that. */
function trend(logs: readonly number[]): number[] {
  if (logs.length < FEW) return [Number.NaN, Number.NaN]
  const middle = (logs.length - 1) / 2
  const mean = meanOf(logs)
  const squares = logs.reduce((sum, _, at) => sum + (at - middle) ** 2, 0)
  // The last one comes first.
  const slope = -logs.reduce((sum, log, at) => sum + (at - middle) * (log - mean), 0) / squares
  const errors = logs.map((log, at) => log - mean + slope * (at - middle))
  return [slope, Math.sqrt(meanOf(errors.map(error => error ** 2)))]
}

/**
 * How the logarithms of what the rest of the window took whole periods ago are spread, each scaled by what is used by now
 * over what was used before it, and as they are, and how many there are.
 */
function restSpreads({ history, ask, beginMs, periodMs, mean }: Known): number[] {
  const { atMs, untilMs, windowMs } = ask
  const leftMs = untilMs - atMs
  const beforeMs = Math.max(windowMs - leftMs, periodMs / BEFORE_PARTS)
  const now = totalBetween(history, atMs - beforeMs, atMs)
  const [scaled, plain]: [number[], number[]] = [[], []]
  for (let k = Math.max(1, Math.ceil(leftMs / periodMs - 1e-9)); k <= PERIODS_MAX; k++) {
    const fromMs = atMs - k * periodMs
    if (fromMs - beforeMs < beginMs - 1) break
    const rest = totalBetween(history, fromMs, fromMs + leftMs)
    const before = totalBetween(history, fromMs - beforeMs, fromMs)
    const floor = SCALE_FLOOR * (now + before) + Number.MIN_VALUE
    const scale = Math.max(1 / SCALE_MAX, Math.min(SCALE_MAX, (now + floor) / (before + floor)))
    scaled.push(Math.log(rest * scale + FLOOR_SHARE * mean))
    plain.push(Math.log(rest + FLOOR_SHARE * mean))
  }
  return [deviationOf(scaled), deviationOf(plain), plain.length]
}

const deviationOf = (values: readonly number[]): number => {
  if (values.length < FEW) return Number.NaN
  const mean = meanOf(values)
  return Math.sqrt(meanOf(values.map(value => (value - mean) ** 2)))
}
