/** A limit store that is not in this process: several limiters share it, and it may be away. */
import type { LimitStore, Spend } from './limit-store.ts'

/** Within which a decision is given where nothing else is configured. */
export const DEADLINE_MS = 10

/** What checks of a gateway have spent while the shared counters were away. */
export interface Addition extends Spend {
  readonly gateway: string
}

export interface SharedLimitStore extends LimitStore {
  /**
   * Spends as checks do, in any case, and once for each `id`, however often it is asked to. None of it was decided before
   * `beganMs`: what a bucket was raised by since may be the same, and is counted once.
   */
  add(id: string, additions: readonly Addition[], beganMs: number): Promise<void>
}
