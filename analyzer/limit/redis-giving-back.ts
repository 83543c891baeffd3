/** What Redis has spent and nobody was told of is given back, also where Redis takes no writes for a while. */
import { type DecisionReference, LimitStoreError } from './limit-store.ts'

/** Between attempts. */
const RETRY_MS = 500
/** Decisions that wait; those beyond stay spent until their windows end. */
const WAITING_MAX = 10_000

/** Until `closed` is aborted. `undo` changes nothing the second time. */
export function createGivingBack(
  undo: (reference: DecisionReference) => Promise<unknown>,
  closed: AbortSignal,
): (reference: DecisionReference) => void {
  let waiting: DecisionReference[] = []

  const tryAgain = async () => {
    const due = waiting
    waiting = []
    for (const reference of due) await giveBack(reference)
  }
  const giveBack = async (reference: DecisionReference) => {
    try {
      await undo(reference)
    } catch (error) {
      const mayPass = error instanceof LimitStoreError && error.code === 'LIMITS_UNAVAILABLE'
      if (!mayPass || closed.aborted || waiting.length >= WAITING_MAX) return
      if (waiting.push(reference) === 1) setTimeout(() => void tryAgain(), RETRY_MS).unref()
    }
  }
  return reference => void giveBack(reference)
}
