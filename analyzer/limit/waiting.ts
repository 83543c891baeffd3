/** When a claim that did not fit will, if nobody else spends: what is said to callers who are to come again. */
import { elsewhereNow } from '../policy/learned.ts'
import type { Allowance, Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { isResetting } from '../usage/window.ts'
import { fitsLimit } from './bucket.ts'
import { burstOf } from './claiming.ts'
import type { Claim, Standing } from './limit-store.ts'

/** What has expired is given back by the next sweep. */
const SWEEP_MS = 1_000

/** How long a caller should wait for a limit store that is away. */
export const AWAY_RETRY_MS = 1_000

/** A quota that covers a call, as it stands. */
export interface Judged {
  readonly quota: Quota
  readonly claim: Claim
  readonly standing: Standing
  readonly allowance: Allowance
  readonly policy: Policy
  /** When all that is used now counts no more. */
  readonly resetAtMs: number
  /** As of `heldMsMaxOf`. */
  readonly heldMsMax: number
  /** It is not counted now, and denies then. */
  readonly isAway: boolean
  readonly nowMs: number
}

/**
 * For how long a call that all of these cover is held at most in one of them, unless it asked for longer. Calls under way
 * are held by checks, all else by reservations.
 */
export function heldMsMaxOf({ window }: Quota, all: readonly Quota[]): number {
  const holding = window.kind === 'held' ? all.filter(quota => quota.window.kind === 'held') : all
  return Math.max(...holding.map(({ reservation }) => reservation.ttlSeconds)) * 1000 + SWEEP_MS
}

/**
 * From when on all of them fit, Unix milliseconds (`Infinity`: never), and the one that is in the way the longest: what
 * never fits binds more than what fits again late.
 */
export function fitAgain(all: readonly Judged[]): { atMs: number; binding: string | null } {
  let atMs = 0
  let binding: string | null = null
  const wait = ({ quota }: Judged, fitsAtMs: number) => {
    if (fitsAtMs <= atMs) return
    atMs = fitsAtMs
    binding = quota.name
  }
  for (const judged of all) if (!judged.standing.fits) wait(judged, fitsAt(judged))
  // By then a grant may have ended of what fits now.
  for (let beforeMs = 0; beforeMs < atMs; ) {
    beforeMs = atMs
    for (const judged of all) wait(judged, fitsFrom(judged, beforeMs))
  }
  return { atMs, binding }
}

function fitsAt(judged: Judged): number {
  if (judged.isAway) return judged.nowMs + AWAY_RETRY_MS
  return fitsFrom(judged, judged.allowance.deniedUntilMs ?? fitsUnderLimitAt(judged))
}

/** What fits then, or would if the limit were what it is now: then, or when it does. */
function fitsFrom(judged: Judged, atMs: number): number {
  if (judged.isAway || atMs === Number.POSITIVE_INFINITY) return atMs
  const { quota, claim, allowance, policy, nowMs } = judged
  const { deniedUntilMs } = allowance
  const steps = policy.limits(quota, claim.subject, { fromMs: deniedUntilMs ?? nowMs, toMs: atMs + 1 })
  const limit = steps.at(-1)?.limit
  if (limit === undefined) return atMs
  const least = Math.min(...steps.map(step => step.limit))
  const isNoLess = deniedUntilMs === null && least >= (allowance.limit ?? 0)
  if (isNoLess || fitsBeside(judged, limit, atMs)) return atMs
  const laterMs = Math.max(atMs, fitsAloneAt(judged, { limit, least }))
  return laterMs === atMs ? atMs : fitsFrom(judged, laterMs)
}

/** As long as the limit stays what it is. */
function fitsUnderLimitAt(judged: Judged): number {
  const { quota, claim, standing, allowance, resetAtMs, heldMsMax, nowMs } = judged
  const { window } = quota
  const limit = allowance.limit ?? claim.limit
  const largest = window.kind === 'rate' ? claim.limit : limit
  if (limit === 0 || claim.cost > largest) return Number.POSITIVE_INFINITY
  switch (window.kind) {
    case 'fixed':
    case 'calendar': {
      const untilMs = learnedOf(judged)?.untilMs ?? resetAtMs
      return untilMs < resetAtMs && fitsBeside(judged, limit, untilMs) ? untilMs : resetAtMs
    }
    case 'held':
      return resetAtMs
    case 'sliding':
      return standing.fitsAtMs ?? Number.POSITIVE_INFINITY
    case 'rate':
      // Null: what is held is in the way, and by then it is held no more.
      return standing.fitsAtMs ?? Math.max(resetAtMs, nowMs + heldMsMax)
  }
}

const learnedOf = ({ quota, claim, policy, nowMs }: Judged) => policy.adjusted(quota, claim.subject, nowMs).learned

/** Whether it fits beside what is taken now, and beside what will still count then as used elsewhere. */
function fitsBeside(judged: Judged, limit: number, atMs: number): boolean {
  const {
    quota: { window },
    claim,
    standing,
    allowance: { sinceMs },
  } = judged
  const room = window.kind === 'rate' ? burstOf(window, limit) : limit
  const elsewhere = isResetting(window) ? elsewhereNow(learnedOf(judged), { sinceMs, nowMs: atMs }) : 0
  return limit > 0 && fitsLimit(standing.used + standing.reserved + elsewhere, claim.cost, room)
}

/** When nothing of what is taken now counts any more; `Infinity` for a cost that does not fit then either. */
function fitsAloneAt(
  { quota: { window }, claim, standing, resetAtMs, heldMsMax, nowMs }: Judged,
  { limit, least }: { limit: number; least: number },
): number {
  const largest = window.kind === 'rate' ? burstOf(window, limit) : limit
  if (limit === 0 || claim.cost > largest) return Number.POSITIVE_INFINITY
  if (window.kind !== 'rate') return resetAtMs
  if (least === 0) return Number.POSITIVE_INFINITY
  const heldMs = standing.reserved > 0 ? heldMsMax : 0
  return nowMs + Math.max(heldMs, Math.ceil((standing.used * window.periodMs) / least))
}
