/**
 * Sums of decisions per minute, quota and bucket, handed on to the log: a gateway that only asks has history, forecasts
 * and panels too. A killed limiter forgets those of the last few seconds; what it spent is kept by the limit store.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { CallLog, LogEntry } from '../../collector/log/call-log.ts'
import { decisionSumsDelayed, decisionSumsDropped, decisionsSummed } from '../events.ts'
import type { Dimensions, Quota } from '../policy/quota.ts'
import { addDecision, type DecisionPart, type OpenSum, toEntry } from './decision-sum.ts'
import { createOpenSums } from './open-sums.ts'

const MINUTE_MS = 60_000
/** How often sums go to the log. */
const HAND_ON_MS = 10_000
/** Sums that wait while the log is away; the oldest are given up. */
const WAITING_MAX = 200_000
/** Written as text between two decisions, so few that no caller waits for it. */
const APPEND_ENTRIES_MAX = 250

export interface DecisionSumming {
  count(quota: Quota, subjectKey: string, dims: Dimensions, part: DecisionPart & { readonly nowMs: number }): void
  /** Hands on what there is; rejects when the log does not take it. */
  handOn(): Promise<void>
  close(): Promise<void>
}

export function startDecisionSumming(deps: { log: CallLog; logger: Logger }): DecisionSumming {
  const open = createOpenSums()
  let waiting: OpenSum[] = []
  /** What the log was given last and has not taken: it gets the same entries again. */
  let handed: LogEntry[] = []
  let handingOn: Promise<void> | null = null

  const queueClosed = () => {
    const closed = open.takeClosed()
    if (closed.length === 0) return
    decisionsSummed(deps.logger, closed)
    waiting = waiting.concat(closed)
    const excess = waiting.length - WAITING_MAX
    if (excess <= 0) return
    waiting = waiting.slice(excess)
    decisionSumsDropped(deps.logger, excess)
  }
  const handOnAll = async () => {
    await open.closeAll()
    queueClosed()
    for (;;) {
      if (handed.length === 0) handed = waiting.splice(0, APPEND_ENTRIES_MAX).map(sum => toEntry(sum, randomUUID()))
      if (handed.length === 0) return
      await deps.log.append('decisions', handed)
      handed = []
    }
  }
  const handOn = async () => {
    // What is under way may have passed over what was counted since.
    await handingOn?.catch(() => undefined)
    handingOn ??= handOnAll().finally(() => {
      handingOn = null
    })
    await handingOn
  }
  const tryHandOn = () => {
    queueClosed()
    if (handingOn !== null) return
    handOn().catch((error: unknown) => decisionSumsDelayed(deps.logger, String(error)))
  }
  const timer = setInterval(tryHandOn, HAND_ON_MS)

  return {
    handOn,
    count(quota, subjectKey, dims, part) {
      const { nowMs } = part
      if (open.isFull()) {
        open.closeAtOnce()
        setImmediate(tryHandOn)
      }
      addDecision(open.obtain(quota, subjectKey, dims, nowMs - (nowMs % MINUTE_MS)), part)
    },
    async close() {
      clearInterval(timer)
      try {
        await handOn()
      } catch (error) {
        decisionSumsDropped(deps.logger, handed.length + waiting.length)
        deps.logger.error({ err: error }, 'the log did not take the last sums of decisions')
      }
    },
  }
}
