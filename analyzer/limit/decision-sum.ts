/** One sum of decisions: what it begins as, what a decision adds, and its entry of the log. */
import type { LogEntry } from '../../collector/log/call-log.ts'
import type { DecisionSums } from '../../collector/log/decision-sums.ts'
import { onlyValue, type Quota } from '../policy/quota.ts'
import { subjectMap } from '../policy/subject.ts'

/**
 * The sum of no decisions yet. `sumId` is made with it, so that an append that is tried again is recognized by whoever
 * stores it.
 */
export function emptySum(quota: Quota, values: readonly string[], minuteMs: number, sumId: string): DecisionSums {
  const subject = subjectMap(quota, values)
  return {
    sumId,
    minuteMs,
    quota: quota.name,
    subject,
    tenant: subject.tenant ?? onlyValue(quota.conditions, 'tenant'),
    consumer: subject.consumer ?? null,
    unit: quota.unit,
    allowed: 0,
    denied: 0,
    spent: 0,
    deniedCost: 0,
  }
}

/** One decision's part. `hasDenied` is that this quota was in the way. */
export function addDecision(sum: DecisionSums, cost: number, hasDenied: boolean): void {
  if (hasDenied) {
    sum.denied += 1
    sum.deniedCost += cost
  } else {
    sum.allowed += 1
    sum.spent += cost
  }
}

export const toEntry = (sum: DecisionSums): LogEntry => ({ key: sum.sumId, value: JSON.stringify(sum) })
