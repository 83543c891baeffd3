const BEAT_MS = 10

/**
 * Counts milliseconds in which this process runs and waits. A machine that stands still, and tests with it, adds one beat
 * however long that lasts: it is no slowness of what is tested.
 */
export function countRunningTime(): { stop(): number } {
  let beats = 0
  const beating = setInterval(() => {
    beats += 1
  }, BEAT_MS)
  return {
    stop() {
      clearInterval(beating)
      return beats * BEAT_MS
    },
  }
}

const RUNS = 3

/** Milliseconds that something takes, of a few runs the least: the machine may stand still in one of them. */
export function leastMsOf(run: () => unknown): number {
  const runs = Array.from({ length: RUNS }, () => {
    const beganMs = performance.now()
    run()
    return performance.now() - beganMs
  })
  return Math.min(...runs)
}
