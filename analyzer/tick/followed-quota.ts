/** Which quotas are followed in series of usage, and which window a forecast of them speaks of. */
import type { Quota } from '../policy/quota.ts'
import type { Unit } from '../usage/units.ts'
import {
  isResetting,
  lengthAt,
  type ResettingWindow,
  seriesStepMs,
  type Window,
  type WindowSpec,
  windowAt,
} from '../usage/window.ts'

/** Its use is told by call records. */
export interface FollowedQuota extends Quota {
  readonly unit: Unit
  readonly window: Exclude<WindowSpec, { kind: 'held' }>
}

/** False for what only the limiter knows: how many calls are under way. */
export const isFollowed = (quota: Quota): quota is FollowedQuota =>
  quota.window.kind !== 'held' && quota.unit !== 'concurrent_requests'

/** Its window has an end at which a forecast can be scored. */
export interface ResettingQuota extends FollowedQuota {
  readonly window: ResettingWindow
}

export const hasReset = (quota: Quota): quota is ResettingQuota => isFollowed(quota) && isResetting(quota.window)

/** Equal for quotas that add up the same calls alike in the same windows, whatever their limits: one forecast of demand serves them. */
export function seriesKeyOf({ unit, counts, window, per, conditions }: FollowedQuota): string {
  const matched = conditions.map(({ field, values, prefixes }) => [field, [...values].sort(), [...prefixes].sort()])
  return JSON.stringify([unit, counts, window.definition, per.map(({ field }) => field), matched])
}

/** Step of the quota's series. */
export const stepOf = ({ window }: FollowedQuota, nowMs: number): number => seriesStepMs(lengthAt(window, nowMs))

/**
 * The window in which use counts now. Without a reset it is the length, or the period, that has just passed: it ends now,
 * and begins on the whole step before (of a sliding one, with the oldest slot that counts), so that it is a sum of steps.
 */
export function countedWindow(quota: FollowedQuota, nowMs: number): Window {
  const { window } = quota
  if (isResetting(window)) return windowAt(window, nowMs)
  const stepMs = stepOf(quota, nowMs)
  const fromMs = nowMs - Math.max(stepMs, lengthAt(window, nowMs))
  const countsFromMs = window.kind === 'sliding' ? Math.floor(fromMs / window.slotMs) * window.slotMs : fromMs
  return { startMs: Math.floor(countsFromMs / stepMs) * stepMs, endMs: nowMs }
}
