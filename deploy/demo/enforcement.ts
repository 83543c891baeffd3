/** What the demo's quotas would have decided in the past, before there was a limiter: told of to the log as sums of it. */
import { createHash } from 'node:crypto'
import { matches, type Quota } from '../../analyzer/policy/quota.ts'
import { subjectKey, subjectMap, subjectOf } from '../../analyzer/policy/subject.ts'
import { type FollowedQuota, hasReset, type ResettingQuota } from '../../analyzer/tick/followed-quota.ts'
import { unitCost } from '../../analyzer/usage/units.ts'
import { windowAt } from '../../analyzer/usage/window.ts'
import type { LogEntry } from '../../collector/log/call-log.ts'
import type { DecisionSums } from '../../collector/log/decision-sums.ts'
import type { Prices } from '../../collector/prices.ts'
import { type DemoCall, MINUTE_MS, type Planned } from './calls.ts'

export interface Enforcement {
  /** The call as it went: its own, or refused because a quota was used up. Calls come in the order of their start. */
  decide(planned: Planned): DemoCall
  /** Sums of the decisions since the last time that this was asked. */
  takeSums(): LogEntry[]
}

interface Claim {
  quota: ResettingQuota
  bucket: string
  subject: readonly string[]
  cost: number
}

/** Of quotas with a reset; the others begin with the limiter. */
export function createEnforcement(quotas: readonly Quota[], prices: Prices): Enforcement {
  const enforced = quotas.filter(hasReset)
  const used = new Map<string, number>()
  const sums = new Map<string, DecisionSums>()
  const claimsOf = (call: DemoCall): Claim[] => {
    const { labels, ...dims } = { ...call, label1: call.labels.team ?? null, label2: null }
    const costed = { ...call, totalTokens: totalTokensOf(call), costMicros: prices.costMicros(call) }
    return enforced
      .filter(quota => matches(quota, dims))
      .map(quota => {
        const subject = subjectOf(quota, dims)
        const { startMs } = windowAt(quota.window, call.startedAtMs)
        const bucket = `${quota.name} ${startMs} ${subjectKey(subject)}`
        return { quota, bucket, subject, cost: unitCost(costed, quota.unit) }
      })
  }
  const sumUp = ({ quota, subject, cost }: Claim, hasDenied: boolean, minuteMs: number) => {
    const key = `${quota.name} ${minuteMs} ${subjectKey(subject)}`
    const sum = sums.get(key) ?? emptySum(quota, subject, minuteMs)
    sums.set(key, sum)
    if (hasDenied) {
      sum.denied += 1
      sum.deniedCost += cost
    } else {
      sum.allowed += 1
      sum.spent += cost
    }
  }
  return {
    decide({ habit, call }) {
      const claims = claimsOf(call)
      const isOver = ({ quota, bucket, cost }: Claim) =>
        quota.enforcement === 'deny' && (used.get(bucket) ?? 0) + cost > (quota.limit ?? Number.POSITIVE_INFINITY)
      const denying = habit.asks === 'never' ? [] : claims.filter(isOver)
      if (habit.asks !== 'never') {
        const minuteMs = call.startedAtMs - (call.startedAtMs % MINUTE_MS)
        for (const claim of denying.length > 0 ? denying : claims) sumUp(claim, denying.length > 0, minuteMs)
      }
      if (denying.length > 0) return refused(call)
      for (const { bucket, cost } of claims) used.set(bucket, (used.get(bucket) ?? 0) + cost)
      return call
    },
    takeSums() {
      const entries = Array.from(sums.values(), sum => ({ key: sum.sumId, value: JSON.stringify(sum) }))
      sums.clear()
      return entries
    },
  }
}

export const totalTokensOf = ({ inputTokens, outputTokens }: DemoCall): number =>
  (inputTokens ?? 0) + (outputTokens ?? 0)

/** What a gateway writes of a call that it refused: it reached no provider. */
export const refused = (call: DemoCall): DemoCall => ({
  ...call,
  status: 429,
  outcome: 'limited',
  latencyMs: 2,
  upstreamLatencyMs: null,
  inputTokens: null,
  cachedInputTokens: null,
  outputTokens: null,
  responseBytes: 180,
  upstreamLimits: null,
})

function emptySum(quota: FollowedQuota, subject: readonly string[], minuteMs: number): DecisionSums {
  const named = subjectMap(quota, subject)
  return {
    sumId: idOf(`${quota.name} ${minuteMs} ${JSON.stringify(named)}`),
    minuteMs,
    quota: quota.name,
    subject: named,
    tenant: named.tenant ?? null,
    consumer: named.consumer ?? null,
    unit: quota.unit,
    allowed: 0,
    denied: 0,
    spent: 0,
    deniedCost: 0,
  }
}

/** Equal sums have equal ids, so that those of a filling that is repeated are stored once. */
const idOf = (text: string): string =>
  createHash('sha256')
    .update(text)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
