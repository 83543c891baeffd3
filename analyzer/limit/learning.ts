/** Where estimates are learned from: at the start what the store holds, afterwards the stream of call records. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { CallRecord } from '../../collector/call-record.ts'
import { costsLearned, estimatesObserved } from '../events.ts'
import type { CallCosts } from '../usage/costs.ts'
import { knownCost } from '../usage/units.ts'
import { ESTIMATED_UNITS, type EstimatedUnit, type Estimates } from './estimates.ts'
import type { Cost } from './limiter.ts'

/** Of what time the calls are that the store is asked for: a day has all hours. */
const LEARNED_MS = 86_400_000
/** Kinds of calls that are learned of between two decisions. */
const LEARNED_AT_ONCE = 200
/** Between attempts to read the store. */
const RETRY_MS = 30_000

export interface LearningDeps {
  estimates: Estimates
  /** Calls in the store since an instant; rejects when it does not answer. */
  readCosts: (unit: EstimatedUnit, sinceMs: number, handle: (costs: CallCosts) => void) => Promise<void>
  nowMs: () => number
  logger: Logger
}

export interface Learning {
  /** To be told of each call record once. */
  learn(record: CallRecord): void
  close(): Promise<void>
}

/** Reads the store at once, and tries until it answers. */
export function startLearning({ estimates, readCosts, nowMs, logger }: LearningDeps): Learning {
  const stopping = new AbortController()
  const stopObserving = estimatesObserved(estimates.counts)
  const read = async () => {
    // As a whole or not at all: what was read before a failure would be learned twice.
    const found: (CallCosts & { unit: EstimatedUnit })[] = []
    for (const unit of ESTIMATED_UNITS) {
      await readCosts(unit, nowMs() - LEARNED_MS, costs => found.push({ ...costs, unit }))
    }
    for (const [index, { unit, amount, calls, ...kind }] of found.entries()) {
      estimates.learnMany(kind, unit, amount, calls)
      if (index % LEARNED_AT_ONCE === LEARNED_AT_ONCE - 1) await setImmediate()
    }
    costsLearned(logger, estimates.kinds())
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      // Why it does not answer is said by whoever needs it more.
      const isRead = await read().then(
        () => true,
        () => false,
      )
      if (isRead) return
      await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const running = run()
  return {
    learn: record => estimates.learn(record, knownCosts(record)),
    async close() {
      stopping.abort()
      stopObserving()
      await running
    },
  }
}

function knownCosts(record: CallRecord): Cost {
  const cost: Cost = {}
  for (const unit of ESTIMATED_UNITS) {
    const amount = knownCost(record, unit)
    if (amount !== null) cost[unit] = amount
  }
  return cost
}
