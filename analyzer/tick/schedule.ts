/** Ticks one after the other, at a steady pace: one that takes longer than its turn delays the next, never overlaps it. */
export interface Schedule {
  /** Resolves when the tick under way, if any, has ended. */
  close(): Promise<void>
}

/** How soon a tick that could not be done is tried again: a store that starts beside us is there within a second. */
const RETRY_MS = 500

/**
 * Calls `tick` every `everyMs`, beginning now. It answers whether it could be done, and handles its own failures: a
 * rejection ends the process.
 */
export function startSchedule(everyMs: number, tick: () => Promise<boolean>): Schedule {
  let timer: NodeJS.Timeout | null = null
  let isClosed = false
  const run = async (): Promise<void> => {
    const startedAt = performance.now()
    const wasDone = await tick()
    if (isClosed) return
    const turnMs = wasDone ? everyMs : Math.min(everyMs, RETRY_MS)
    const leftMs = Math.max(0, turnMs - (performance.now() - startedAt))
    timer = setTimeout(() => {
      running = run()
    }, leftMs)
  }
  let running = run()
  return {
    close: async () => {
      isClosed = true
      if (timer) clearTimeout(timer)
      await running
    },
  }
}
