/**
 * When counters are written and what is swept: every `flushMs` what has changed, and now and then the windows that
 * have ended and the reservations that have expired. A write that fails is tried again with everything since.
 */
import type { Logger } from 'pino'
import { limitsFlushFailed, limitsFlushResumed, reservationsExpired } from '../events.ts'
import { type Changes, type Counters, hasChanges, returnChanges, takeChanges } from './counters.ts'
import { type LedgerEntry, returnLedgerChanges, takeLedgerChanges } from './ledger.ts'
import { LimitStoreError } from './limit-store.ts'
import { expireReservations } from './settling.ts'

/** So many changed buckets are written before their time: the more at once, the longer callers wait. */
const FLUSHED_EARLY = 256
/** How often it is looked whether a write is due. */
const LOOK_MS = 5
/** How often windows that have ended and reservations that have expired are looked for. */
const SWEEP_MS = 500

/** Everything of one instant that has to be written. */
export interface PendingWrite {
  readonly changes: Changes
  readonly ledger: ReadonlyMap<string, LedgerEntry | null>
  /** Windows whose buckets are to be removed, over several writes if they are many. */
  readonly endedWindows: ReadonlySet<number>
  readonly clockMs: number
}

export interface WriteBehindDeps {
  counters: Counters
  nowMs: () => number
  flushMs: number
  log: Logger
  /** Calls `take` when it can write what that answers, and answers the ended windows of which nothing is left. */
  write: (take: () => PendingWrite) => Promise<number[]>
}

export interface WriteBehind {
  /** Why this process must not decide any more, or `null`. */
  takenOver(): string | null
  /** Why the last write failed, or `null`. */
  failure(): string | null
  /** Writes what is left and stops. */
  close(): Promise<void>
}

export function startWriteBehind(deps: WriteBehindDeps): WriteBehind {
  const { counters, nowMs, flushMs, log } = deps
  const endedWindows = new Set<number>()
  let takenOver: string | null = null
  let failure: string | null = null
  let flushing: Promise<void> | null = null
  let flushedAtMs = 0

  const flush = async () => {
    let taken: PendingWrite | null = null
    const take = () => {
      taken = {
        changes: takeChanges(counters),
        ledger: takeLedgerChanges(counters.ledger),
        endedWindows,
        clockMs: nowMs(),
      }
      return taken
    }
    try {
      for (const id of await deps.write(take)) endedWindows.delete(id)
      if (failure !== null) limitsFlushResumed(log)
      failure = null
    } catch (error) {
      if (taken !== null) putBack(counters, taken)
      limitsFlushFailed(log, error, failure === null)
      failure = error instanceof Error ? error.message : String(error)
      if (error instanceof LimitStoreError && error.code === 'LIMITS_TAKEN_OVER') takenOver = error.message
    }
  }
  const flushIfNeeded = () => {
    const nowAtMs = performance.now()
    const isDue = nowAtMs - flushedAtMs >= flushMs || counters.changes.buckets.length >= FLUSHED_EARLY
    const isNeeded = hasChanges(counters) || endedWindows.size > 0
    if (flushing !== null || takenOver !== null || !isDue || !isNeeded) return
    flushedAtMs = nowAtMs
    flushing = flush().finally(() => {
      flushing = null
    })
  }
  const sweep = () => {
    const expired = expireReservations(counters, nowMs())
    for (const { id } of counters.windows.dropEnded(nowMs())) endedWindows.add(id)
    if (expired > 0) reservationsExpired(log, expired)
  }
  sweep()
  const flushTimer = setInterval(flushIfNeeded, Math.min(LOOK_MS, flushMs))
  const sweepTimer = setInterval(sweep, SWEEP_MS)

  return {
    takenOver: () => takenOver,
    failure: () => failure,
    async close() {
      clearInterval(sweepTimer)
      if (flushing !== null) await flushing
      if (takenOver === null && hasChanges(counters)) await flush()
      clearInterval(flushTimer)
    },
  }
}

function putBack(counters: Counters, { changes, ledger }: PendingWrite): void {
  returnChanges(counters, changes)
  returnLedgerChanges(counters.ledger, ledger)
}
