/**
 * Use that the past of a subject does not explain. Each hour is expected to be like the same hour of earlier days, as
 * analogs have it; how far such expectations were off before says how far off is unusual. What was never seen before (a
 * model, a network) is as unusual as new things have been rare.
 */
import { type History, totalBefore } from './history.ts'
import { normalQuantile } from './normal.ts'

const HOUR_MS = 3_600_000
const DAY_HOURS = 24
/** Earlier days that an hour is compared with, and how much more the same weekday counts. */
const DAYS_MAX = 28
const WEEKDAY_WEIGHT = 3
/** Fewer errors of earlier expectations say nothing of what is unusual. */
const ERRORS_MIN = 5 * DAY_HOURS
/** Half of a change of level (in logs) is taken to stay, within bounds. */
const LEVEL_POWER = 0.5
const LEVEL_RATIO_MAX = 5
/** An hour counts for the level with at most so many times what was expected, and at least with that part of it. */
const LEVEL_HOUR_RATIO_MAX = 3
/** Softens logarithms, as a share of the mean hour. */
const FLOOR_SHARE = 0.1
/** The spread of errors at an hour of the day is shrunk to that of all hours, as if by so many more errors. */
const SPREAD_PRIOR_COUNT = 10
/** Nothing is as regular as this, in logs. */
const SPREAD_MIN = 0.05
/** Of the sizes of errors: what lies beyond may be unusual use itself. */
const TAIL = 0.975
/** What was off twice at this hour of the day may be off by so many times as much. */
const TWICE_RATIO = 1.2
/** Median absolute deviation of a normal distribution with a standard deviation of 1. */
const NORMAL_MAD = 0.6745

/** From this many standard deviations on, use is unusual: one hour in 30,000 if errors were normal; they are not. */
export const UNUSUAL_SCORE = 4
/** From this score on, what was never seen before is unusual: new in one call of two hundred. */
export const UNSEEN_SCORE = 2.6

/** An hour that was looked at, as it was expected from what came before it. */
export interface ExpectedHour {
  startMs: number
  used: number
  /** What would not have been unusual. */
  low: number
  high: number
  /** Standard deviations above (below: negative) what was expected. */
  score: number
}

/** Consecutive hours that were unusual in the same direction. */
export interface UnusualUse {
  fromMs: number
  toMs: number
  used: number
  /** Sum of what would not have been unusual in each hour. */
  expected: { low: number; high: number }
  /** Of the most unusual hour. */
  score: number
}

/**
 * Whole hours from `fromMs` on, in which use was unusual, joined where they follow each other. Of the `silent` ones nothing
 * is known, nor of parts of those beside them: they had not too little.
 */
export function unusualUse(history: History, fromMs: number, silent: ReadonlySet<number> = new Set()): UnusualUse[] {
  const found: UnusualUse[] = []
  for (const { startMs, used, low, high, score } of expectedHours(history, fromMs)) {
    if (Math.abs(score) < UNUSUAL_SCORE) continue
    if (score < 0 && [-HOUR_MS, 0, HOUR_MS].some(apartMs => silent.has(startMs + apartMs))) continue
    const last = found.at(-1)
    if (last?.toMs === startMs && last.score > 0 === score > 0) {
      last.toMs = startMs + HOUR_MS
      last.used += used
      last.expected = { low: last.expected.low + low, high: last.expected.high + high }
      if (Math.abs(score) > Math.abs(last.score)) last.score = score
    } else {
      found.push({ fromMs: startMs, toMs: startMs + HOUR_MS, used, expected: { low, high }, score })
    }
  }
  return found
}

/** Every whole hour from `fromMs` on for which enough is known, oldest first, each expected from what came before it. */
export function expectedHours(history: History, fromMs: number): ExpectedHour[] {
  const count = Math.floor((history.endMs - history.startMs) / HOUR_MS)
  const totals = Float64Array.from({ length: count + 1 }, (_, hour) =>
    totalBefore(history, history.startMs + hour * HOUR_MS),
  )
  const began = totals.findIndex(total => total > 0) - 1
  if (began < 0) return []
  // Hours as the level counts them: one wild hour must not make the usual ones after it look like too little.
  const held = totals.slice()
  const errors = new Float64Array(count).fill(Number.NaN)
  const answers: ExpectedHour[] = []
  for (let hour = began + 2 * DAY_HOURS; hour < count; hour++) {
    const used = usedBetween(totals, hour, hour + 1)
    const expected = expectedUse(totals, held, began, hour)
    const floor = (FLOOR_SHARE * (totals[hour] ?? 0)) / (hour - began)
    const error = Math.log((used + floor) / (expected + floor))
    const startMs = history.startMs + hour * HOUR_MS
    const spread = startMs >= fromMs ? spreadOf(errors, hour) : null
    if (spread !== null) {
      const bound = (logs: number) => Math.max(0, (expected + floor) * Math.exp(logs) - floor)
      const [low, high] = [bound(-UNUSUAL_SCORE * spread.below), bound(UNUSUAL_SCORE * spread.above)]
      answers.push({ startMs, used, low, high, score: error / (error < 0 ? spread.below : spread.above) })
    }
    errors[hour] = error
    const most = LEVEL_HOUR_RATIO_MAX * (expected + floor)
    held[hour + 1] =
      (held[hour] ?? 0) + Math.max((expected + floor) / LEVEL_HOUR_RATIO_MAX - floor, Math.min(most, used))
  }
  return answers
}

