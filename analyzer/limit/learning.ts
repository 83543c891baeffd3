/**
 * Where estimates are learned from: at the start what the store holds, afterwards the stream of call records, or, in a
 * process that does not read it, the store again and again.
 */
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
const MINUTE_MS = 60_000
/** A call is stored when it has ended; one that takes longer is not learned of by who reads on in the store. */
const ENDED_MS = 5 * MINUTE_MS

/** From the first one to before the last one. */
interface Minutes {
  readonly fromMs: number
  readonly toMs: number
}

export interface LearningDeps {
  estimates: Estimates
  /** Calls in the store that began in these minutes; rejects when it does not answer. */
  readCosts: (unit: EstimatedUnit, minutes: Minutes, handle: (costs: CallCosts) => void) => Promise<void>
  /** How often the store is read on where nobody tells of call records; `null` where somebody does. */
  readOnMs: number | null
  nowMs: () => number
  logger: Logger
}

export interface Learning {
  /** To be told of each call record once. */
  learn(record: CallRecord): void
  close(): Promise<void>
}

/** Reads the store at once, and tries until it answers. */
export function startLearning({ estimates, readCosts, readOnMs, nowMs, logger }: LearningDeps): Learning {
  const stopping = new AbortController()
  const stopObserving = estimatesObserved(estimates.counts)
  const read = async (minutes: Minutes) => {
    // As a whole or not at all: what was read before a failure would be learned twice.
    const found: (CallCosts & { unit: EstimatedUnit })[] = []
    for (const unit of ESTIMATED_UNITS) {
      await readCosts(unit, minutes, costs => found.push({ ...costs, unit }))
    }
    for (const [index, { unit, amount, calls, ...kind }] of found.entries()) {
      estimates.learnMany(kind, unit, amount, calls)
      if (index % LEARNED_AT_ONCE === LEARNED_AT_ONCE - 1) await setImmediate()
    }
  }
  const run = async () => {
    const beganMs = nowMs() - LEARNED_MS
    let fromMs = beganMs
    while (!stopping.signal.aborted) {
      const toMs = minuteOf(readOnMs === null ? nowMs() + MINUTE_MS : nowMs() - ENDED_MS)
      // Why it does not answer is said by whoever needs it more.
      const isRead = await read({ fromMs, toMs }).then(
        () => true,
        () => false,
      )
      if (isRead && fromMs === beganMs) costsLearned(logger, estimates.kinds())
      if (isRead && readOnMs === null) return
      if (isRead) fromMs = toMs
      await sleep(readOnMs ?? RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
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

const minuteOf = (ms: number) => ms - (ms % MINUTE_MS)

function knownCosts(record: CallRecord): Cost {
  const cost: Cost = {}
  for (const unit of ESTIMATED_UNITS) {
    const amount = knownCost(record, unit)
    if (amount !== null) cost[unit] = amount
  }
  return cost
}
