/**
 * Where a daily series is going, for good and not only until the next reset: its growth by the week, the days on which
 * its level changed, and its shape over the week. Robust throughout: one wild day moves none of them.
 */
import { type History, totalBetween } from './history.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WEEK_DAYS = 7
const WEEK_MS = WEEK_DAYS * DAY_MS
/** Hours of a week, the first being Monday's first, UTC. The epoch was a Thursday. */
export const WEEK_HOURS = 168
const EPOCH_HOUR_OF_WEEK = 72

/** Fewer days say nothing of a growth. */
const GROWTH_DAYS_MIN = 14
/** Of the standard normal distribution: nine in ten lie within. */
const NINE_IN_TEN = 1.645
/** Logarithms are taken of no less than this share of the mean day. */
const LOG_FLOOR = 0.05
/** With fewer days, a change of level cannot be told from a weekend. */
const CHANGE_DAYS_MIN = 14
/** A level lasts at least so many days. */
const LEVEL_DAYS_MIN = 3
/** What a change of level must explain, in variances of a day times the logarithm of the days. */
const CHANGE_PENALTY = 5
/** Days are held within so many standard deviations of their level. */
const DAY_DEVIATIONS_MAX = 3
/** Median absolute deviation of a normal distribution with a standard deviation of 1. */
const NORMAL_MAD = 0.6745
/** Nobody plans further than this. */
const OUTLOOK_WEEKS_MAX = 104

/** A value per day, oldest first; `null` where nothing is known of a day. */
export type Days = readonly (number | null)[]

/** A slope by the week and the interval that holds it nine times in ten, if days err independently. */
export interface Slope {
  perWeek: number
  low: number
  high: number
}

/**
 * The seasonal Kendall slope of Hirsch, Slack and Smith (Water Resources Research 18, 1982): the median of the slopes
 * between the same weekdays, with the interval of Gilbert (1987). `null` with fewer than two weeks.
 */
export function weeklySlope(days: Days): Slope | null {
  if (days.length < GROWTH_DAYS_MIN) return null
  const slopes: number[] = []
  let variance = 0
  for (let weekday = 0; weekday < WEEK_DAYS; weekday++) {
    let known = 0
    for (let day = weekday; day < days.length; day += WEEK_DAYS) {
      const value = days[day] ?? null
      if (value === null) continue
      known++
      for (let later = day + WEEK_DAYS; later < days.length; later += WEEK_DAYS) {
        const then = days[later] ?? null
        if (then !== null) slopes.push(((then - value) * WEEK_DAYS) / (later - day))
      }
    }
    variance += (known * (known - 1) * (2 * known + 5)) / 18
  }
  if (slopes.length === 0) return null
  slopes.sort((a, b) => a - b)
  const reach = NINE_IN_TEN * Math.sqrt(variance)
  const at = (place: number) => slopes[Math.max(0, Math.min(slopes.length - 1, Math.round(place)))] ?? 0
  return { perWeek: median(slopes), low: at((slopes.length - reach) / 2 - 1), high: at((slopes.length + reach) / 2) }
}

/** Growth by the week as factors: 1.1 is a tenth more each week. */
export interface Growth {
  factor: number
  low: number
  high: number
}

/** `weeklySlope` of the logarithms of the days; `null` where too few are known or none was used. */
export function weeklyGrowth(days: Days): Growth | null {
  const slope = weeklySlope(toLogs(days))
  return slope && { factor: Math.exp(slope.perWeek), low: Math.exp(slope.low), high: Math.exp(slope.high) }
}

/** Logarithms, idle days held to a share of the mean; all `null` when nothing was used. */
export function toLogs(days: Days): Days {
  const floor = logFloorOf(days)
  return days.map(value => (value === null || floor === 0 ? null : Math.log(Math.max(value, floor))))
}

function logFloorOf(days: Days): number {
  const known = days.filter(value => value !== null)
  return (LOG_FLOOR * known.reduce((sum, value) => sum + value, 0)) / Math.max(1, known.length)
}

/** The level changed from `before` to `after` at the begin of the day. */
export interface LevelChange {
  day: number
  before: number
  after: number
}

/**
 * Days on which the level changed, by binary segmentation (Scott and Knott, Biometrics 30, 1974): a stretch is cut where
 * two levels explain most, if that is more than chance and more than a straight line would. Weekdays are made alike
 * first, and wild days are held. A change of less than `changeMin` is none that anybody would want to know of.
 */
