/** What the counters on disk leave behind with every transaction: how far they go, and how they are written. */
import type { Counters } from './counters.ts'
import { LimitStoreError } from './limit-store.ts'

/** Counts up with every change of what the databases hold that the version before cannot read, or this one of that. */
const FORMAT = 1

export interface Head {
  /** Not there in what earlier versions left behind: 1. */
  format?: number
  epoch: number
  /** Last sequence whose charges are in the counters. */
  sequence: number
  nextWindowId: number
  clockMs: number
  forgottenEpoch: number
  /** Not there in what earlier versions left behind. */
  isLost?: boolean
}

/**
 * Read as if they were ours, the counters of another version would be wrong, or lost to the one that has written them:
 * throws `LimitStoreError`.
 */
export function requireFormat(dir: string, head: Head | null): void {
  const { format = 1 } = head ?? {}
  if (format === FORMAT) return
  throw new LimitStoreError(
    'LIMITS_FORMAT',
    `the counters in ${dir} are of another version (format ${format}, this one has ${FORMAT}): start that version again, ` +
      'or move the folder away, and use is rebuilt from the store',
  )
}

export function headOf({ settled, sequence, windows, isLost }: Counters, clockMs: number): Head {
  const forgottenEpoch = settled.forgottenEpoch()
  const { epoch } = settled.current
  return { format: FORMAT, epoch, sequence, nextWindowId: windows.nextId(), clockMs, forgottenEpoch, isLost }
}
