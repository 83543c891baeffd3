/** When what a provider says of its limits is worth a change that all limiters are told of. */
import type { Learned } from './adjustment.ts'

/** Use elsewhere that is less than this share of the limit may be calls that are under way. */
const ELSEWHERE_SHARE_MIN = 0.05
/** A refusal that ends so soon is over before the limiters hear of it. */
const DENIED_MS_MIN = 2_000

export interface LearnAsk {
  /** What the provider said last. */
  said: { limit: number | null; remaining: number | null; deniedUntilMs: number | null; asOfMs: number }
  /** What all limiters know. */
  known: Omit<Learned, 'quota' | 'subject'> | null
  /** Units that were used of the quota, without what was used elsewhere. */
  used: number
  nowMs: number
  windowStartMs: number
  windowEndMs: number
  /** Its use begins at 0 with each window, so what was used elsewhere can be told. */
  isResetting: boolean
}

/** What should be known from now on, and why; `null` when that is the same. */
export function learnedChange(ask: LearnAsk): { value: Omit<Learned, 'quota' | 'subject'>; reason: string } | null {
  const { said, known, used, nowMs, windowStartMs, windowEndMs, isResetting } = ask
  // Some say 0 where they do not know. Believed, it would let no call pass that could hear of another limit.
  const limit = said.limit === null || said.limit < 1 ? (known?.limit ?? null) : Math.floor(said.limit)
  const deniedUntilMs = endOf(said.deniedUntilMs, nowMs)
  const isOfWindow = isResetting && said.asOfMs >= windowStartMs
  const missing = isOfWindow && limit !== null && said.remaining !== null ? limit - said.remaining - used : 0
  const least = Math.max(1, ELSEWHERE_SHARE_MIN * (limit ?? 0))
  const elsewhere = missing < least ? 0 : Math.round(missing)
  const elsewhereKnown = known !== null && known.untilMs > nowMs ? known.elsewhere : 0
  const isElsewhereNew = isOfWindow && Math.abs(elsewhere - elsewhereKnown) >= least
  const isDenialNew = deniedUntilMs !== null && deniedUntilMs - (known?.deniedUntilMs ?? 0) >= DENIED_MS_MIN
  const isLimitNew = limit !== (known?.limit ?? null)
  if (!isLimitNew && !isDenialNew && !isElsewhereNew) return null
  const reasons = [
    isLimitNew ? [`The provider allows ${limit}.`] : [],
    isDenialNew ? [`It refuses calls until ${new Date(deniedUntilMs).toISOString()}.`] : [],
    isElsewhereNew ? [`By what it says is left, ${elsewhere} were used elsewhere.`] : [],
  ]
  return {
    value: {
      ...{ limit, deniedUntilMs: deniedUntilMs ?? endOf(known?.deniedUntilMs ?? null, nowMs) },
      ...{ elsewhere: isElsewhereNew ? elsewhere : elsewhereKnown, untilMs: windowEndMs },
    },
    reason: reasons.flat().join(' '),
  }
}

const endOf = (untilMs: number | null, nowMs: number): number | null =>
  untilMs !== null && untilMs - nowMs >= DENIED_MS_MIN ? Math.ceil(untilMs) : null
