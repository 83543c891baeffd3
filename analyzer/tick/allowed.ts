/** What a subject may use until its window ends, as everything that was changed at run time has it. */
import type { LimitStep } from '../forecast/limit-steps.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { subjectKey } from '../policy/subject.ts'
import type { SubjectValues } from '../usage/selection.ts'

export interface Allowed {
  /** Ascending; the first one holds now. Empty while nobody has said it. */
  steps: readonly LimitStep[]
  /** As of an allowance: the last reset by hand, what was used elsewhere, and until when the provider refuses. */
  sinceMs: number
  elsewhere: number
  deniedUntilMs: number | null
  /** What the limiter had counted when the reset came. */
  forgiven: number
}

/** True when both allow the same, whenever they were asked: the first limit holds. */
export function isSameAllowed(one: Allowed, other: Allowed): boolean {
  const isSame = ({ fromMs, limit }: LimitStep, index: number) =>
    limit === other.steps[index]?.limit && (index === 0 || fromMs === other.steps[index]?.fromMs)
  return (
    one.elsewhere === other.elsewhere &&
    one.forgiven === other.forgiven &&
    one.deniedUntilMs === other.deniedUntilMs &&
    one.sinceMs === other.sinceMs &&
    one.steps.length === other.steps.length &&
    one.steps.every(isSame)
  )
}

/** Tells what a subject may use from `nowMs` until `endMs`. */
export type AllowedOf = (quota: Quota, subject: SubjectValues, range: { nowMs: number; endMs: number }) => Allowed

/** As the policy says: the subject's own limit, and grants that hold or are to come. */
export const allowedBy =
  (policy: Policy): AllowedOf =>
  (quota, subject, { nowMs, endMs }) => {
    const key = subjectKey(subject)
    const { limit: _limit, limits: _limits, ...allowance } = policy.allowance(quota, key, nowMs)
    const forgiven = policy.adjusted(quota, key, nowMs).reset?.used ?? 0
    return { ...allowance, forgiven, steps: policy.limits(quota, key, { fromMs: nowMs, toMs: endMs }) }
  }

/** The same with other limits. */
export const withLimits =
  (allowedOf: AllowedOf, limitOf: (limit: number) => number): AllowedOf =>
  (quota, subject, range) => {
    const allowed = allowedOf(quota, subject, range)
    return { ...allowed, steps: allowed.steps.map(step => ({ ...step, limit: limitOf(step.limit) })) }
  }

/** The same under one limit, whatever was said or changed. */
export const underLimit =
  (allowedOf: AllowedOf, limit: number): AllowedOf =>
  (quota, subject, range) => ({ ...allowedOf(quota, subject, range), steps: [{ fromMs: range.nowMs, limit }] })
