/** How fresh the counters are, whoever applies call records to them: this process or another one. */
import type { CallLog } from '../../collector/log/call-log.ts'
import type { LimitStore } from './limit-store.ts'

/** How often it is asked whether anything waits in the log. */
const LAG_MS = 500

export interface FreshnessDeps {
  log: Pick<CallLog, 'partitions'>
  /** Its clock is that of the counters; those of machines may be hours ahead or behind. */
  store: Pick<LimitStore, 'position' | 'nowMs'>
  /** Called before each look; what it rejects with makes the look fail. */
  beforeLook?: () => Promise<void>
}

export interface Freshness {
  /** Call records that arrived before this instant have been applied. */
  asOfMs(nowMs: number): number
  /** To be told when one has been. */
  applied(arrivedAtMs: number): void
  /** Entries of the log that are not applied yet. Rejects while the log is away. */
  lagEntries(): Promise<number>
  close(): void
}

export function startFreshness({ log, store, beforeLook }: FreshnessDeps): Freshness {
  let asOfMs = 0
  // The position that counts is the limit store's: one that was lost is behind what the log thinks was handled.
  const lagEntries = async () => {
    let entries = 0
    for (const { logId, partition, beginOffset, endOffset } of await log.partitions('calls')) {
      const position = await store.position(logId, partition)
      entries += Math.max(0, endOffset - Math.max(beginOffset, position?.nextOffset ?? 0))
    }
    return entries
  }
  const look = async () => {
    const atMs = store.nowMs()
    // The clock was set back: what was said of a later instant would count as said of each until then.
    asOfMs = Math.min(asOfMs, atMs)
    try {
      await beforeLook?.()
      if ((await lagEntries()) === 0) asOfMs = Math.max(asOfMs, atMs)
    } catch {
      // The log or the limit store is away, and says so itself; the age of the counters grows meanwhile.
    }
  }
  void look()
  const timer = setInterval(() => void look(), LAG_MS)
  return {
    asOfMs: nowMs => Math.min(asOfMs, nowMs),
    applied(arrivedAtMs) {
      asOfMs = Math.max(asOfMs, Math.min(arrivedAtMs, store.nowMs()))
    },
    lagEntries,
    close: () => clearInterval(timer),
  }
}
