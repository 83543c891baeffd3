/** Drops from the log what the store has: of `control` only what a snapshot in it, wholly handled, holds as well. */
import type { Logger } from 'pino'
import type { CallLog, LogPartition } from '../log/call-log.ts'
import { findSnapshotOffset } from '../log/control-snapshot.ts'

/** A partition that is ours. */
export interface Trimmable {
  readonly partition: LogPartition
  /** Entries below are handled. */
  readonly nextOffset: number
  /** Entries below were handled some time ago, so that the log has committed them. */
  trimOffset: number
  /** Of `control`: where its snapshots are. */
  readonly snapshots: SnapshotSearch
}

export interface SnapshotSearch {
  /** Entries below may be pieces of snapshots that were not looked for yet. */
  piecesTo: number
  /** Below this they were looked for. */
  searchedTo: number
  /** As of which the newest one is that was found. */
  asOfOffset: number
}

/** Pieces that were handled before count too: whoever handled them may have died before it trimmed. */
export const newSnapshotSearch = (committedOffset: number): SnapshotSearch => ({
  piecesTo: committedOffset,
  searchedTo: 0,
  asOfOffset: 0,
})

/** Again and again, what had been handled when it did so before. */
export const startTrimming = (
  log: CallLog,
  logger: Logger,
  holdings: ReadonlyMap<string, Trimmable>,
  trimMs: number,
) => {
  let running: Promise<void> = Promise.resolve()
  const trim = async (): Promise<void> => {
    for (const holding of [...holdings.values()]) {
      const { partition, trimOffset, nextOffset } = holding
      try {
        await log.trim(partition, partition.topic === 'control' ? await snapshotOffset(log, holding) : trimOffset)
        holding.trimOffset = nextOffset
      } catch (err) {
        logger.warn({ err, topic: partition.topic }, 'log was not trimmed')
      }
    }
  }
  const timer = setInterval(() => {
    running = running.then(trim)
  }, trimMs)
  return {
    async stop(): Promise<void> {
      clearInterval(timer)
      await running
    },
  }
}

/** As of which the newest snapshot is that lies in what was handled, as far as is known; 0 without one. */
async function snapshotOffset(log: CallLog, { partition, trimOffset, snapshots }: Trimmable): Promise<number> {
  if (snapshots.piecesTo > snapshots.searchedTo) {
    const held = (await log.partitions('control')).find(each => each.partition === partition.partition)
    if (held?.logId !== partition.logId) return 0
    const found = await findSnapshotOffset(log, { ...held, endOffset: trimOffset })
    snapshots.searchedTo = trimOffset
    snapshots.asOfOffset = Math.max(snapshots.asOfOffset, found ?? 0)
  }
  return snapshots.asOfOffset
}