const usedBetween = (totals: Float64Array, from: number, to: number): number => (totals[to] ?? 0) - (totals[from] ?? 0)

/** The weighted median of the same hour of earlier days, each scaled by the level of the day before. */
function expectedUse(totals: Float64Array, held: Float64Array, began: number, hour: number): number {
  const levelNow = usedBetween(held, hour - DAY_HOURS, hour)
  const analogs: { units: number; weight: number }[] = []
  for (let day = 1; day <= DAYS_MAX && hour - (day + 1) * DAY_HOURS >= began; day++) {
    const then = hour - day * DAY_HOURS
    const level = usedBetween(held, then - DAY_HOURS, then)
    const ratio =
      level > 0 && levelNow > 0 ? Math.max(1 / LEVEL_RATIO_MAX, Math.min(LEVEL_RATIO_MAX, levelNow / level)) : 1
    const units = usedBetween(totals, then, then + 1) * ratio ** LEVEL_POWER
    analogs.push({ units, weight: day % 7 === 0 ? WEEKDAY_WEIGHT : 1 })
  }
  analogs.sort((a, b) => a.units - b.units)
  let left = analogs.reduce((sum, { weight }) => sum + weight, 0) / 2
  for (const { units, weight } of analogs) {
    left -= weight
    if (left <= 0) return units
  }
  return 0
}

/** The standard deviation of earlier errors about this hour of the day, each way; `null` while too few are known. */
function spreadOf(errors: Float64Array, hour: number): { below: number; above: number } | null {
  const all: number[] = []
  const near: number[] = []
  const same: number[] = []
  for (let at = Math.max(0, hour - DAYS_MAX * DAY_HOURS); at < hour; at++) {
    const error = errors[at] ?? Number.NaN
    if (Number.isNaN(error)) continue
    all.push(Math.abs(error))
    const apart = (hour - at) % DAY_HOURS
    if (apart <= 1 || apart === DAY_HOURS - 1) near.push(Math.abs(error))
    if (apart === 0) same.push(error)
  }
  if (all.length < ERRORS_MIN) return null
  const deviation = deviationOf(all)
  const squares = near.length * deviationOf(near) ** 2 + SPREAD_PRIOR_COUNT * deviation ** 2
  // Spikes that come again and again are this subject's nature, however quiet it is in between.
  const tail = quantileOf(all, TAIL) / normalQuantile((1 + TAIL) / 2)
  // A job that runs at this hour errs here only, however well the quiet hours about it are known.
  const least = Math.max(
    SPREAD_MIN,
    tail,
    deviationOf(same.map(Math.abs)),
    Math.sqrt(squares / (near.length + SPREAD_PRIOR_COUNT)),
  )
  // What came twice at this hour may come again: a job that runs once a week is unlike six of seven days.
  same.sort((a, b) => a - b)
  const usual = (twice: number) => Math.max(least, (TWICE_RATIO * twice) / UNUSUAL_SCORE)
  return { below: usual(-(same[1] ?? 0)), above: usual(same.at(-2) ?? 0) }
}

/** The standard deviation of what has these absolute values, by their median. */
const deviationOf = (sizes: number[]): number => quantileOf(sizes, 0.5) / NORMAL_MAD

/** Sorts the values. */
const quantileOf = (values: number[], level: number): number =>
  values.sort((a, b) => a - b)[Math.floor(level * values.length)] ?? 0

/**
 * How unusual it is that a call shows a value never seen before, after `calls` that showed `values` different ones: the
 * normal score of the chance (values + 1) / (calls + 2), Laplace's rule of succession with a new value as the success.
 */
export const unseenScore = (calls: number, values: number): number =>
  -normalQuantile(Math.min(0.5, (values + 1) / (calls + 2)))
