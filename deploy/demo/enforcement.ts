/** What the demo's quotas would have decided in the past, before there was a limiter: told of to the log as sums of it. */
import { createHash } from 'node:crypto'
import { addDecision, emptySum, type OpenSum, toEntry } from '../../analyzer/limit/decision-sum.ts'
import { matches, type Quota } from '../../analyzer/policy/quota.ts'
import { subjectKey, subjectOf } from '../../analyzer/policy/subject.ts'
import { hasReset, type ResettingQuota } from '../../analyzer/tick/followed-quota.ts'
import { unitCost } from '../../analyzer/usage/units.ts'
import { windowAt } from '../../analyzer/usage/window.ts'
import type { LogEntry } from '../../collector/log/call-log.ts'
import type { Prices } from '../../collector/prices.ts'
import { type DemoCall, MINUTE_MS, type Planned } from './calls.ts'

export interface Enforcement {
  /** The call as it went: its own, or refused because a quota was used up. Calls come in the order of their start. */
  decide(planned: Planned): DemoCall
  /** Begin of the oldest window that holds at `atMs`: what calls have used since then counts. */
  openSinceMs(atMs: number): number
  /** Sums of the decisions since the last time that this was asked. */
  takeSums(): LogEntry[]
}

interface Claim {
  quota: ResettingQuota
  bucket: string
  subject: readonly string[]
  cost: number
}

interface Step {
  startMs: number
  lengthMs: number
}

/** Older decisions are read by the hour only. */
const HOUR_MS = 60 * MINUTE_MS
const MINUTES_KEPT_MS = 48 * HOUR_MS

/** Of quotas with a reset; the others begin with the limiter. Decisions are summed by minute, older ones by hour. */
export function createEnforcement(quotas: readonly Quota[], prices: Prices, toMs: number): Enforcement {
  const enforced = quotas.filter(hasReset)
  const used = new Map<string, number>()
  const sums = new Map<string, OpenSum>()
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
  const sumUp = ({ quota, subject, cost }: Claim, hasDenied: boolean, step: Step) => {
    const key = `${quota.name} ${step.startMs} ${step.lengthMs} ${subjectKey(subject)}`
    const sum = sums.get(key) ?? emptySum(quota, subject, step.startMs)
    sums.set(key, sum)
    addDecision(sum, { cost, hasDenied })
  }
  return {
    decide({ habit, call }) {
      const claims = claimsOf(call)
      const isOver = ({ quota, bucket, cost }: Claim) =>
        quota.enforcement === 'deny' && (used.get(bucket) ?? 0) + cost > (quota.limit ?? Number.POSITIVE_INFINITY)
      const denying = habit.asks === 'never' ? [] : claims.filter(isOver)
      if (habit.asks !== 'never') {
        const lengthMs = call.startedAtMs < toMs - MINUTES_KEPT_MS ? HOUR_MS : MINUTE_MS
        const step: Step = { startMs: call.startedAtMs - (call.startedAtMs % lengthMs), lengthMs }
        for (const claim of denying.length > 0 ? denying : claims) sumUp(claim, denying.length > 0, step)
      }
      if (denying.length > 0) return refused(call)
      for (const { bucket, cost } of claims) used.set(bucket, (used.get(bucket) ?? 0) + cost)
      return call
    },
    openSinceMs: atMs => Math.min(atMs, ...enforced.map(({ window }) => windowAt(window, atMs).startMs)),
    takeSums() {
      const entries = Array.from(sums, ([key, sum]) => toEntry(sum, idOf(key)))
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

/** Equal sums have equal ids, so that those of a filling that is repeated are stored once. */
const idOf = (text: string): string =>
  createHash('sha256')
    .update(text)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
