/** Waiting for a log that is full or away, for ways in whose sender does not come again by itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import { LogError } from '../log/call-log.ts'

const BACKOFF_MS_MIN = 250
const BACKOFF_MS_MAX = 5000

export interface Patience {
  /** How long the log may be full or away before we give up. */
  patienceMs: number
  /** Nothing is tried again once it is aborted. */
  signal: AbortSignal
  /** The log is full or away: why. */
  onWait: (reason: string) => void
}

/** What `attempt` answers, as soon as the log allows it. Rejects with what cannot be waited for, or was for too long. */
export async function patiently<T>(attempt: () => Promise<T>, { patienceMs, signal, onWait }: Patience): Promise<T> {
  const deadlineMs = performance.now() + patienceMs
  for (let backoffMs = BACKOFF_MS_MIN; ; backoffMs = Math.min(2 * backoffMs, BACKOFF_MS_MAX)) {
    try {
      return await attempt()
    } catch (error) {
      const isOver = signal.aborted || performance.now() > deadlineMs
      if (isOver || !(error instanceof LogError && error.retryable)) throw error
      onWait(error.message)
      await sleep(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
    }
  }
}
