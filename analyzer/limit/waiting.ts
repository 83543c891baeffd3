/** When a claim that did not fit will, if nobody else spends: what is said to callers who are to come again. */
import type { Allowance, Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { isResetting } from '../usage/window.ts'
import { fitsLimit } from './bucket.ts'
import { burstOf } from './claiming.ts'
import type { Claim, Standing } from './limit-store.ts'

/** What has expired is given back by the next sweep. */
const SWEEP_MS = 1_000

interface Judged {
  readonly claim: Claim
  readonly standing: Standing
  readonly allowance: Allowance
  readonly policy: Policy
  /** When all that is used now counts no more. */
  readonly resetAtMs: number
  readonly nowMs: number
}

/** For how long a call of the quota is held at most, unless it asked for longer. */
export const heldMsMax = ({ reservation }: Quota): number => reservation.ttlSeconds * 1000 + SWEEP_MS

/** Unix milliseconds; `Infinity` for never. */
export function fitsAt(quota: Quota, judged: Judged): number {
  const { claim, allowance, policy, nowMs } = judged
  const { deniedUntilMs } = allowance
  const atMs = deniedUntilMs ?? fitsUnderLimitAt(quota, judged)
  if (atMs === Number.POSITIVE_INFINITY) return atMs
  const steps = policy.limits(quota, claim.subject, { fromMs: deniedUntilMs ?? nowMs, toMs: atMs + 1 })
  const limit = steps.at(-1)?.limit
  if (limit === undefined) return atMs
  // A grant may end before.
  const least = Math.min(...steps.map(step => step.limit))
  const holds = deniedUntilMs === null ? least >= (allowance.limit ?? 0) : fitsBeside(quota, judged, limit)
  return holds ? atMs : Math.max(atMs, fitsAloneAt(quota, judged, { limit, least }))
}

/** As long as the limit stays what it is. */
function fitsUnderLimitAt(quota: Quota, judged: Judged): number {
  const { window } = quota
  const { claim, standing, allowance, resetAtMs, nowMs } = judged
  const limit = allowance.limit ?? claim.limit
  const largest = window.kind === 'rate' ? claim.limit : limit
  if (limit === 0 || claim.cost > largest) return Number.POSITIVE_INFINITY
  switch (window.kind) {
    case 'fixed':
    case 'calendar':
    case 'held':
      return resetAtMs
    case 'sliding':
      return standing.fitsAtMs ?? Number.POSITIVE_INFINITY
    case 'rate':
      // Null: what is held is in the way, and by then it is held no more.
      return standing.fitsAtMs ?? Math.max(resetAtMs, nowMs + heldMsMax(quota))
  }
}

/** Whether it fits beside what is taken now. */
function fitsBeside({ window }: Quota, { claim, standing, allowance }: Judged, limit: number): boolean {
  const room = window.kind === 'rate' ? burstOf(window, limit) : limit
  const elsewhere = isResetting(window) ? allowance.elsewhere : 0
  return limit > 0 && fitsLimit(standing.used + standing.reserved + elsewhere, claim.cost, room)
}

/** When nothing of what is taken now counts any more; `Infinity` for a cost that does not fit then either. */
function fitsAloneAt(
  quota: Quota,
  { claim, standing, resetAtMs, nowMs }: Judged,
  { limit, least }: { limit: number; least: number },
): number {
  const { window } = quota
  const largest = window.kind === 'rate' ? burstOf(window, limit) : limit
  if (limit === 0 || claim.cost > largest) return Number.POSITIVE_INFINITY
  if (window.kind !== 'rate') return resetAtMs
  if (least === 0) return Number.POSITIVE_INFINITY
  const heldMs = standing.reserved > 0 ? heldMsMax(quota) : 0
  return nowMs + Math.max(heldMs, Math.ceil((standing.used * window.periodMs) / least))
}
