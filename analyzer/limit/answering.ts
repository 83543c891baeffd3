/** What the limit store decided, as doors answer it: every quota concerned, the one that binds, and when to come again. */
import { type Block, INSTANT_MS_MAX } from '../policy/adjustment.ts'
import type { Quota } from '../policy/quota.ts'
import { isResetting } from '../usage/window.ts'
import type { StoreDecision } from './limit-store.ts'
import type { Decision, Prepared, QuotaStanding } from './limiter.ts'
import { AWAY_RETRY_MS, fitAgain, heldMsMaxOf, type Judged } from './waiting.ts'

/** Nobody waits where the call may pass. */
const NOBODY: Judged[] = []

/** The decision as of `asOfMs`, up to which call records are counted. */
export function toDecision(
  { quotas, claims, allowances, policy, nowMs }: Prepared,
  { isAllowed, reference, standings, isApproximate = false }: StoreDecision,
  asOfMs: number,
): Decision {
  const answers: QuotaStanding[] = []
  const violated: string[] = []
  const enforced: Judged[] = isAllowed ? NOBODY : []
  let binding: string | null = null
  let least = Number.POSITIVE_INFINITY
  for (let index = 0; index < quotas.length; index += 1) {
    const quota = quotas[index]
    const claim = claims[index]
    const standing = standings[index]
    const allowance = allowances[index]
    if (quota === undefined || claim === undefined || standing === undefined || allowance === undefined) continue
    const answer = toQuotaStanding(quota, { claim, standing, allowance, policy, nowMs }, quotas)
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
    if (!standing.fits) violated.push(quota.name)
    const isAway = isApproximate && claim.isDeniedWhenAway
    const { resetAtMs } = answer
    const heldMsMax = heldMsMaxOf(quota, quotas)
    enforced.push({ quota, claim, standing, allowance, policy, resetAtMs, heldMsMax, isAway, nowMs })
  }
  const again = isAllowed ? null : fitAgain(enforced)
  const retryAfterMs = again === null || again.atMs > INSTANT_MS_MAX ? null : again.atMs - nowMs
  return {
    isAllowed,
    reference,
    asOfMs,
    nowMs,
    binding: again === null ? binding : again.binding,
    retryAfterMs,
    quotas: answers,
    violated,
    isDegraded: isApproximate,
    block: null,
  }
}

type Looked = Pick<Judged, 'claim' | 'standing' | 'allowance' | 'policy' | 'nowMs'>

/** `quotas` are all that cover the call. */
function toQuotaStanding(quota: Quota, looked: Looked, quotas: readonly Quota[]): QuotaStanding {
  const { window, paceOf } = quota
  const { claim, standing, allowance } = looked
  const { limit } = allowance
  const { used, reserved } = standing
  // It is in the claim's limit.
  const elsewhere = isResetting(window) ? allowance.elsewhere : 0
  // A pace has room for a large call, but not at any time.
  const most = paceOf === null ? claim.limit : (limit ?? 0)
  return {
    quota: quota.name,
    unit: quota.unit,
    limit: limitBehind(quota, looked),
    // A level is a fraction: what is left of a unit is no unit.
    used: Math.ceil(used + elsewhere),
    reserved,
    remaining: limit === null ? null : Math.floor(Math.max(0, most - used - reserved)),
    resetAtMs: resetAt(quota, looked, quotas),
    countsLongerMs: window.kind === 'sliding' ? window.slotMs : 0,
    overshootMax: standing.overshootMax ?? (isExact(quota, reserved) ? 0 : null),
    enforcement: quota.enforcement,
  }
}

/** While the provider refuses nothing is allowed, and its limit is what it was. */
function limitBehind(quota: Quota, { claim, allowance, policy, nowMs }: Looked): number | null {
  if (allowance.deniedUntilMs === null) return allowance.limit
  const [now] = policy.limits(quota, claim.subject, { fromMs: nowMs, toMs: nowMs + 1 })
  return now?.limit ?? null
}

/** True where what was let pass costs what it was said to: nothing but calls, or no call record and nothing held. */
function isExact({ unit, counts, enforcement }: Quota, reserved: number): boolean {
  if (enforcement === 'shadow' || counts === 'records') return false
  return unit === 'requests' || unit === 'concurrent_requests' || (counts === 'checks' && reserved === 0)
}

/** When all that is used now counts no more. */
function resetAt(quota: Quota, { claim, standing, allowance, nowMs }: Looked, quotas: readonly Quota[]): number {
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
      return nowMs + heldMsMaxOf(quota, quotas)
  }
}

/** Nothing could be counted: the quotas' own `onStoreFailure` decides. */
export function degraded(quotas: readonly Quota[], nowMs: number, asOfMs: number): Decision {
  const denying = quotas.filter(quota => quota.enforcement !== 'shadow' && quota.onStoreFailure === 'deny')
  const violated = denying.map(quota => quota.name)
  const isAllowed = violated.length === 0
  const retryAfterMs = isAllowed ? null : AWAY_RETRY_MS
  const rest = { asOfMs, nowMs, reference: null, quotas: [], isDegraded: true, block: null }
  return { ...rest, isAllowed, binding: violated[0] ?? null, retryAfterMs, violated }
}

/** The caller may not pass, whatever is left. */
export const blocked = (block: Block, nowMs: number, asOfMs: number): Decision => ({
  ...{ isAllowed: false, reference: null, asOfMs, nowMs, binding: null, quotas: [], violated: [], isDegraded: false },
  retryAfterMs: block.untilMs === null ? null : block.untilMs - nowMs,
  block,
})
