/** Public usage series, and questions about them whose answers are known: what the calibrator is trained on. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Question } from '../../analyzer/forecast/features.ts'
import { firstUseMs, type History, reachedMs, toHistory, totalBetween } from '../../analyzer/forecast/history.ts'
import { uniform } from '../../analyzer/forecast/random.ts'

const DAY_MS = 86_400_000
const SETS = ['servegen-req', 'servegen-tok', 'm4h', 'web', 'long', 'minute'] as const
const WINDOWS_MS = [60_000, 300_000, 3_600_000, 5 * 3_600_000, DAY_MS, 7 * DAY_MS, 30 * DAY_MS] as const
/** Windows begin when a series is at least so many days or windows old, and some when it has just begun. */
const OLD_UNITS = 2
const YOUNG_UNITS = 0.5
const YOUNG_SHARE = 0.1
/** Windows begin at so many times of a day, as days do around the world, or of a window, when shorter. */
const STARTS = 4
/** From so many steps on a series is long. */
const LONG_STEPS = 3_000
/** Fewest steps of a window, and the length of the series' step from which windows of seconds are asked about. */
const STEPS_MIN = 12
const WINDOW_STEPS_MAX = 8_640
/** Lower limits are no quotas. */
const LIMIT_MIN = 20

export interface Series {
  id: string
  set: string
  /** Series of one fold are scored by what was trained on the others; those of one client are in the same. */
  fold: number
  values: Float64Array
  history: History
}

/** Folds that the series are dealt into. */
export const FOLDS = 8
/** Sums of clients that are made, and of how many clients each. */
const SUMS = 200
const SUMMED = { min: 2, max: 6 }
/** Steps that other series have: each is taken to have one of these, too (the long ones each), as if its clock ran faster or slower. */
const CLOCKS_MS = [1_000, 60_000, 600_000, 1_800_000, 3_600_000] as const
const OTHER_CLOCK = 'on another clock'
/** These are asked about windows up to this length. */
const SHORT_MS_MAX = 5 * 3_600_000
/** Series of single calls that are made: how many, their length, and the calls of a step. */
const COUNTS = 96
const COUNT_STEPS = 3_000
const COUNT_STEPS_MS = [1_000, 60_000] as const
const CALLS_PER_STEP = { min: 0.2, max: 20 }
/** Their level changes within so many steps, by at most so many standard deviations in logs; sizes spread by at most so many. */
const DRIFT_STEPS = { min: 30, max: 3_000 }
const DRIFT_MAX = 0.8
const SIZE_SPREAD_MAX = 1.2

export interface Asked extends Question {
  /** The public set and the window: what is weighed alike. */
  group: string
  /** When the limit was reached; at or after the window's end when it was not. */
  reachedAtMs: number
}

