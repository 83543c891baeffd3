/** What the limit store decided, as doors answer it: every quota concerned, the one that binds, and when to come again. */
import { INSTANT_MS_MAX } from '../policy/adjustment.ts'
import type { Allowance } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { isResetting } from '../usage/window.ts'
import type { Claim, Standing, StoreDecision } from './limit-store.ts'
import type { Decision, Prepared, QuotaStanding } from './limiter.ts'
import { fitsAt, heldMsMax } from './waiting.ts'

/** How long a caller should wait for a limit store that is away. */
export const AWAY_RETRY_MS = 1_000

/** The decision as of `asOfMs`, up to which call records are counted. */
export function toDecision(
  { quotas, claims, allowances, policy, nowMs }: Prepared,
  { isAllowed, reference, standings, isApproximate = false }: StoreDecision,
  asOfMs: number,
): Decision {
  const answers: QuotaStanding[] = []
  const violated: string[] = []
  let binding: string | null = null
  let least = Number.POSITIVE_INFINITY
  let retryAtMs = 0
  for (let index = 0; index < quotas.length; index += 1) {
    const quota = quotas[index]
    const claim = claims[index]
    const standing = standings[index]
    const allowance = allowances[index]
    if (quota === undefined || claim === undefined || standing === undefined || allowance === undefined) continue
    const answer = toQuotaStanding(quota, { claim, standing, allowance, nowMs })
    answers.push(answer)
    if (!claim.isEnforced) continue
    if (isAllowed) {
      const share = (answer.remaining ?? 0) / claim.limit
      if (share < least) {
        least = share
        binding = quota.name
      }
      continue
    }
    if (standing.fits) continue
    violated.push(quota.name)
    // What never fits binds more than what fits again late.
    const judged = { claim, standing, allowance, policy, resetAtMs: answer.resetAtMs, nowMs }
    const fitsAtMs = isApproximate && claim.isDeniedWhenAway ? nowMs + AWAY_RETRY_MS : fitsAt(quota, judged)
    if (fitsAtMs <= retryAtMs) continue
    retryAtMs = fitsAtMs
    binding = quota.name
  }
  const retryAfterMs = isAllowed || retryAtMs > INSTANT_MS_MAX ? null : retryAtMs - nowMs
  return {
    isAllowed,
    reference,
    asOfMs,
    nowMs,
    binding,
    retryAfterMs,
    quotas: answers,
    violated,
    isDegraded: isApproximate,
    block: null,
  }
}

interface Judged {
  readonly claim: Claim
  readonly standing: Standing
  readonly allowance: Allowance
  readonly nowMs: number
}

function toQuotaStanding(quota: Quota, judged: Judged): QuotaStanding {
  const { window, paceOf } = quota
  const { claim, standing, allowance } = judged
  const { limit } = allowance
  const { used, reserved } = standing
  // It is in the claim's limit.
  const elsewhere = isResetting(window) ? allowance.elsewhere : 0
  // A pace has room for a large call, but not at any time.
  const most = paceOf === null ? claim.limit : (limit ?? 0)
  return {
    quota: quota.name,
    unit: quota.unit,
    limit,
    // A level is a fraction: what is left of a unit is no unit.
    used: Math.ceil(used + elsewhere),
    reserved,
    remaining: limit === null ? null : Math.floor(Math.max(0, most - used - reserved)),
    resetAtMs: resetAt(quota, judged),
    countsLongerMs: window.kind === 'sliding' ? window.slotMs : 0,
    overshootMax: standing.overshootMax ?? (isExact(quota, reserved) ? 0 : null),
    enforcement: quota.enforcement,
  }
}

/** True where what was let pass costs what it was said to: nothing but calls, or no call record and nothing held. */
function isExact({ unit, counts, enforcement }: Quota, reserved: number): boolean {
  if (enforcement === 'shadow' || counts === 'records') return false
  return unit === 'requests' || unit === 'concurrent_requests' || (counts === 'checks' && reserved === 0)
}

/** When all that is used now counts no more. */
function resetAt(quota: Quota, { claim, standing, allowance, nowMs }: Judged): number {
  const { window } = quota
  switch (window.kind) {
    case 'fixed':
    case 'calendar':
    case 'sliding':
      return claim.endMs
    case 'rate':
      if (!allowance.limit) return nowMs
      return Math.min(INSTANT_MS_MAX, nowMs + Math.ceil((standing.used * window.periodMs) / allowance.limit))
    case 'held':
      return nowMs + heldMsMax(quota)
  }
}
