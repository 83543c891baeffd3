/**
 * What the mixed paths say, corrected by what became of such forecasts in public usage series: boosted trees, trained
 * offline, that are monotone in the limit. They answer at a few instants until the reset; between them the probability
 * of having run out rises evenly.
 */
import { CURVE_LEVELS, quantilesBetween, scoreOf } from './curve.ts'
import { FEATURE_COUNT, FEATURES, featuresOf, OF_SHARE, type Question } from './features.ts'
import { mixedCurve, type Outlook } from './outlook.ts'
import { type Forest, look, sumOfLeaves, sumOfReached } from './trees.ts'

/** Logits of the probability per standard deviation that the mixed paths are off the limit. */
const OFFSET_PER_SCORE = -1
/** Where the mixed score stands among the features. */
const MIXED_SCORE = 1
/**
 * In shorter windows what the trees say counts half: of minutes there were two series to learn from, and longer ones on a
 * faster clock. On these the trees help as much as in longer windows, on those they mislead.
 */
const LEARNT_LOG_WINDOW_MS = Math.log(300_000)
const UNLEARNT_WEIGHT = 0.5
const WINDOW = FEATURES.findIndex(([name]) => name === 'window')
/** Scores of the mixed paths at which the calibrator is asked: around the quantiles that will be read off. */
const SCORES_ASKED = [1.8, 0.8, 0, -0.8, -1.8] as const
/** The same, and where the paths are as good as sure: a key that is always alike goes from never to always at once. */
const SCORES_ANSWERED = [3.5, ...SCORES_ASKED, -3.5] as const
/** Instants at which the mixed paths are looked at to find these. */
const SCAN = 12
/** Most shares of the time left that are asked before the first of these, each so many times the one before. */
const SOON_MAX = 12
const SOON_RATIO = Math.SQRT2
/**
 * Trees that are asked of every instant. The others correct the answers of these by little, and by much the same at all
 * instants: they are asked of the reset only.
 */
export const TREES_EVERYWHERE = 200
/** Instants that are asked in any case. */
const SHARES_ASKED = [0.5] as const
/** Probabilities that are so near are alike: later instants are not asked. */
const ALIKE = 0.005
/** Two instants are at least this share of the time left apart. */
const APART_MIN = 0.002

/** The probability of having run out by shares of the time left: both rise, the last share is 1. */
export interface Crossing {
  shares: number[]
  probabilities: number[]
}

/** The probability of having run out by a share of the time left, from elsewhere than the paths, and how much it counts. */
export interface Prior {
  weight: number
  at: (share: number) => number
}

export interface CrossingAsk {
  forest: Forest
  prior: Prior | null
  /** Nobody wants to know when, below this probability. */
  least: number
}

/** Asks the calibrator. What counts wholly by the prior needs no paths. */
export function calibrated(question: Question, outlook: Outlook, { forest, prior, least }: CrossingAsk): Crossing {
  const features = new Float64Array(FEATURE_COUNT)
  const write = featuresOf(question, outlook)
  const ownWeight = 1 - (prior?.weight ?? 0)
  // The reset is asked first: what the other trees say of it holds for all instants.
  let others = 0
  const own = (share: number): number => {
    write(share, features)
    if (share === 1) {
      look(forest, features)
      others = sumOfReached(forest, TREES_EVERYWHERE)
    } else look(forest, features, OF_SHARE)
    const leaves = sumOfReached(forest, 0, TREES_EVERYWHERE) + others
    return 1 / (1 + Math.exp(-offsetOf(features) - weightOf(features) * leaves))
  }
  const at = (share: number): number =>
    (ownWeight > 0 ? ownWeight * own(share) : 0) + (prior ? prior.weight * prior.at(share) : 0)
  const last = at(1)
  if (last < least) return { shares: [1], probabilities: [last] }
  const shares = [...sharesSoon(question, outlook), ...sharesOf(question, outlook, SCORES_ANSWERED), 1]
  // The trees are monotone in what depends on the instant but for the spreads: what they undo is made good here.
  let most = 0
  const probabilities = shares.map(share => {
    if (share === 1) return last
    if (most < last - ALIKE) most = Math.max(most, Math.min(last, at(share)))
    return most
  })
  return { shares, probabilities }
}