export function levelChanges(days: Days, changeMin: number): LevelChange[] {
  const known = days.flatMap((value, day) => (value === null ? [] : [{ day, value }]))
  if (known.length < CHANGE_DAYS_MIN) return []
  const adjusted = withoutWeekdays(known)
  const deviation = deviationOf(adjusted)
  const cuts = cutsOf(adjusted, { from: 0, to: adjusted.length, deviation, changeMin }).sort((a, b) => a - b)
  // As without weekends, but none that was not seen.
  const levelBetween = (from: number, to: number) => {
    const seen = known.slice(from, to).map(({ value }) => value)
    const level = median(adjusted.slice(from, to).sort(ascending))
    return Math.max(Math.min(...seen), Math.min(Math.max(...seen), level))
  }
  return cuts.map((cut, index) => ({
    day: known[cut]?.day ?? 0,
    before: levelBetween(cuts[index - 1] ?? 0, cut),
    after: levelBetween(cut, cuts[index + 1] ?? known.length),
  }))
}

/** The same of amounts, by their logarithms: a level that these hold to a share of the mean is what its days are. */
export function factorChanges(days: Days, logChangeMin: number): LevelChange[] {
  const changes = levelChanges(toLogs(days), logChangeMin)
  const least = Math.log(logFloorOf(days)) + 1e-9
  const amountOf = (log: number, from: number, to: number) =>
    log > least ? Math.exp(log) : median([...days.slice(from, to)].filter(value => value !== null).sort(ascending))
  return changes.map(({ day, before, after }, index) => ({
    day,
    before: amountOf(before, changes[index - 1]?.day ?? 0, day),
    after: amountOf(after, day, changes[index + 1]?.day ?? days.length),
  }))
}

function cutsOf(
  values: readonly number[],
  stretch: { from: number; to: number; deviation: number; changeMin: number },
): number[] {
  const { from, to, deviation, changeMin } = stretch
  let best = 0
  let bestGain = CHANGE_PENALTY * Math.log(values.length) * deviation ** 2
  const held = holdWithin(values.slice(from, to), DAY_DEVIATIONS_MAX * deviation)
  for (let cut = LEVEL_DAYS_MIN; cut <= held.length - LEVEL_DAYS_MIN; cut++) {
    const before = meanOf(held.slice(0, cut))
    const after = meanOf(held.slice(cut))
    const gain = ((cut * (held.length - cut)) / held.length) * (after - before) ** 2
    if (gain <= bestGain || Math.abs(after - before) < changeMin) continue
    best = cut
    bestGain = gain
  }
  if (best === 0 || bestGain <= gainOfLine(held)) return []
  const cut = from + best
  return [...cutsOf(values, { ...stretch, to: cut }), cut, ...cutsOf(values, { ...stretch, from: cut })]
}

/** What a straight line explains of the squares of values at equal distances. */
function gainOfLine(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = meanOf(values)
  let across = 0
  let squares = 0
  values.forEach((value, index) => {
    across += (index - middle) * (value - mean)
    squares += (index - middle) ** 2
  })
  return across ** 2 / squares
}

/** Values less what their weekday usually is above or below the others. */
function withoutWeekdays(known: readonly { day: number; value: number }[]): number[] {
  const values = known.map(({ value }) => value)
  // Compared with the days around it, so that a change of level does not look like a weekday.
  const around = values.map((_, index) => median(values.slice(Math.max(0, index - 3), index + 4).sort(ascending)))
  const offsets = Array.from({ length: WEEK_DAYS }, (_, weekday) =>
    median(
      known
        .flatMap(({ day, value }, index) => (day % WEEK_DAYS === weekday ? [value - (around[index] ?? 0)] : []))
        .sort(ascending),
    ),
  )
  return known.map(({ day, value }) => value - (offsets[day % WEEK_DAYS] ?? 0))
}

/** The standard deviation from one day to the next, whatever the level does; where most days are alike, of all of them. */
function deviationOf(values: readonly number[]): number {
  const steps = values.slice(1).map((value, index) => Math.abs(value - (values[index] ?? 0)))
  const usual = median(steps.sort(ascending)) / NORMAL_MAD
  return (usual > 0 ? usual : Math.sqrt(meanOf(steps.map(step => step ** 2)))) / Math.SQRT2
}

/** Values further from the level around them than `reach` are put at that distance. */
function holdWithin(values: readonly number[], reach: number): number[] {
  return values.map((value, index) => {
    const level = median(values.slice(Math.max(0, index - 3), index + 4).sort(ascending))
    return Math.max(level - reach, Math.min(level + reach, value))
  })
}

