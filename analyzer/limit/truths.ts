/** What a comparison of the counters with the store of call records asks and tells. */
import type { AppliedPosition, AskedBucket } from './limit-store.ts'

/** A window that a comparison with the store concerns. */
export interface ComparedWindow {
  readonly series: string
  readonly startMs: number
  readonly endMs: number
  /** Positions up to which it was compared before; null when never: it has to be compared whole. */
  readonly comparedTo: readonly AppliedPosition[] | null
}

export interface Comparison {
  readonly id: number
  /** Every record up to here, and none after, is in what is being compared. */
  readonly cut: readonly AppliedPosition[]
  readonly windows: readonly ComparedWindow[]
}

/** What the store of call records holds for one window, within the compared positions. */
export interface WindowTruth {
  readonly series: string
  readonly startMs: number
  readonly endMs: number
  /** From the window's begin rather than from the position compared before. */
  readonly isWhole: boolean
  /** Whether differences may lower what was used; not where the store no longer holds all of the window. */
  readonly mayLower: boolean
  readonly isRecordsOnly: boolean
  /** Last resets, by subject: costs are of calls that began later. */
  readonly resets: ReadonlyMap<string, Pick<AskedBucket, 'sinceMs'>>
  readonly costs: readonly { readonly subject: string; readonly gateway: string; readonly amount: number }[]
}

/** Units that were missing and units that were too many, summed over buckets. */
export interface Corrections {
  buckets: number
  added: number
  removed: number
}