/** What the mixed paths say, in logits: where the trees begin. */
export const offsetOf = (features: Float64Array): number => OFFSET_PER_SCORE * (features[MIXED_SCORE] ?? 0)

/** The logit of the probability, by these features. */
export const logitOf = (features: Float64Array, forest: Forest): number =>
  offsetOf(features) + weightOf(features) * sumOfLeaves(forest, features)

/** How much the trees count. */
const weightOf = (features: Float64Array): number =>
  (features[WINDOW] ?? 0) < LEARNT_LOG_WINDOW_MS ? UNLEARNT_WEIGHT : 1

/** Where the probability reaches `level`, as a share of the time left; `null` where it does not. */
export function shareAt({ shares, probabilities }: Crossing, level: number): number | null {
  const index = probabilities.findIndex(probability => probability >= level)
  if (index < 0) return null
  const share = shares[index] ?? 1
  const probability = probabilities[index] ?? level
  const shareBefore = shares[index - 1] ?? 0
  const probabilityBefore = probabilities[index - 1] ?? 0
  if (probability === probabilityBefore) return share
  return shareBefore + ((share - shareBefore) * (level - probabilityBefore)) / (probability - probabilityBefore)
}

/**
 * Of what is almost used up, shares of the time left before the first part that is looked at: without them it would run
 * out halfway through that part at the soonest, which in a month is hours away.
 */
function sharesSoon({ nowMs, windowEndMs, limit, used }: Question, outlook: Outlook): number[] {
  const mixed = mixedCurve(outlook)
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  const need = limit - used
  const scoreAt = (share: number) => {
    if (mixed) quantilesBetween(mixed, nowMs, nowMs + share * (windowEndMs - nowMs), quantiles)
    return scoreOf(quantiles, need, need / 1000)
  }
  const shares: number[] = []
  for (let share = 0.5 / SCAN; mixed && shares.length < SOON_MAX; share /= SOON_RATIO) {
    if (scoreAt(share) >= SCORES_ASKED[0]) break
    shares.unshift(share)
  }
  const [first] = shares
  return first === undefined ? [] : [first / SOON_RATIO, ...shares]
}

/** Shares of the time left at which to ask, ascending, from the first that is looked at to below 1. */
export function sharesOf(
  { nowMs, windowEndMs, limit, used }: Question,
  outlook: Outlook,
  scores: readonly number[] = SCORES_ASKED,
): number[] {
  const mixed = mixedCurve(outlook)
  const shares: number[] = [...SHARES_ASKED]
  const quantiles = new Float64Array(CURVE_LEVELS.length)
  const need = limit - used
  let before = Number.POSITIVE_INFINITY
  let asked = 0
  for (let part = 1; mixed && part <= SCAN && asked < scores.length; part++) {
    quantilesBetween(mixed, nowMs, nowMs + ((windowEndMs - nowMs) * part) / SCAN, quantiles)
    const score = scoreOf(quantiles, need, need / 1000)
    for (; asked < scores.length && score <= (scores[asked] ?? 0); asked++) {
      const within = Number.isFinite(before) && before > score ? (before - (scores[asked] ?? 0)) / (before - score) : 1
      shares.push((part - 1 + Math.max(0, Math.min(1, within))) / SCAN)
    }
    before = score
  }
  shares.sort((a, b) => a - b)
  return shares.filter((share, index) => {
    const previous = index === 0 ? 0 : (shares[index - 1] ?? 0)
    return share - previous >= APART_MIN && share <= 1 - APART_MIN
  })
}
