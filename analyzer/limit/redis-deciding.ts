/**
 * Decisions that are asked for in the same turn of the event loop travel together: one call of the script, which decides
 * them one after the other. Every decision is answered within the deadline. The script is told of it as well, so that a
 * Redis that comes back after a pause spends nothing for callers who have gone.
 */
import { type DecideRequest, type DecisionReference, LimitStoreError, type StoreDecision } from './limit-store.ts'
import { decodeDecisions, encodeRequests } from './redis-encoding.ts'

/** Decisions of one call: about a millisecond in which Redis does nothing else. */
const REQUESTS_PER_CALL_MAX = 64

export interface DecidingDeps {
  deadlineMs: number
  nowMs: () => number
  /** Runs the script; rejects with `LimitStoreError`, and may take as long as it likes. */
  run: (requests: string, notAfterMs: number) => Promise<Buffer>
  /** Takes back what was spent for nobody. */
  giveBack: (reference: DecisionReference) => void
  onBucketCount: (count: number) => void
}

interface Waiting {
  readonly request: DecideRequest
  readonly resolve: (decision: StoreDecision) => void
  readonly reject: (error: LimitStoreError) => void
}

export interface Deciding {
  /** Rejects with `LimitStoreError` when Redis does not answer within the deadline. */
  decide(request: DecideRequest): Promise<StoreDecision>
  /** True while a call is unanswered beyond its deadline: further ones are refused at once. */
  isOverdue(): boolean
}

export function createDeciding(deps: DecidingDeps): Deciding {
  let queue: Waiting[] = []
  let overdueCalls = 0

  const send = (batch: readonly Waiting[]) => {
    const { deadlineMs } = deps
    let isOverdue = false
    const giveUp = () => {
      isOverdue = true
      overdueCalls += 1
      const error = new LimitStoreError('LIMITS_UNAVAILABLE', `Redis did not answer within ${deadlineMs} ms`)
      for (const { reject } of batch) reject(error)
    }
    let lastCheck: NodeJS.Immediate | undefined
    // An answer that is there already, as it was our own loop that was busy, is read before the loop comes to this.
    const timer = setTimeout(() => {
      lastCheck = setImmediate(giveUp)
    }, deadlineMs)
    const end = () => {
      clearTimeout(timer)
      clearImmediate(lastCheck)
      if (isOverdue) overdueCalls -= 1
    }
    const requests = batch.map(({ request }) => request)
    deps.run(encodeRequests(requests), deps.nowMs() + deadlineMs).then(
      answer => {
        end()
        if (!isOverdue) settleAll(batch, requests, answer)
        else if (answer.length > 0) giveBackAll(requests, answer)
      },
      error => {
        end()
        if (!isOverdue) for (const { reject } of batch) reject(error)
      },
    )
  }
  const settleAll = (batch: readonly Waiting[], requests: readonly DecideRequest[], answer: Buffer) => {
    if (answer.length === 0) {
      const error = new LimitStoreError('LIMITS_UNAVAILABLE', 'Redis was too late')
      for (const { reject } of batch) reject(error)
      return
    }
    const { bucketCount, decisions } = decodeDecisions(answer, requests)
    deps.onBucketCount(bucketCount)
    for (const [index, { resolve, reject }] of batch.entries()) {
      const decision = decisions[index]
      if (decision instanceof LimitStoreError) reject(decision)
      else if (decision !== undefined) resolve(decision)
    }
  }
  const giveBackAll = (requests: readonly DecideRequest[], answer: Buffer) => {
    for (const decision of decodeDecisions(answer, requests).decisions) {
      if (!(decision instanceof LimitStoreError) && decision.reference !== null) deps.giveBack(decision.reference)
    }
  }
  const flush = () => {
    const waiting = queue
    queue = []
    for (let at = 0; at < waiting.length; at += REQUESTS_PER_CALL_MAX) {
      send(waiting.slice(at, at + REQUESTS_PER_CALL_MAX))
    }
  }

  return {
    decide: request =>
      new Promise((resolve, reject) => {
        if (overdueCalls > 0) {
          reject(new LimitStoreError('LIMITS_UNAVAILABLE', 'Redis does not answer'))
          return
        }
        if (queue.length === 0) setImmediate(flush)
        queue.push({ request, resolve, reject })
      }),
    isOverdue: () => overdueCalls > 0,
  }
}
