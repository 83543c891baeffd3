/**
 * An activity model: whole days (windows, when they are shorter) are drawn one after the other, each from those that
 * followed a day like the last one. So an idle key stays idle as often as it did, wakes as often as it did, and then takes
 * what it took when awake. All days of a path share a factor: a few known days say little about the level of the next.
 */
import { periodMsOf, periodsKnown } from './analogs.ts'
import { type History, totalBefore, totalBetween } from './history.ts'
import { normalScores } from './normal.ts'
import { knotsOf, type PathAsk, type PathSource, type Paths } from './paths.ts'
import { uniform } from './random.ts'

const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** Most earlier periods that are drawn from. */
const PERIODS_MAX = 28
const PATHS = 32
/** The same where only a few quantiles of the total are scored. */
const PATHS_BACK = 8
/** Older periods count less: half after so many. */
const HALF_LIFE_PERIODS = 20
const RECENCY = Float64Array.from({ length: PERIODS_MAX }, (_, index) => 0.5 ** (index / HALF_LIFE_PERIODS))
/** What the same weekday counts, and for windows below a day the same time of the day. */
const SEASON_WEIGHT = 3
/** Periods are alike by the difference of the logarithms of their totals, in units of this. */
const ALIKE = 0.7
/** What a period counts that is not like the last one at all, and what a day at the mean rate, that never was, counts. */
const UNLIKE_WEIGHT = 0.15
const MEAN_WEIGHT = 0.4
/** Softens ratios of small numbers, as a share of the mean total. */
const LEVEL_FLOOR = 0.01
/** Power of the ratio between the last period and the one that is taken to be like it, and its bound. */
const LEVEL_POWER = 0.5
const LEVEL_RATIO_MAX = 4
/** The factor that all periods of a path share: its standard deviation in logs where one period is known, and a prior. */
const FACTOR_ONE = 0.4
const FACTOR_PRIOR = 0.6
const FACTOR_PRIOR_COUNT = 2
const SEED = 11
/** Spreads the first draws of the paths evenly. */
const GOLDEN = (Math.sqrt(5) - 1) / 2

/** The path source: it has nothing to fit. */
export const activity: PathSource = {
  name: 'activity',
  isStraight: false,
  fit: history => ask => activityPaths(history, ask),
}

/** Earlier periods, the last one first. */
interface Periods {
  periodMs: number
  totals: Float64Array
  logs: Float64Array
  mean: number
  floor: number
  /** After so many the weekday is the same, or the time of the day. */
  cycle: number
  /** By the period that was drawn last: how much each counts as one like it. */
  weights: (Float64Array | undefined)[]
  /** By the period that was drawn last and the place in the cycle: see `summedWeights`. */
  sums: (Float64Array | undefined)[]
}

/** Paths of drawn periods, or `null` when less than two earlier ones are known. */
export function activityPaths(history: History, ask: PathAsk): Paths | null {
  const { atMs, leftMs } = ask
  const periods = periodsOf(history, ask)
  if (!periods) return null
  const { periodMs, totals, mean } = periods
  const knots = ask.knots ?? knotsOf(leftMs, history.stepMs)
  const scores = normalScores(knots === 1 ? PATHS_BACK : PATHS)
  const deviation = factorDeviation(periods, Math.max(1, leftMs / periodMs))
  const paths = new Float64Array(scores.length * knots)
  const random = uniform(SEED)
  scores.forEach((score, path) => {
    const factor = Math.exp(deviation * score)
    let [last, level, before, knot] = [0, totals[0] ?? 0, 0, 0]
    for (let ahead = 0; knot < knots; ahead++) {
      const like = draw(periods, last, ahead, ahead === 0 ? (path * GOLDEN + 0.5) % 1 : random())
      const scale = scaleOf(periods, level, totals[like] ?? 0)
      const fromMs = atMs - like * periodMs
      const begin = totalBefore(history, fromMs)
      for (; knot < knots; knot++) {
        const sinceMs = ((knot + 1) * leftMs) / knots - ahead * periodMs
        if (sinceMs > periodMs + 1) break
        const since =
          like === 0 ? (mean * sinceMs) / periodMs : scale * (totalBefore(history, fromMs + sinceMs) - begin)
        paths[path * knots + knot] = factor * (before + since)
      }
      last = like - 1
      level = like === 0 ? mean : scale * (totals[last] ?? 0)
      before += level
    }
  })
  return { leftMs, knots, totals: paths, weights: new Float64Array(scores.length).fill(1) }
}

