/**
 * The whole state of a limit store in memory. Every step that it can take (deciding.ts, settling.ts, comparison.ts) is
 * synchronous, so it is atomic; none reads a clock or a disk. What changed is remembered until it is taken to be written.
 */
import { shareAt } from './bucket.ts'
import type { Ledger } from './ledger.ts'
import type { AppliedPosition } from './limit-store.ts'
import type { OpenWindow, OpenWindows, StoredBucket } from './open-windows.ts'
import type { ChunkName, SettledBits } from './settled-bits.ts'

export interface Counters {
  readonly windows: OpenWindows
  readonly ledger: Ledger
  readonly settled: SettledBits
  readonly positions: Map<string, AppliedPosition>
  readonly bucketsMax: number
  /** Last sequence that was given in the current epoch. */
  sequence: number
  /** They began empty, and what they lack is not rebuilt yet. */
  isLost: boolean
  /** What has to be written; the ledger keeps its own. */
  changes: Changes
}

export interface Changes {
  /** Each once: a bucket knows whether it is here. */
  readonly buckets: StoredBucket[]
  /** Of the settled bits, by `epoch:chunk`. */
  readonly chunks: Map<string, ChunkName>
  readonly positions: Set<string>
  readonly windows: Set<OpenWindow>
  /** What was lost is rebuilt. */
  isRebuilt: boolean
}

export const noChanges = (): Changes => ({
  buckets: [],
  chunks: new Map(),
  positions: new Set(),
  windows: new Set(),
  isRebuilt: false,
})

/** Names a partition of one life of the log. */
export const positionKey = (logId: string, partition: number) => `${logId}/${partition}`

/** Marks a bucket as changed. */
export function touch({ changes }: Counters, bucket: StoredBucket): void {
  if (bucket.isDirty) return
  bucket.isDirty = true
  changes.buckets.push(bucket)
  if (bucket.window.isDirty) changes.windows.add(bucket.window)
}

/** Marks a window as changed. */
export function touchWindow({ changes }: Counters, window: OpenWindow): void {
  window.isDirty = true
  changes.windows.add(window)
}

/** What is held in the window is found by its number until then. */
export function keepUntil(counters: Counters, window: OpenWindow, untilMs: number): void {
  if (window.endMs > untilMs) return
  window.endMs = untilMs + 1
  touchWindow(counters, window)
}

export function hasChanges({ changes, ledger }: Counters): boolean {
  return (
    changes.isRebuilt ||
    changes.windows.size > 0 ||
    changes.buckets.length > 0 ||
    changes.chunks.size > 0 ||
    changes.positions.size > 0 ||
    ledger.changes.size > 0
  )
}

/** Takes what changed, to be written now. */
export function takeChanges(counters: Counters): Changes {
  const taken = counters.changes
  counters.changes = noChanges()
  for (const bucket of taken.buckets) bucket.isDirty = false
  for (const window of taken.windows) window.isDirty = false
  return taken
}

/** Puts changes back that could not be written; of windows that have ended nothing needs to be. */
export function returnChanges(counters: Counters, returned: Changes): void {
  const isOpen = (id: number) => counters.windows.byId(id) !== undefined
  for (const window of returned.windows) if (isOpen(window.id)) touchWindow(counters, window)
  for (const bucket of returned.buckets) if (isOpen(bucket.window.id)) touch(counters, bucket)
  for (const [key, chunk] of returned.chunks) counters.changes.chunks.set(key, chunk)
  for (const key of returned.positions) counters.changes.positions.add(key)
  counters.changes.isRebuilt ||= returned.isRebuilt
}

/** Adds to what checks of the gateway have spent. Never below nothing: what was taken out once cannot make room for others. */
export function addPending(bucket: StoredBucket, index: number, amount: number): void {
  const share = shareAt(bucket, index)
  if (share !== null) share.pending = Math.max(0, share.pending + amount)
}
