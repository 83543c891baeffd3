/** Ticks one after the other, at a steady pace: one that takes longer than its turn delays the next, never overlaps it. */
export interface Schedule {
  /** Resolves when the tick under way, if any, has ended. */
  close(): Promise<void>
}

/** Calls `tick` every `everyMs`, beginning now. `tick` handles its own failures: a rejection ends the process. */
export function startSchedule(everyMs: number, tick: () => Promise<void>): Schedule {
  let timer: NodeJS.Timeout | null = null
  let isClosed = false
  const run = async (): Promise<void> => {
    const startedAt = performance.now()
    await tick()
    if (isClosed) return
    const leftMs = Math.max(0, everyMs - (performance.now() - startedAt))
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