function periodsOf(history: History, { atMs, windowMs }: PathAsk): Periods | null {
  const periodMs = periodMsOf(windowMs)
  const count = Math.min(PERIODS_MAX, periodsKnown(history, atMs, windowMs))
  if (count < 2) return null
  const totals = new Float64Array(count)
  for (let index = 0; index < count; index++) {
    totals[index] = totalBetween(history, atMs - (index + 1) * periodMs, atMs - index * periodMs)
  }
  const mean = totals.reduce((sum, total) => sum + total, 0) / count
  const floor = LEVEL_FLOOR * mean + Number.MIN_VALUE
  const logs = totals.map(total => Math.log(total + floor))
  const cycle = Math.round((periodMs < DAY_MS ? DAY_MS : WEEK_MS) / periodMs)
  return { periodMs, totals, logs, mean, floor, cycle, weights: [], sums: [] }
}

const scaleOf = ({ floor }: Periods, level: number, like: number): number =>
  Math.max(1 / LEVEL_RATIO_MAX, Math.min(LEVEL_RATIO_MAX, (level + floor) / (like + floor))) ** LEVEL_POWER

/** The period that the last one is taken to be like, what followed it is what comes next; 0 for the mean rate. */
function draw(periods: Periods, last: number, ahead: number, at: number): number {
  const { cycle, sums } = periods
  const key = (last + 1) * cycle + (ahead % cycle)
  const known = sums[key] ?? summedWeights(periods, last, ahead)
  sums[key] = known
  let low = 0
  let high = known.length - 1
  const aim = at * (known[high] ?? 0)
  while (low < high) {
    const middle = (low + high) >> 1
    if ((known[middle] ?? 0) > aim) high = middle
    else low = middle + 1
  }
  return low
}

/** How much each period counts as one like the last one, and all before it; the first is the mean rate. */
function summedWeights({ weights, logs, mean, floor, cycle }: Periods, last: number, ahead: number): Float64Array {
  const known = weights[last + 1] ?? alikeOf(logs, last < 0 ? Math.log(mean + floor) : (logs[last] ?? 0))
  weights[last + 1] = known
  const sums = new Float64Array(known.length)
  let sum = MEAN_WEIGHT
  sums[0] = sum
  for (let index = 1; index < sums.length; index++) {
    sum += ((index + ahead) % cycle === 0 ? SEASON_WEIGHT : 1) * (known[index] ?? 0)
    sums[index] = sum
  }
  return sums
}

function alikeOf(logs: Float64Array, level: number): Float64Array {
  const weights = new Float64Array(logs.length)
  for (let index = 1; index < logs.length; index++) {
    const apart = ((logs[index] ?? 0) - level) / ALIKE
    weights[index] = (RECENCY[index] ?? 0) * (UNLIKE_WEIGHT + Math.exp(-0.5 * apart * apart))
  }
  return weights
}

/** The standard deviation, in logs, of the factor: of few known periods, and of how levels changed where many are ahead. */
function factorDeviation(periods: Periods, ahead: number): number {
  return Math.hypot(
    FACTOR_ONE / Math.sqrt(periods.totals.length),
    Math.sqrt(1 - 1 / ahead) * levelError(periods, Math.round(ahead)),
  )
}

/** The root mean square of the logarithm of what so many periods took over what twice as many before them took, shrunk. */
function levelError({ totals, floor }: Periods, ahead: number): number {
  const count = totals.length
  const later = Math.max(1, Math.min(ahead, Math.floor(count / 3)))
  const earlier = Math.min(2 * later, count - later)
  const meanOf = (from: number, length: number) => {
    let sum = 0
    for (let index = from; index < from + length; index++) sum += totals[index] ?? 0
    return sum / length + floor
  }
  const origins = count - later - earlier + 1
  let squares = 0
  for (let from = 0; from < origins; from++) {
    squares += Math.log(meanOf(from, later) / meanOf(from + later, earlier)) ** 2
  }
  const independent = 1 + (origins - 1) / later
  const prior = FACTOR_PRIOR_COUNT * FACTOR_PRIOR ** 2
  return Math.sqrt(((independent * squares) / origins + prior) / (independent + FACTOR_PRIOR_COUNT))
}
