/** One sum of decisions: what it begins as, what a decision adds, and its entry of the log. */
import type { LogEntry } from '../../collector/log/call-log.ts'
import type { DecisionSums } from '../../collector/log/decision-sums.ts'
import { onlyValue, type Quota } from '../policy/quota.ts'
import { subjectMap } from '../policy/subject.ts'

/** A sum that decisions are still added to. */
export type OpenSum = Omit<DecisionSums, 'sumId'>

const NOTHING = { allowed: 0, denied: 0, spent: 0, deniedCost: 0 } as const

/** The sum of no decisions yet. */
export function emptySum(quota: Quota, values: readonly string[], minuteMs: number): OpenSum {
  const subject = subjectMap(quota, values)
  return {
    minuteMs,
    quota: quota.name,
    subject,
    tenant: subject.tenant ?? onlyValue(quota.conditions, 'tenant'),
    consumer: subject.consumer ?? null,
    unit: quota.unit,
    ...NOTHING,
  }
}

/** One decision's part for one quota. */
export interface DecisionPart {
  readonly cost: number
  /** This quota was in the way. */
  readonly hasDenied: boolean
  /** Its call was counted by its check. */
  readonly isJoined?: boolean | undefined
}

export function addDecision(sum: OpenSum, { cost, hasDenied, isJoined = false }: DecisionPart): void {
  if (hasDenied) {
    sum.denied += 1
    sum.deniedCost = plus(sum.deniedCost, cost)
  } else {
    if (!isJoined) sum.allowed += 1
    sum.spent = plus(sum.spent, cost)
  }
}

/** Beyond what is exact there is no sum that the log would know. */
const plus = (sum: number, cost: number) => Math.min(Number.MAX_SAFE_INTEGER, sum + cost)

/** True when no decision was added. */
export const isEmpty = ({ allowed, denied, spent }: OpenSum): boolean => allowed + denied + spent === 0

/** What the sum was; it is empty afterwards. */
export function takeSum(sum: OpenSum): OpenSum {
  const taken = { ...sum }
  Object.assign(sum, NOTHING)
  return taken
}

/** Whoever stores it recognizes by `sumId` an append that is tried again. */
export const toEntry = (sum: OpenSum, sumId: string): LogEntry => ({
  key: sumId,
  value: JSON.stringify({ sumId, ...sum }),
})
