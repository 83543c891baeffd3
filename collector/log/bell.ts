import type { LogTopic } from './call-log.ts'

/** How soon a reader sees what another process appended. */
const POLL_MS = 25

/** Wakes the readers of a process when there may be more to read. */
export interface Bell {
  /** Something was appended here. */
  ring(topic: LogTopic): void
  /** Resolves at the next ring of the topic, or after a poll: what other processes append rings no bell. */
  next(topic: LogTopic): Promise<void>
}

/** One timer for all readers that wait, because waking a process costs more than looking. */
export function createBell(): Bell {
  const waiting = new Map<LogTopic, (() => void)[]>()
  let isTimed = false

  const ring = (topic: LogTopic): void => {
    const woken = waiting.get(topic) ?? []
    waiting.delete(topic)
    for (const wake of woken) wake()
  }
  const ringAll = (): void => {
    isTimed = false
    for (const topic of [...waiting.keys()]) ring(topic)
  }
  return {
    ring,
    next: topic =>
      new Promise(resolve => {
        waiting.set(topic, [...(waiting.get(topic) ?? []), resolve])
        if (!isTimed) setTimeout(ringAll, POLL_MS)
        isTimed = true
      }),
  }
}
