/**
 * Scaled analogs: the rest of the window as it went at the same time of earlier days (of earlier windows, when they are
 * shorter than a day), scaled by how the recent level compares with the level before the analog. Good for bursty and
 * mostly idle keys, which have no season that a regression could learn.
 */
import { firstUseMs, type History, totalBefore, totalBetween } from './history.ts'
import { normalScores } from './normal.ts'
import { knotsOf, type PathAsk, type PathSource, type Paths } from './paths.ts'

const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** Most earlier days or windows that are followed. */
const ANALOGS_MAX = 60
/** Paths to aim at: few analogs are each widened into several. */
const PATHS_AIM = 40
/** Power of the level ratio: half of a change of level (in logs) is taken to stay. */
const LEVEL_POWER = 0.5
const LEVEL_RATIO_MAX = 5
/** Softens ratios of small numbers, as a share of both levels. */
const LEVEL_FLOOR = 0.05
/** Older analogs count less: half after so many periods. */
const HALF_LIFE_PERIODS = 30
/** What an analog that is shorter than the stretch counts, as it must repeat itself. */
const REPEATED_WEIGHT = 0.5
/** What the same time of the day (for windows below a day) and the same weekday count. */
const SEASON_WEIGHT = 4
/** Prior of the spread of totals between analogs: a standard deviation in logs, and how many analogs it weighs. */
const SPREAD_PRIOR = 0.5
const SPREAD_PRIOR_COUNT = 1
const SPREAD_MAX = 1.5
/** Each analog is widened by the spread over this power of their number, so that few of them do not look sure. */
const WIDENING_POWER = 0.4

/** A window of this length is a day: on some the clock is put forward. */
const DAY_WINDOW_MS_MIN = 23 * 3_600_000

/** The cycle that analogs are taken from: days, or windows when they are shorter. */
export const periodMsOf = (windowMs: number): number => (windowMs < DAY_WINDOW_MS_MIN ? windowMs : DAY_MS)

/** How many earlier periods are known before `atMs`. */
export const periodsKnown = (history: History, atMs: number, windowMs: number): number =>
  Math.floor((atMs - firstUseMs(history)) / periodMsOf(windowMs) + 1e-9)

/** The path source: it has nothing to fit. */
export const analogs: PathSource = {
  name: 'analogs',
  isStraight: false,
  fit: history => ask => analogPaths(history, ask),
}

/** Paths by scaled analogs, or `null` when not one earlier period is known. */
export function analogPaths(history: History, ask: PathAsk): Paths | null {
  const { atMs, leftMs, windowMs } = ask
  const periodMs = periodMsOf(windowMs)
  const count = Math.min(ANALOGS_MAX, periodsKnown(history, atMs, windowMs))
  if (count < 1) return null
  const scales = levelScales(history, atMs, periodMs, count)
  const deviation = widening(history, ask, periodMs, scales)
  const factors = normalScores(Math.ceil(PATHS_AIM / count)).map(score => Math.exp(score * deviation))
  const knots = ask.knots ?? knotsOf(leftMs, history.stepMs)
  const totals = new Float64Array(count * factors.length * knots)
  const weights = new Float64Array(count * factors.length)
  const analog = new Float64Array(knots)
  let path = 0
  for (let k = 1; k <= count; k++) {
    follow(history, atMs - k * periodMs, ask, scales[k - 1] ?? 1, analog)
    const weight = analogWeight(k * periodMs, ask, periodMs)
    for (const factor of factors) {
      for (let knot = 0; knot < knots; knot++) totals[path * knots + knot] = factor * (analog[knot] ?? 0)
      weights[path++] = weight
    }
  }
  return { leftMs, knots, totals, weights }
}

function analogWeight(agoMs: number, ask: PathAsk, periodMs: number): number {
  let weight = 0.5 ** (agoMs / periodMs / HALF_LIFE_PERIODS)
  if (agoMs < ask.leftMs) weight *= (REPEATED_WEIGHT * agoMs) / ask.leftMs
  if (agoMs % (periodMs < DAY_MS ? DAY_MS : WEEK_MS) === 0) weight *= SEASON_WEIGHT
  return weight
}

/** How each analog is scaled: the level of the last period over the level of the period before the analog, dampened. */
function levelScales(history: History, atMs: number, periodMs: number, count: number): Float64Array {
  const recent = totalBetween(history, atMs - periodMs, atMs)
  return Float64Array.from({ length: count }, (_, index) => {
    const fromMs = atMs - (index + 1) * periodMs
    if (fromMs - periodMs < history.startMs) return 1
    const then = totalBetween(history, fromMs - periodMs, fromMs)
    const floor = LEVEL_FLOOR * (recent + then)
    if (floor === 0) return 1
    return Math.min(LEVEL_RATIO_MAX, Math.max(1 / LEVEL_RATIO_MAX, (recent + floor) / (then + floor))) ** LEVEL_POWER
  })
}

/** The standard deviation, in logs, by which each analog is widened. */
function widening(history: History, ask: PathAsk, periodMs: number, scales: Float64Array): number {
  const count = scales.length
  const totals = scales.map((scale, index) => {
    const agoMs = (index + 1) * periodMs
    const lengthMs = Math.min(agoMs, ask.leftMs)
    const fromMs = ask.atMs - agoMs
    return (scale * totalBetween(history, fromMs, fromMs + lengthMs) * ask.leftMs) / lengthMs
  })
  const floor = (LEVEL_FLOOR * totals.reduce((sum, total) => sum + total, 0)) / count
  if (floor === 0) return 0
  const logs = totals.map(total => Math.log(total + floor))
  const mean = logs.reduce((sum, log) => sum + log, 0) / count
  const squares = logs.reduce((sum, log) => sum + (log - mean) ** 2, SPREAD_PRIOR_COUNT * SPREAD_PRIOR ** 2)
  const spread = Math.sqrt(squares / (count - 1 + SPREAD_PRIOR_COUNT))
  return Math.min(SPREAD_MAX, spread) / count ** WIDENING_POWER
}

/** Writes the running total from `fromMs` on; an analog shorter than the stretch begins again when it reaches now. */
function follow(history: History, fromMs: number, ask: PathAsk, scale: number, out: Float64Array): void {
  const lengthMs = ask.atMs - fromMs
  const begin = totalBefore(history, fromMs)
  const lap = totalBefore(history, ask.atMs) - begin
  for (let knot = 0; knot < out.length; knot++) {
    const sinceMs = ((knot + 1) * ask.leftMs) / out.length
    const laps = Math.floor(sinceMs / lengthMs)
    out[knot] = scale * (laps * lap + totalBefore(history, fromMs + sinceMs - laps * lengthMs) - begin)
  }
}
