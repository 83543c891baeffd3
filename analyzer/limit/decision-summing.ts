/**
 * Sums of decisions per minute, quota and bucket, handed on to the log: a gateway that only asks has history, forecasts
 * and panels too. A killed limiter forgets those of the last few seconds; what it spent is kept by the limit store.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { CallLog } from '../../collector/log/call-log.ts'
import type { DecisionSums } from '../../collector/log/decision-sums.ts'
import { decisionSumsDelayed, decisionSumsDropped, decisionsSummed } from '../events.ts'
import type { Dimensions, Quota } from '../policy/quota.ts'
import { subjectOf } from '../policy/subject.ts'
import { addDecision, emptySum, toEntry } from './decision-sum.ts'

const MINUTE_MS = 60_000
/** How often sums go to the log. */
const HAND_ON_MS = 10_000
/** Buckets of one minute that are summed before they are handed on early. */
const SUMS_MAX = 50_000
/** Sums that wait while the log is away; the oldest are given up. */
const WAITING_MAX = 200_000
/** Written as text between two decisions, so few that no caller waits for it. */
const APPEND_ENTRIES_MAX = 250

export interface DecisionSumming {
  /** One decision's part for one quota. `hasDenied` is that this quota was in the way. */
  count(
    quota: Quota,
    subjectKey: string,
    dims: Dimensions,
    part: { cost: number; hasDenied: boolean; nowMs: number },
  ): void
  /** Hands on what there is; rejects when the log does not take it. */
  handOn(): Promise<void>
  close(): Promise<void>
}

export function startDecisionSumming(deps: { log: CallLog; logger: Logger }): DecisionSumming {
  const sums = new Map<Quota, Map<string, DecisionSums>>()
  let minuteMs = 0
  let sumCount = 0
  let waiting: DecisionSums[] = []
  let droppedCount = 0
  let handingOn: Promise<void> | null = null

  const closeMinute = () => {
    const closed = [...sums.values()].flatMap(bySubject => [...bySubject.values()])
    sums.clear()
    sumCount = 0
    waiting = waiting.concat(closed)
    if (closed.length > 0) decisionsSummed(deps.logger, closed)
    const excess = waiting.length - WAITING_MAX
    if (excess <= 0) return
    waiting = waiting.slice(excess)
    droppedCount += excess
    decisionSumsDropped(deps.logger, excess)
  }
  const appendAll = async () => {
    while (waiting.length > 0) {
      const handed = waiting.slice(0, APPEND_ENTRIES_MAX)
      const droppedBefore = droppedCount
      await deps.log.append('decisions', handed.map(toEntry))
      // Some of them may have been given up meanwhile.
      waiting.splice(0, Math.max(0, handed.length - (droppedCount - droppedBefore)))
    }
  }
  const handOn = async () => {
    closeMinute()
    handingOn ??= appendAll().finally(() => {
      handingOn = null
    })
    await handingOn
  }
  const tryHandOn = () => {
    handOn().catch((error: unknown) => decisionSumsDelayed(deps.logger, String(error)))
  }
  const timer = setInterval(tryHandOn, HAND_ON_MS)

  return {
    handOn,
    count(quota, subjectKey, dims, { cost, hasDenied, nowMs }) {
      const nowMinuteMs = nowMs - (nowMs % MINUTE_MS)
      if (nowMinuteMs !== minuteMs) {
        closeMinute()
        minuteMs = nowMinuteMs
      }
      const bySubject = sums.get(quota) ?? new Map<string, DecisionSums>()
      const sum = bySubject.get(subjectKey) ?? emptySum(quota, subjectOf(quota, dims), minuteMs, randomUUID())
      if (sum.allowed + sum.denied === 0) {
        sums.set(quota, bySubject.set(subjectKey, sum))
        sumCount += 1
        if (sumCount >= SUMS_MAX) setImmediate(tryHandOn)
      }
      addDecision(sum, cost, hasDenied)
    },
    async close() {
      clearInterval(timer)
      try {
        await handOn()
      } catch (error) {
        decisionSumsDropped(deps.logger, waiting.length)
        deps.logger.error({ err: error }, 'the log did not take the last sums of decisions')
      }
    },
  }
}
