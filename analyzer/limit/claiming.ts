/** What a quota claims of the limit store: the bucket, what fits into it, and how what was spent goes away again. */
import type { Allowance } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { bucketAt, HELD_MS_MAX, type RateWindow, type SlidingWindow, type Window } from '../usage/window.ts'
import type { Claim, Drain, Slots } from './limit-store.ts'

/** By the window of the quota: only saves making the same again, and decides nothing. */
const LAST_DRAINS = new WeakMap<RateWindow, Drain>()
/** A call under way is one, whatever it costs. */
const HELD_SLOTS: Slots = { everyMs: HELD_MS_MAX, lengthMs: HELD_MS_MAX }

/**
 * How far the clock of a gateway is taken to be behind, and what whole seconds leave out. For so long after a window has
 * begun, records of calls that are checked in it may be dated before it (settling.ts).
 */
const BEHIND_MS_MAX = 60_000

interface Wanted {
  readonly subject: string
  readonly cost: number
  readonly allowance: Allowance
  readonly nowMs: number
  readonly bucket: Window
}

/** Stands for a limit that nobody has said yet, so that use is counted meanwhile. */
const LIMIT_UNKNOWN = Number.MAX_SAFE_INTEGER

/** The claim of a call that costs `cost` (of what is held, always 1). */
export function claimOf(
  quota: Quota,
  subject: string,
  { cost, allowance, nowMs }: { cost: number; allowance: Allowance; nowMs: number },
): Claim {
  const { window } = quota
  const { elsewhere } = allowance
  const limit = allowance.limit ?? LIMIT_UNKNOWN
  const wanted = { subject, cost, allowance, nowMs, bucket: bucketAt(window, nowMs) }
  switch (window.kind) {
    case 'fixed':
    case 'calendar':
      return toClaim(quota, wanted, limit - elsewhere, null, null)
    case 'sliding':
      return toClaim(quota, wanted, limit, slotsOf(window), null)
    case 'rate':
      return toClaim(quota, wanted, roomFor(quota, burstOf(window, limit), cost), null, drainOf(window, allowance))
    case 'held':
      return toClaim(quota, { ...wanted, cost: 1 }, limit, HELD_SLOTS, null)
  }
}

/** In one literal: it is made for every quota of every decision. */
const toClaim = (
  { series, counts, enforcement, onStoreFailure, window }: Quota,
  { subject, cost, allowance, nowMs, bucket }: Wanted,
  limit: number,
  slots: Slots | null,
  drain: Drain | null,
): Claim => ({
  series,
  subject,
  startMs: bucket.startMs,
  endMs: bucket.endMs,
  sinceMs: allowance.sinceMs,
  limit,
  cost,
  isSpent: counts !== 'records',
  isNoted: slots === null && drain === null && nowMs < bucket.startMs + BEHIND_MS_MAX,
  isEnforced: enforcement !== 'shadow' && allowance.limit !== null,
  isDeniedWhenAway: onStoreFailure === 'deny',
  isHeld: window.kind === 'held',
  slots,
  drain,
})

/** How costs of the quota drain; null where they do not. */
export function drainOfQuota({ window }: Quota, allowance: Allowance): Drain | null {
  return window.kind === 'rate' ? drainOf(window, allowance) : null
}

const slotsOf = ({ slotMs, lengthMs }: SlidingWindow): Slots => ({ everyMs: slotMs, lengthMs })

/** Mostly the one that the quota had before: it is kept by every bucket that drains so. */
function drainOf(window: RateWindow, { limit, limits }: Allowance): Drain {
  const amount = limit ?? LIMIT_UNKNOWN
  const last = LAST_DRAINS.get(window)
  if (last?.amount === amount && areLimits(last.steps, limits)) return last
  const { periodMs, keptMs, stretches } = window
  const steps = limits?.map(({ fromMs, limit: then }) => [fromMs, then] as const)
  const drain = { amount, periodMs, keptMs, ...(stretches > 1 && { stretches }), ...(steps && { steps }) }
  LAST_DRAINS.set(window, drain)
  return drain
}

function areLimits(steps: Drain['steps'], limits: Allowance['limits']): boolean {
  if (steps === undefined || limits === undefined) return steps === limits
  return (
    steps.length === limits.length &&
    steps.every(([fromMs, amount], index) => fromMs === limits[index]?.fromMs && amount === limits[index].limit)
  )
}

/** A limit of 0 denies, whatever the burst. */
export const burstOf = ({ burst }: RateWindow, limit: number): number => (limit === 0 ? 0 : (burst ?? limit))

/** What the cost has to fit into: a pace slows down and refuses no call for good, so that a large one passes alone. */
export const roomFor = ({ paceOf }: Quota, limit: number, cost: number): number =>
  paceOf === null ? limit : Math.max(limit, cost)