/**
 * Use by the hour of the week, UTC, as multiples of the mean hour: each week counts by its shape, not by its size. `null`
 * unless at least a week was used in.
 */
export function seasonProfile(history: History): number[] | null {
  const weeks = Math.floor((history.endMs - history.startMs) / WEEK_MS)
  const profile = new Array<number>(WEEK_HOURS).fill(0)
  let used = 0
  for (let week = 1; week <= weeks; week++) {
    const fromMs = history.endMs - week * WEEK_MS
    const total = totalBetween(history, fromMs, fromMs + WEEK_MS)
    if (total === 0) continue
    used++
    for (let hour = 0; hour < WEEK_HOURS; hour++) {
      const atMs = fromMs + hour * HOUR_MS
      const place = (Math.floor(atMs / HOUR_MS) + EPOCH_HOUR_OF_WEEK) % WEEK_HOURS
      profile[place] = (profile[place] ?? 0) + (WEEK_HOURS * totalBetween(history, atMs, atMs + HOUR_MS)) / total
    }
  }
  return used === 0 ? null : profile.map(sum => sum / used)
}

/** What windows take now, and when that will be more than the limit, Unix milliseconds; `null`: not within two years. */
export interface Outgrown {
  usage: number
  /** By the growth that is seen. */
  atMs: number | null
  /** By the most and by the least growth that is likely. */
  earliestMs: number | null
  latestMs: number | null
}

/**
 * When the typical window, and the one in ten that is busiest, will need more than the limit, if growth goes on as it is.
 * Windows of the last four weeks are looked at, each as large as it would be now; of those that are longer than what is
 * known, as many whole weeks as there are stand for the rest. `null` while neither a window nor a week is known.
 */
export function outgrownBy(
  history: History,
  { windowMs, limit, growth }: { windowMs: number; limit: number; growth: Growth },
): { typical: Outgrown; busy: Outgrown } | null {
  const { startMs, endMs } = history
  const knownMs = Math.min(endMs - startMs, 4 * WEEK_MS)
  const lengthMs = windowMs <= knownMs ? windowMs : Math.floor(knownMs / WEEK_MS) * WEEK_MS
  if (lengthMs === 0) return null
  const everyMs = Math.max(HOUR_MS, Math.min(windowMs, DAY_MS))
  const totals: number[] = []
  for (let toMs = endMs; toMs - lengthMs >= endMs - knownMs; toMs -= everyMs) {
    const weeksAgo = (endMs - toMs + lengthMs / 2) / WEEK_MS
    const perWindow = (totalBetween(history, toMs - lengthMs, toMs) * windowMs) / lengthMs
    totals.push(perWindow * growth.factor ** weeksAgo)
  }
  totals.sort(ascending)
  const whenAbove = (usage: number): Outgrown => {
    const by = (factor: number): number | null => {
      if (usage >= limit) return endMs
      const weeks = factor > 1 && usage > 0 ? Math.log(limit / usage) / Math.log(factor) : Number.POSITIVE_INFINITY
      return weeks <= OUTLOOK_WEEKS_MAX ? Math.round(endMs + weeks * WEEK_MS) : null
    }
    return { usage, atMs: by(growth.factor), earliestMs: by(growth.high), latestMs: by(growth.low) }
  }
  const busiest = totals[Math.min(totals.length - 1, Math.floor(0.9 * totals.length))] ?? 0
  return { typical: whenAbove(median(totals)), busy: whenAbove(busiest) }
}

/** Totals of the last whole days, oldest first, from the first that was used on; one that use began in is not whole. */
export function dailyTotals(history: History): number[] {
  const count = Math.floor((history.endMs - history.startMs) / DAY_MS)
  const days = Array.from({ length: count }, (_, index) => {
    const toMs = history.endMs - (count - 1 - index) * DAY_MS
    return totalBetween(history, toMs - DAY_MS, toMs)
  })
  const first = days.findIndex(total => total > 0)
  if (first < 0) return []
  return days.slice(first === 0 ? 0 : first + 1)
}

const ascending = (a: number, b: number): number => a - b
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Of values in ascending order; 0 for none. */
function median(values: readonly number[]): number {
  const upper = values[Math.floor(values.length / 2)] ?? 0
  return values.length % 2 === 1 ? upper : ((values[values.length / 2 - 1] ?? 0) + upper) / 2
}
