/** What HTTP says of quotas: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11), `Retry-After`. */
import type { Quota } from '../policy/quota.ts'
import type { QuotaUnit } from '../usage/units.ts'
import { lengthAt } from '../usage/window.ts'
import type { Decision } from './limiter.ts'

/** Greatest integer of a structured field (RFC 9651). */
const INTEGER_MAX = 999_999_999_999_999
/** Policies that one answer shows; a call that more quotas cover shows the first ones. */
const POLICIES_MAX = 16

/** Units that have a name in the draft's registry; the others keep ours. */
const REGISTERED_UNITS: Partial<Record<QuotaUnit, string>> = {
  requests: 'request',
  bytes: 'content-bytes',
  concurrent_requests: 'concurrent-requests',
}

/** Names of quotas need no escaping in a quoted string. */
const item = (name: string) => `"${name}"`
const integer = (value: number) => Math.min(INTEGER_MAX, Math.max(0, value))
const seconds = (ms: number) => integer(Math.ceil(ms / 1000))

/** The enforced quotas of a decision as header fields; none when there is none. */
export function rateLimitHeaders(decision: Decision, quotas: ReadonlyMap<string, Quota>): Record<string, string> {
  const limits: string[] = []
  const policies: string[] = []
  for (const { quota: name, unit, limit, remaining, resetAtMs, enforcement } of decision.quotas) {
    const quota = quotas.get(name)
    if (quota === undefined || enforcement === 'shadow' || limits.length >= POLICIES_MAX) continue
    if (remaining === null) continue
    limits.push(`${item(name)};r=${integer(remaining)};t=${seconds(resetAtMs - decision.nowMs)}`)
    // A provider may refuse calls before it has said its limit.
    if (limit === null) continue
    const quotaUnit = item(REGISTERED_UNITS[unit] ?? unit)
    // What is counted while it is under way has no period.
    const window = quota.window.kind === 'held' ? '' : `;w=${seconds(lengthAt(quota.window, decision.nowMs))}`
    policies.push(`${item(name)};q=${integer(limit)}${window};qu=${quotaUnit}`)
  }
  return {
    ...(limits.length > 0 && { ratelimit: limits.join(', ') }),
    ...(policies.length > 0 && { 'ratelimit-policy': policies.join(', ') }),
  }
}

/** Whole seconds, never too early; null when waiting does not help. */
export function retryAfterSeconds({ retryAfterMs }: Decision): number | null {
  return retryAfterMs === null ? null : Math.max(1, Math.ceil(retryAfterMs / 1000))
}

/** `X-RateLimit-*` of the quota that binds, as many clients still read them; the reset in seconds from now. */
export function legacyRateLimitHeaders({ quotas, binding, nowMs }: Decision): Record<string, string> {
  const standing = quotas.find(({ quota }) => quota === binding)
  if (standing === undefined) return {}
  return {
    ...(standing.limit !== null && { 'x-ratelimit-limit': String(standing.limit) }),
    'x-ratelimit-remaining': String(standing.remaining),
    'x-ratelimit-reset': String(seconds(standing.resetAtMs - nowMs)),
  }
}
