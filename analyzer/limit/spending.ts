/** What a call spends of which buckets, whoever tells what it cost: its record, or the caller who settles. */
import type { Policy } from '../policy/policy.ts'
import { type Dimensions, matches, type Quota } from '../policy/quota.ts'
import { subjectKeyOf } from '../policy/subject.ts'
import type { Unit } from '../usage/units.ts'
import { bucketAt, idleMsMax, type Window, type WindowSpec } from '../usage/window.ts'
import { drainOfQuota } from './claiming.ts'
import type { RecordSpend } from './limit-store.ts'

/** How far ahead of our clock a window may begin that a call opens: clocks of gateways differ. */
const AHEAD_MS_MAX = 3_600_000

/** A call that has been made. */
export interface MadeCall {
  readonly dims: Dimensions
  readonly startedAtMs: number
  readonly nowMs: number
  /** It may have a check, which may be counted in a later window: what it spends in one that has ended is told, too. */
  readonly mayBeChecked?: boolean
  /** True cost in a unit; unknown is 0. */
  costIn(unit: Unit): number
}

/**
 * One for each quota that covers the call and that `isCounted` says counts it so. What began before a reset of its subject
 * spends nothing, as what began in a window that has ended.
 */
export function spendsOf(
  call: MadeCall,
  policy: Policy,
  isCounted: (quota: Quota) => boolean,
): { quota: Quota; spend: RecordSpend }[] {
  const { dims, startedAtMs } = call
  const found: { quota: Quota; spend: RecordSpend }[] = []
  for (const quota of policy.candidates(dims.tenant)) {
    if (quota.unit === 'concurrent_requests' || !isCounted(quota) || !matches(quota, dims)) continue
    const amount = call.costIn(quota.unit)
    const window = bucketOf(quota.window, call)
    if (amount === 0 || window === null) continue
    const { series } = quota
    const subject = subjectKeyOf(quota, dims)
    const allowance = policy.allowance(quota, subject, call.nowMs)
    const { sinceMs } = allowance
    if (startedAtMs < sinceMs || (quota.paceOf !== null && allowance.limit === null)) continue
    const drain = drainOfQuota(quota, allowance)
    const isRecordsOnly = quota.counts === 'records'
    found.push({
      quota,
      spend: { ...{ series, subject, ...window, sinceMs }, amount, startedAtMs, isRecordsOnly, drain },
    })
  }
  return found
}

/** The bucket in which a call spends that began then; null when it does not count any more, or not yet. */
function bucketOf(window: WindowSpec, { startedAtMs, nowMs, mayBeChecked = false }: MadeCall): Window | null {
  if (window.kind === 'rate') {
    // Spent now; what is so old has drained.
    return startedAtMs + idleMsMax(window) > nowMs ? bucketAt(window, nowMs) : null
  }
  const bucket = bucketAt(window, startedAtMs)
  // The shorter the slots, the more of them there would be.
  const aheadMsMax = window.kind === 'sliding' ? Math.min(AHEAD_MS_MAX, window.lengthMs) : AHEAD_MS_MAX
  // One that is far ahead is compared with the store when it comes, and learns of this call then.
  const isTooEarly = bucket.endMs <= nowMs && !mayBeChecked
  return isTooEarly || bucket.startMs > nowMs + aheadMsMax ? null : bucket
}
