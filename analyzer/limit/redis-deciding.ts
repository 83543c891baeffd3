/**
 * Decisions that are asked for in the same turn of the event loop travel together: one call of the script, which decides
 * them one after the other. While a call is under way, more is gathered: Redis answers one call after the other, so that
 * waiting for an answer costs little, and each call costs as much as some decisions do.
 *
 * Every decision is answered within the deadline. The script is told of it as well, so that a Redis that comes back after
 * a pause spends nothing for callers who have gone.
 */
import { type DecideRequest, type DecisionReference, LimitStoreError, type StoreDecision } from './limit-store.ts'
import { decodeDecisions, encodeRequests } from './redis-encoding.ts'
import type { Seen } from './redis-seen.ts'

/** Decisions of one call: about a millisecond in which Redis does nothing else. */
const REQUESTS_PER_CALL_MAX = 64
/** While a call is under way, the next one gathers until that is answered, or for so long. */
const GATHER_MS_MAX = 1
/** Of the deadline; the rest is for our own timers, and for whoever decides instead. */
const WAITING_SHARE = 0.8

export interface DecidingDeps {
  /** From asking to the answer. */
  deadlineMs: number
  nowMs: () => number
  seen: Pick<Seen, 'decided'>
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

/** Has `giveUp` called after so long, unless the answer stops it. */
function wait(ms: number, giveUp: () => void): () => void {
  let lastCheck: NodeJS.Immediate | undefined
  // An answer that is there already, as it was our own loop that was busy, is read before the loop comes to this.
  const timer = setTimeout(() => {
    lastCheck = setImmediate(giveUp)
  }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(lastCheck)
  }
}

export function createDeciding(deps: DecidingDeps): Deciding {
  const { deadlineMs } = deps
  const waitMs = deadlineMs * WAITING_SHARE
  let queue: Waiting[] = []
  let askedMs = 0
  let overdueCalls = 0
  let callsUnderway = 0
  let gathering: NodeJS.Timeout | undefined

  const send = (batch: readonly Waiting[]) => {
    const leftMs = Math.max(0, waitMs - (performance.now() - askedMs))
    let isOverdue = false
    const giveUp = () => {
      isOverdue = true
      overdueCalls += 1
      const error = new LimitStoreError('LIMITS_UNAVAILABLE', `Redis did not answer within ${deadlineMs} ms`)
      for (const { reject } of batch) reject(error)
    }
    const stopWaiting = wait(leftMs, giveUp)
    callsUnderway += 1
    const end = () => {
      callsUnderway -= 1
      stopWaiting()
      if (isOverdue) overdueCalls -= 1
      // Before the callers have their turn, so that Redis works meanwhile.
      if (gathering !== undefined) flush()
    }
    const requests = batch.map(({ request }) => request)
    deps.run(encodeRequests(requests), deps.nowMs() + leftMs).then(
      answer => {
        end()
        if (!isOverdue) settleAll(deps, batch, answer)
        else if (answer.length > 0) giveBackAll(deps, requests, answer)
      },
      error => {
        end()
        if (!isOverdue) for (const { reject } of batch) reject(error)
      },
    )
  }
  const flush = () => {
    clearTimeout(gathering)
    gathering = undefined
    if (queue.length === 0) return
    const batch = queue
    queue = []
    send(batch)
  }
  const flushOrGather = () => {
    if (callsUnderway === 0) flush()
    else gathering ??= setTimeout(flush, GATHER_MS_MAX)
  }

  return {
    decide: request =>
      new Promise((resolve, reject) => {
        if (overdueCalls > 0) {
          reject(new LimitStoreError('LIMITS_UNAVAILABLE', 'Redis does not answer'))
          return
        }
        if (queue.length === 0) {
          askedMs = performance.now()
          setImmediate(flushOrGather)
        }
        queue.push({ request, resolve, reject })
        if (queue.length === REQUESTS_PER_CALL_MAX) flush()
      }),
    isOverdue: () => overdueCalls > 0,
  }
}

function settleAll(deps: DecidingDeps, batch: readonly Waiting[], answer: Buffer): void {
  if (answer.length === 0) {
    const error = new LimitStoreError('LIMITS_UNAVAILABLE', 'Redis was too late')
    for (const { reject } of batch) reject(error)
    return
  }
  const { bucketCount, decisions } = decodeDecisions(
    answer,
    batch.map(({ request }) => request),
  )
  deps.onBucketCount(bucketCount)
  for (const [index, { resolve, reject }] of batch.entries()) {
    const decision = decisions[index]
    if (decision instanceof LimitStoreError) reject(decision)
    else if (decision !== undefined) {
      if (decision.reference !== null) deps.seen.decided(decision.reference)
      resolve(decision)
    }
  }
}

function giveBackAll(deps: DecidingDeps, requests: readonly DecideRequest[], answer: Buffer): void {
  for (const decision of decodeDecisions(answer, requests).decisions) {
    if (!(decision instanceof LimitStoreError) && decision.reference !== null) deps.giveBack(decision.reference)
  }
}
