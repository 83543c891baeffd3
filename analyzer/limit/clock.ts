/**
 * The limit store's clock. When the machine's clock is set back, time stands still until it has caught up, so that no
 * window is lived through twice. A step of more than an hour is no correction but an error that has been mended: quotas
 * that never reset would be worse than an hour that is lived twice.
 */
export const STEP_BACK_MS_MAX = 3_600_000

/** `lastMs` is the latest instant that was ever answered before. */
export function createClock(now: () => number, lastMs: number): () => number {
  let latestMs = lastMs
  return () => {
    const nowMs = now()
    if (nowMs > latestMs || latestMs - nowMs > STEP_BACK_MS_MAX) latestMs = nowMs
    return latestMs
  }
}
