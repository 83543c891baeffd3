/** What a quota claims of the limit store: the bucket, what fits into it, and how what was spent goes away again. */
import type { Allowance } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { bucketAt, HELD_MS_MAX, type RateWindow, type SlidingWindow } from '../usage/window.ts'
import type { Claim, Drain, Slots } from './limit-store.ts'

/** A call under way is one, whatever it costs. */
const HELD_SLOTS: Slots = { everyMs: HELD_MS_MAX, lengthMs: HELD_MS_MAX, sinceMs: 0, forgiven: 0 }

/** The claim of a call that costs `cost` (of what is held, always 1). */
export function claimOf(
  quota: Quota,
  subject: string,
  { cost, allowance, nowMs }: { cost: number; allowance: Allowance; nowMs: number },
): Claim {
  const { series, window } = quota
  const { limit, forgiven } = allowance
  const bucket = bucketAt(window, nowMs)
  const claim = {
    ...{ series, subject, startMs: bucket.startMs, endMs: bucket.endMs, limit, cost },
    isSpent: quota.counts !== 'records',
    isEnforced: quota.enforcement === 'deny',
    isDeniedWhenAway: quota.onStoreFailure === 'deny',
    ...{ isHeld: false, slots: null, drain: null },
  }
  switch (window.kind) {
    case 'fixed':
    case 'calendar':
      return { ...claim, limit: limit + forgiven }
    case 'sliding':
      return { ...claim, slots: slotsOf(window, allowance) }
    case 'rate':
      return { ...claim, limit: burstOf(window, limit), drain: drainOf(window, allowance) }
    case 'held':
      return { ...claim, cost: 1, isHeld: true, slots: HELD_SLOTS }
  }
}

/** How costs of the quota drain; null where they do not. */
export function drainOfQuota({ window }: Quota, allowance: Allowance): Drain | null {
  return window.kind === 'rate' ? drainOf(window, allowance) : null
}

const slotsOf = ({ slotMs, lengthMs }: SlidingWindow, { sinceMs, forgiven }: Allowance): Slots => ({
  ...{ everyMs: slotMs, lengthMs, sinceMs, forgiven },
})

const drainOf = ({ periodMs, keptMs }: RateWindow, { limit, sinceMs }: Allowance): Drain => ({
  ...{ amount: limit, periodMs, sinceMs, keptMs },
})

/** A limit of 0 denies, whatever the burst. */
const burstOf = ({ burst }: RateWindow, limit: number): number => (limit === 0 ? 0 : (burst ?? limit))
