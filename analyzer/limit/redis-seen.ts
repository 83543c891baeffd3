/** How far this process has seen the counters in Redis: should they be behind that, somebody has put older ones in place. */
import type { DecisionOrder } from './limit-store.ts'

export interface Seen {
  /** Next offsets of the settler's partitions, by their name. */
  readonly offsets: Map<string, number>
  decided(decision: DecisionOrder): void
  /** The last sequence of the epoch; 0 for none. */
  sequenceIn(epoch: number): number
}

export function createSeen(): Seen {
  let last: DecisionOrder = { epoch: 0, sequence: 0 }
  return {
    offsets: new Map(),
    decided({ epoch, sequence }) {
      if (epoch > last.epoch || (epoch === last.epoch && sequence > last.sequence)) last = { epoch, sequence }
    },
    sequenceIn: epoch => (epoch === last.epoch ? last.sequence : 0),
  }
}
