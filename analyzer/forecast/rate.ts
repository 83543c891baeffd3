/**
 * The recent rate, extended: what a dashboard's burn rate does, but with the spread that such an extension has had in
 * this very series. Good for steady keys, long stretches, and keys that are too young to have analogs.
 */
import { firstUseMs, type History, totalBetween } from './history.ts'
import { normalScores } from './normal.ts'
import { knotsOf, type PathAsk, type PathSource, type Paths } from './paths.ts'

const PATHS = 30
/** The rate is taken over this many times the stretch that it is extended by. */
const LOOK_BACK = 2
/** But over no less than this share of the window. */
const LOOK_WINDOW_SHARE = 1 / 12
/** Softens ratios of small numbers, as a share of the mean rate. */
const RATE_FLOOR = 0.05
/** Most earlier instants at which the extension is compared with what came. */
const ORIGINS_MAX = 40
/** Prior of the error of an extension: a standard deviation in logs, and how many independent extensions it weighs. */
const SPREAD_PRIOR = 0.5
const SPREAD_PRIOR_COUNT = 2

/** The path source: it has nothing to fit. */
export const rate: PathSource = { name: 'rate', isStraight: true, fit: history => ask => ratePaths(history, ask) }

/** Straight paths at the recent rate times equally likely errors, or `null` when nothing was used yet. */
export function ratePaths(history: History, ask: PathAsk): Paths | null {
  const { atMs, leftMs, windowMs } = ask
  const beginMs = firstUseMs(history)
  const knownMs = atMs - beginMs
  if (knownMs <= 0) return null
  const lookMs = Math.min(knownMs, Math.max(LOOK_BACK * leftMs, LOOK_WINDOW_SHARE * windowMs, history.stepMs))
  const floor = (RATE_FLOOR * totalBetween(history, beginMs, atMs)) / knownMs
  const rate = totalBetween(history, atMs - lookMs, atMs) / lookMs + floor
  const deviation = extensionError(history, { atMs, beginMs, lookMs, leftMs, floor })
  const scores = normalScores(PATHS)
  const knots = ask.knots ?? knotsOf(leftMs, history.stepMs)
  const totals = new Float64Array(scores.length * knots)
  for (let path = 0; path < scores.length; path++) {
    const perKnot = (Math.max(0, rate * Math.exp(deviation * (scores[path] ?? 0)) - floor) * leftMs) / knots
    for (let knot = 0; knot < knots; knot++) totals[path * knots + knot] = perKnot * (knot + 1)
  }
  return { leftMs, knots, totals, weights: new Float64Array(scores.length).fill(1) }
}

/**
 * The root mean square of log(what came ÷ what the rate said) at earlier instants, shrunk to the prior by how many of
 * them do not overlap. A history too short for stretches of this length is judged by stretches of a third of it.
 */
function extensionError(
  history: History,
  {
    atMs,
    beginMs,
    lookMs,
    leftMs,
    floor,
  }: { atMs: number; beginMs: number; lookMs: number; leftMs: number; floor: number },
): number {
  const third = (atMs - beginMs) / 3
  const aheadMs = Math.min(leftMs, third)
  const behindMs = Math.min(lookMs, third)
  const spanMs = atMs - aheadMs - behindMs - beginMs
  const strideMs = Math.max(history.stepMs, spanMs / ORIGINS_MAX)
  let count = 0
  let squares = 0
  for (let at = atMs - aheadMs; at >= beginMs + behindMs && count < ORIGINS_MAX; at -= strideMs) {
    const said = totalBetween(history, at - behindMs, at) / behindMs + floor
    const came = totalBetween(history, at, at + aheadMs) / aheadMs + floor
    squares += Math.log(came / said) ** 2
    count++
  }
  if (count === 0) return SPREAD_PRIOR
  const independent = Math.min(count, 1 + spanMs / aheadMs)
  return Math.sqrt(
    ((independent * squares) / count + SPREAD_PRIOR_COUNT * SPREAD_PRIOR ** 2) / (independent + SPREAD_PRIOR_COUNT),
  )
}
