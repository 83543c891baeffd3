/**
 * The least that chance does: calls come one by one at the recent rate, as clumped as they came. What is left of a window
 * is a count, and so is what the rate is known from (a Poisson number of a gamma rate, its logarithm taken as normal). The
 * rate is taken over as long as it was the same but for chance. Good for small numbers and short windows.
 */
import { firstUseMs, type History, totalBefore, totalBetween } from './history.ts'
import { normalScores } from './normal.ts'
import { knotsOf, type PathAsk, type PathSource, type Paths } from './paths.ts'

const PATHS = 20
/** The same where only a few quantiles of the total are scored. */
const PATHS_BACK = 10
/** The rate is taken over no less than this many times the stretch ahead, and than a window. */
const LOOK_BACK = 2
/** Two halves differ by more than chance from so many standard deviations on. */
const DIFFERENT = 2
/** Lengths, in steps, at which clumps are looked for, and how many of each are looked at. */
const BLOCK_STEPS = [1, 2, 3, 5] as const
const BLOCKS_MIN = 3
const BLOCKS_MAX = 240
/** Steps that are all alike are taken to swing by a hundredth: variance over mean, as a share of the mean. */
const CLUMP_SHARE_MIN = 1e-4

/** The path source: it has nothing to fit. */
export const counts: PathSource = { name: 'counts', isStraight: true, fit: history => ask => countPaths(history, ask) }

/** Straight paths at the recent rate, spread by chance alone; `null` when nothing was used lately. */
export function countPaths(history: History, ask: PathAsk): Paths | null {
  const { atMs, leftMs, windowMs } = ask
  const clump = clumpOf(history, atMs)
  if (clump === null) return null
  const lookMs = steadyFor(history, atMs, Math.max(LOOK_BACK * leftMs, windowMs), clump)
  // Half a clump is what a gamma prior adds that knows nothing.
  const rate = (totalBetween(history, atMs - lookMs, atMs) + clump / 2) / lookMs
  const knots = ask.knots ?? knotsOf(leftMs, history.stepMs)
  const scores = normalScores(knots === 1 ? PATHS_BACK : PATHS)
  const totals = new Float64Array(scores.length * knots)
  for (let knot = 0; knot < knots; knot++) {
    const aheadMs = ((knot + 1) * leftMs) / knots
    const mean = rate * aheadMs
    const variance = Math.log(1 + (clump / mean) * (1 + aheadMs / lookMs))
    for (let path = 0; path < scores.length; path++) {
      const at = path * knots + knot
      const total = mean * Math.exp(Math.sqrt(variance) * (scores[path] ?? 0) - variance / 2)
      totals[at] = Math.max(total, knot > 0 ? (totals[at - 1] ?? 0) : 0)
    }
  }
  return { leftMs, knots, totals, weights: new Float64Array(scores.length).fill(1) }
}

/** How long the rate was the same but for chance: doubled until the half before differs. */
function steadyFor(history: History, atMs: number, leastMs: number, clump: number): number {
  const knownMs = atMs - firstUseMs(history)
  let lookMs = Math.min(knownMs, Math.max(leastMs, history.stepMs))
  while (2 * lookMs <= knownMs) {
    const later = totalBetween(history, atMs - lookMs, atMs)
    const earlier = totalBetween(history, atMs - 2 * lookMs, atMs - lookMs)
    if ((later - earlier) ** 2 > DIFFERENT ** 2 * clump * (later + earlier)) break
    lookMs *= 2
  }
  return lookMs
}

/**
 * Units that come at once: variance over mean of what blocks of steps take, for the blocks where that is least (clocks
 * that are coarser than a step make clumps that are none). Changes of the level are not in it: the variance is half of the
 * mean square of the changes between blocks.
 */
function clumpOf(history: History, atMs: number): number | null {
  const clumps = BLOCK_STEPS.map(steps => {
    const blockMs = steps * history.stepMs
    const blocks = Math.min(BLOCKS_MAX, Math.floor((atMs - history.startMs) / blockMs + 1e-9))
    const units = totalBetween(history, atMs - blocks * blockMs, atMs)
    if (blocks < BLOCKS_MIN || units === 0) return Number.POSITIVE_INFINITY
    let squares = 0
    let next = totalBefore(history, atMs - blockMs)
    let usedNext = totalBefore(history, atMs) - next
    for (let block = 2; block <= blocks; block++) {
      const begin = totalBefore(history, atMs - block * blockMs)
      const used = next - begin
      squares += (usedNext - used) ** 2
      next = begin
      usedNext = used
    }
    const mean = units / blocks
    return Math.max(squares / 2 / (blocks - 1) / mean, CLUMP_SHARE_MIN * mean)
  })
  const least = Math.min(...clumps)
  return Number.isFinite(least) ? least : null
}
