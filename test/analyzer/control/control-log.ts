/** The topic `control` in memory: with holes, as Kafka has them, and without its begin, as the writer leaves it. */
import type { CallLog, LogEntry } from '../../../collector/log/call-log.ts'

export interface MemoryLog extends Pick<CallLog, 'append' | 'read' | 'partitions'> {
  /** All that was ever appended. */
  entries(): { offset: number; value: string }[]
  put(value: string): void
  /** An offset without an entry. */
  skip(): void
  trim(belowOffset: number): void
  beginOffset(): number
  endOffset(): number
}

/** Reads at most `readMax` entries at once. */
export function openMemoryLog(readMax = 3): MemoryLog {
  const entries: { offset: number; value: string }[] = []
  const logId = 'log'
  let beginOffset = 0
  let endOffset = 0
  const put = (value: string) => void entries.push({ offset: endOffset++, value })
  return {
    entries: () => entries,
    put,
    skip: () => void endOffset++,
    trim: belowOffset => {
      beginOffset = Math.max(beginOffset, belowOffset)
    },
    beginOffset: () => beginOffset,
    endOffset: () => endOffset,
    append: async (_topic, added: readonly LogEntry[]) => {
      for (const { value } of added) put(value)
    },
    partitions: async topic => [{ topic, logId, partition: 0, beginOffset, endOffset }],
    async read(topic, partition, fromOffset, entriesMax) {
      const from = Math.max(fromOffset, beginOffset)
      const found = entries.filter(({ offset }) => offset >= from).slice(0, Math.min(entriesMax, readMax))
      return { topic, logId, partition, entries: found, nextOffset: (found.at(-1)?.offset ?? from - 1) + 1 }
    },
  }
}
