/** When what a provider says of its limits is worth a change that all limiters are told of. */
import type { Learned } from './adjustment.ts'

/** Use elsewhere that is less than this share of the limit may be calls that are under way. */
const ELSEWHERE_SHARE_MIN = 0.05
/** A refill that comes earlier by less than this share of the window is told with what else is new. */
const EARLIER_SHARE_MIN = 0.05
/** A refusal that ends so soon is over before the limiters hear of it. */
const DENIED_MS_MIN = 2_000
/** What goes on being said is noted so often: what is not noted any more is forgotten some day. */
export const HEARD_EVERY_MS = 86_400_000

export interface LearnAsk {
  /** What the provider said last. */
  said: Readonly<Record<'limit' | 'remaining' | 'resetAtMs' | 'deniedUntilMs', number | null>> & { asOfMs: number }
  /** What all limiters know. */
  known: Omit<Learned, 'quota' | 'subject'> | null
  /** Units that were used of the quota, without what was used elsewhere. */
  used: number
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  /** The last reset by hand, 0 without one: what is left has only been said since. */
  sinceMs: number
  /** Its use begins at 0 with each window, so what was used elsewhere can be told. */
  isResetting: boolean
}

/** What should be known from now on, and why; `null` when that is the same. */
export function learnedChange(ask: LearnAsk): { value: Omit<Learned, 'quota' | 'subject'>; reason: string } | null {
  const { said, known, used, nowMs, windowStartMs, windowEndMs, sinceMs, isResetting } = ask
  // Some say 0 where they do not know. Believed, it would let no call pass that could hear of another limit.
  const limit = said.limit === null || said.limit < 1 ? (known?.limit ?? null) : Math.floor(said.limit)
  const deniedUntilMs = endOf(said.deniedUntilMs, nowMs)
  const leftUntilMs = Math.min(windowEndMs, leftUntil(said))
  const isOfWindow = isResetting && said.asOfMs >= Math.max(windowStartMs, sinceMs) && nowMs < leftUntilMs
  const missing = isOfWindow && limit !== null && said.remaining !== null ? limit - said.remaining - used : 0
  const least = Math.max(1, ELSEWHERE_SHARE_MIN * (limit ?? 0))
  const elsewhere = missing < least ? 0 : Math.round(missing)
  const elsewhereKnown = elsewhereNow(known, { sinceMs, nowMs })
  const knownUntilMs = elsewhereKnown > 0 ? (known?.untilMs ?? windowEndMs) : windowEndMs
  const endsEarlier = elsewhere > 0 && knownUntilMs - leftUntilMs >= EARLIER_SHARE_MIN * (windowEndMs - windowStartMs)
  const isElsewhereNew = isOfWindow && (Math.abs(elsewhere - elsewhereKnown) >= least || endsEarlier)
  const isDenialNew = deniedUntilMs !== null && deniedUntilMs - (known?.deniedUntilMs ?? 0) >= DENIED_MS_MIN
  const isLimitNew = limit !== (known?.limit ?? null)
  const isHeardAgain = known !== null && said.asOfMs - (known.asOfMs ?? 0) >= HEARD_EVERY_MS
  if (!isLimitNew && !isDenialNew && !isElsewhereNew && !isHeardAgain) return null
  const reasons = [
    isLimitNew ? [`The provider allows ${limit}.`] : [],
    isDenialNew ? [`It refuses calls until ${new Date(deniedUntilMs).toISOString()}.`] : [],
    isElsewhereNew ? [`By what it says is left, ${elsewhereWords(String(elsewhere), sinceMs)}.`] : [],
  ]
  return {
    value: {
      ...{ limit, deniedUntilMs: endOf(Math.max(deniedUntilMs ?? 0, known?.deniedUntilMs ?? 0), nowMs) },
      ...(isElsewhereNew ? { elsewhere, untilMs: leftUntilMs } : { elsewhere: elsewhereKnown, untilMs: knownUntilMs }),
      asOfMs: Math.max(known?.asOfMs ?? 0, said.asOfMs),
    },
    reason: reasons.flat().join(' ') || 'The provider still says so.',
  }
}

/**
 * What was used elsewhere in the window that is open, as far as it was said since the last reset by hand (`sinceMs`): the
 * provider may have begun anew as well, which only a call that passes can find out.
 */
export const elsewhereNow = (
  learned: Pick<Learned, 'elsewhere' | 'untilMs' | 'asOfMs'> | null,
  { sinceMs, nowMs }: { sinceMs: number; nowMs: number },
): number => (learned !== null && nowMs < learned.untilMs && (learned.asOfMs ?? 0) >= sinceMs ? learned.elsewhere : 0)

/** Then it has refilled, or lets calls pass again: what it said was left says nothing any more. */
const leftUntil = ({ resetAtMs, deniedUntilMs, asOfMs }: LearnAsk['said']): number =>
  Math.min(
    resetAtMs ?? Number.POSITIVE_INFINITY,
    deniedUntilMs !== null && deniedUntilMs > asOfMs ? deniedUntilMs : Number.POSITIVE_INFINITY,
  )

/** The provider goes on counting what a reset by hand forgave, and does not say whose it is. */
export const elsewhereWords = (units: string, sinceMs: number): string =>
  `${units} were used elsewhere${sinceMs === 0 ? '' : ' or before the reset'}`

const endOf = (untilMs: number | null, nowMs: number): number | null =>
  untilMs !== null && untilMs - nowMs >= DENIED_MS_MIN ? Math.ceil(untilMs) : null