/** Reads the prepared series of `folder`, in their order. */
export function readSeries(folder: string): Series[] {
  const read = SETS.flatMap(set =>
    gunzipSync(readFileSync(join(folder, 'prepared', `${set}.jsonl.gz`)))
      .toString('utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { id: string; step: number; start: number; values: number[] })
      .map(one => ({ ...one, set })),
  )
  const folds = foldsOf(read.map(({ id }) => clientOf(id)))
  return read.map(({ id, set, step, start, values }) =>
    toSeries(id, set, folds.get(clientOf(id)) ?? 0, Float64Array.from(values), {
      startMs: start * 1000,
      stepMs: step * 1000,
    }),
  )
}

/** Requests and tokens of one client are in the same fold. */
const clientOf = (id: string): string => id.replace(/-(req|tok)\b/, '')

/** Clients are dealt one by one, shuffled within their set, so that no fold has all of a set of which there are few. */
function foldsOf(clients: readonly string[]): Map<string, number> {
  const sets = Map.groupBy(new Set(clients), client => client.replace(/\/.*/, ''))
  const dealt = Array.from(sets.values()).flatMap(some =>
    some.sort((a, b) => seedOf(`${a} fold`) - seedOf(`${b} fold`)),
  )
  return new Map(dealt.map((client, index) => [client, index % FOLDS]))
}

function toSeries(
  id: string,
  set: string,
  fold: number,
  values: Float64Array,
  grid: { startMs: number; stepMs: number },
): Series {
  const { startMs, stepMs } = grid
  return { id, set, fold, values, history: toHistory(values, startMs, stepMs, startMs + values.length * stepMs) }
}

/**
 * More series, so that what is learnt is not about single ones: sums of clients, as teams and tenants are, and single
 * calls and other clocks, so that short windows are known from more than a few series.
 */
export function moreSeries(series: readonly Series[]): Series[] {
  const random = uniform(seedOf('sums'))
  const counts = Array.from({ length: COUNTS }, (_, index) => countSeries(index))
  const sums = Array.from({ length: SUMS }, (_, index) => {
    const fold = index % FOLDS
    const set = index % 3 === 0 ? 'servegen-tok' : 'servegen-req'
    const clients = series.filter(one => one.set === set && one.fold === fold)
    const count = SUMMED.min + Math.floor(random() * (SUMMED.max - SUMMED.min + 1))
    const values = new Float64Array(clients[0]?.values.length ?? 0)
    for (let k = 0; k < count; k++) {
      const one = clients[Math.floor(random() * clients.length)]
      const mean = (one?.values.reduce((sum, value) => sum + value, 0) ?? 0) / values.length
      const weight = (100 * Math.exp(2 * random())) / mean
      one?.values.forEach((value, step) => {
        values[step] = (values[step] ?? 0) + weight * value
      })
    }
    return toSeries(`sum ${index}`, `${set} sum`, fold, values, { startMs: 0, stepMs: 600_000 })
  })
  return [...sums, ...counts, ...onOtherClocks(series)]
}

/** How use comes and goes is much alike from seconds to days: short windows, of which little is public, learn of long ones. */
const onOtherClocks = (series: readonly Series[]): Series[] =>
  series.flatMap(({ id, set, fold, values, history }, index) => {
    const others = CLOCKS_MS.filter(stepMs => stepMs !== history.stepMs)
    const one = others[index % others.length] ?? 0
    return (values.length > LONG_STEPS ? others : [one]).map(stepMs =>
      toSeries(`${id} ${stepMs}`, `${set} ${OTHER_CLOCK}`, fold, values, { startMs: 0, stepMs }),
    )
  })

/** Calls that come one by one at a level that wanders: how much chance alone does to small numbers. */
function countSeries(index: number): Series {
  const random = uniform(seedOf(`counts ${index}`))
  const gauss = gaussBy(random)
  const gap = () => -Math.log(1 - random())
  const between = ({ min, max }: { min: number; max: number }) => min * (max / min) ** random()
  const callsPerStep = between(CALLS_PER_STEP)
  const kept = Math.exp(-1 / between(DRIFT_STEPS))
  const drift = DRIFT_MAX * random()
  const sizeSpread = index % 2 === 0 ? 0 : SIZE_SPREAD_MAX * random()
  let level = gauss()
  const values = Float64Array.from({ length: COUNT_STEPS }, () => {
    level = kept * level + Math.sqrt(1 - kept * kept) * gauss()
    let units = 0
    // Gaps between calls are exponential: as many as fit into the step come in it.
    for (let at = gap(); at < callsPerStep * Math.exp(drift * level); at += gap()) {
      units += sizeSpread === 0 ? 1 : Math.round(100 * Math.exp(sizeSpread * gauss()))
    }
    return units
  })
  const stepMs = COUNT_STEPS_MS[Math.floor(index / 2) % COUNT_STEPS_MS.length] ?? 1_000
  return toSeries(`counts ${index}`, 'counts', index % FOLDS, values, { startMs: 0, stepMs })
}

/** Normal numbers, by Box and Muller. */
const gaussBy = (random: () => number) => () =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** A number from a text, by FNV-1a: what a text is seeded with. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** Most windows of one length that are asked about in a series, instants in each, and limits at each instant. */
export interface Sampling {
  /** Longer windows are not asked about. */
  windowMsMax: number
  windowsMax: number
  instants: number
  limits: number
}

/** How much is asked of a series: of the few long ones more, of made ones less. Days on another clock are not like days. */
export function samplingOf({ set, values }: Series): Sampling {
  const isLong = values.length > LONG_STEPS
  const windowMsMax = set.endsWith(OTHER_CLOCK) ? SHORT_MS_MAX : Number.POSITIVE_INFINITY
  if (!(SETS as readonly string[]).includes(set)) {
    return { windowMsMax, windowsMax: isLong ? 20 : 6, instants: 3, limits: 2 }
  }
  if (set === 'm4h') return { windowMsMax, windowsMax: 5, instants: 3, limits: 3 }
  return { windowMsMax, windowsMax: isLong ? 40 : 10, instants: 4, limits: 3 }
}

/** Asks about random windows of the series, at random instants, with limits near what earlier windows used. */
export function sampleQuestions(
  { id, set, history }: Series,
  { windowMsMax, windowsMax, instants, limits }: Sampling,
): Asked[] {
  const random = uniform(seedOf(id))
  const gauss = gaussBy(random)
  const beginMs = firstUseMs(history)
  const asked: Asked[] = []
  for (const windowMs of WINDOWS_MS) {
    const steps = windowMs / history.stepMs
    if (windowMs > windowMsMax || steps < STEPS_MIN || steps > WINDOW_STEPS_MAX) continue
    const unitMs = Math.min(windowMs, DAY_MS)
    const strideMs = Math.round(unitMs / STARTS / history.stepMs) * history.stepMs
    const startsFrom = (units: number) => Math.ceil((beginMs + units * unitMs) / strideMs) * strideMs
    const firstMs = startsFrom(OLD_UNITS)
    const starts = Math.floor((history.endMs - windowMs - firstMs) / strideMs) + 1
    if (starts < 1) continue
    for (let w = 0; w < Math.min(windowsMax, starts); w++) {
      const isYoung = random() < YOUNG_SHARE
      const windowStartMs = isYoung ? startsFrom(YOUNG_UNITS) : firstMs + Math.floor(random() * starts) * strideMs
      const windowEndMs = windowStartMs + windowMs
      for (let k = 0; k < instants; k++) {
        const part = (Math.floor(random() * 12) / 12) * windowMs
        const nowMs = windowStartMs + Math.round(part / history.stepMs) * history.stepMs
        const used = totalBetween(history, windowStartMs, nowMs)
        for (let l = 0; l < limits; l++) {
          const limit = limitOf(history, windowStartMs, windowMs, unitMs, random, gauss)
          if (limit < LIMIT_MIN || used >= limit) continue
          const reachedAtMs = Math.min(windowEndMs, reachedMs(history, windowStartMs, limit))
          const ask = { history, nowMs, windowStartMs, windowEndMs, used, limit, reachedAtMs }
          asked.push({ ...ask, group: `${set} ${windowMs / 1000}` })
        }
      }
    }
  }
  return asked
}

/** A limit that could have been set from the past alone: near what a random earlier window used. */
function limitOf(
  history: History,
  startMs: number,
  windowMs: number,
  unitMs: number,
  random: () => number,
  gauss: () => number,
): number {
  const windows = Math.floor((startMs - windowMs - history.startMs) / unitMs) + 1
  if (windows < 3) {
    const knownMs = startMs - history.startMs
    return Math.round((totalBetween(history, history.startMs, startMs) / knownMs) * windowMs * Math.exp(0.4 * gauss()))
  }
  const toMs = startMs - Math.floor(random() * windows) * unitMs
  return Math.round(totalBetween(history, toMs - windowMs, toMs) * Math.exp(0.15 * gauss()))
}
