/**
 * Notices that the counters do not know of records that were applied to them: they were lost, or an older copy has been
 * put in their place. What they lack they learn by comparing; the settler goes on from where it was.
 */
import type { Logger } from 'pino'
import { positionLost } from '../events.ts'
import { positionKey } from './counters.ts'
import type { AppliedPosition, LimitStore } from './limit-store.ts'

export interface LostPositions {
  /** To be told how far this process has applied a partition. */
  applied(position: AppliedPosition): void
  /** Rejects while the counters are away. */
  recover(): Promise<void>
}

export function createLostPositions({ store, logger }: { store: LimitStore; logger: Logger }): LostPositions {
  const positions = new Map<string, AppliedPosition>()
  return {
    applied: position => void positions.set(positionKey(position.logId, position.partition), position),
    async recover() {
      for (const position of positions.values()) {
        const { logId, partition, nextOffset } = position
        const told = await store.position(logId, partition)
        if ((told?.nextOffset ?? 0) >= nextOffset) continue
        positionLost(logger, { logId, partition, toOffset: nextOffset })
        // In this order: a position that had moved would not tell of the loss any more.
        await store.forgetComparisons()
        await store.applyRecords({ effects: [], checksOnly: new Set(), held: new Set(), position })
      }
    },
  }
}
