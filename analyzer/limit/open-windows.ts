/**
 * The buckets of all windows that have not ended. Grouped by series and window, so that a window that ends is dropped
 * whole, and numbered, so that a decision's id can name its buckets in a few digits.
 */
import type { Bucket } from './bucket.ts'
import type { AppliedPosition, BucketAddress } from './limit-store.ts'
import { ownText } from './own-text.ts'
import { createTimelines } from './timelines.ts'

export interface StoredBucket extends Bucket {
  readonly subject: string
  /** Place in its window, for good. */
  readonly index: number
  readonly window: OpenWindow
  /** Changed since it was last written. */
  isDirty: boolean
}

/** When a bucket forgot what was taken of it: decisions up to this one are not in it any more. */
export interface Forgetting {
  /** The reset. */
  readonly sinceMs: number
  readonly epoch: number
  readonly sequence: number
}

export interface OpenWindow {
  /** Never given twice. */
  readonly id: number
  readonly series: string
  readonly startMs: number
  /** Later than of others, where something is held for longer that is given back by the window's number. */
  endMs: number
  readonly buckets: Map<string, StoredBucket>
  /** By their index. */
  readonly list: StoredBucket[]
  /** Of the few buckets that have, by their index. */
  readonly forgettings: Map<number, Forgetting>
  /** Positions up to which it has been compared with the store of call records; null before the first time. */
  comparedTo: readonly AppliedPosition[] | null
  /** Changed, or made, since it was last written. */
  isDirty: boolean
}

export interface OpenWindows {
  /** The bucket, if anything was ever spent in it. */
  find(address: BucketAddress): StoredBucket | undefined
  findAt(series: string, subject: string, startMs: number): StoredBucket | undefined
  /** The bucket, made if need be. */
  obtain(address: BucketAddress): StoredBucket
  /** The window, made if need be. */
  obtainWindow(series: string, startMs: number, endMs: number): OpenWindow
  /** By the number that `OpenWindow.id` gave; undefined after its end. */
  byId(id: number): OpenWindow | undefined
  all(): IterableIterator<OpenWindow>
  /** The subject's buckets in all windows of the series, the oldest first. */
  ofSubject(series: string, subject: string): readonly StoredBucket[]
  bucketCount(): number
  nextId(): number
  /** Puts back what was written. */
  restore(window: WindowFields): OpenWindow
  /** An empty bucket in its old place. */
  restoreBucket(window: OpenWindow, index: number, subject: string): StoredBucket
  /** Drops windows that ended before the instant; answers them. */
  dropEnded(beforeMs: number): OpenWindow[]
}

type WindowFields = Omit<OpenWindow, 'buckets' | 'list' | 'forgettings'>

/** `firstId` is greater than every number given before. */
export function createOpenWindows(firstId: number): OpenWindows {
  // One window, or two around a reset: a list is quicker than a table.
  const bySeries = new Map<string, OpenWindow[]>()
  const byId = new Map<number, OpenWindow>()
  const timelines = createTimelines(series => bySeries.get(series) ?? [])
  let nextId = firstId
  let bucketCount = 0

  const add = (fields: WindowFields): OpenWindow => {
    const window = { ...fields, buckets: new Map<string, StoredBucket>(), list: [], forgettings: new Map() }
    bySeries.set(window.series, [...(bySeries.get(window.series) ?? []), window])
    byId.set(window.id, window)
    return window
  }
  const addBucket = (window: OpenWindow, index: number, subject: string): StoredBucket => {
    const bucket = emptyBucket(window, index, ownText(subject))
    window.buckets.set(bucket.subject, bucket)
    window.list[index] = bucket
    timelines.add(bucket)
    bucketCount += 1
    return bucket
  }
  const obtainWindow = (series: string, startMs: number, endMs: number): OpenWindow => {
    const window = findWindow(bySeries.get(series), startMs)
    if (window !== undefined) return window
    nextId += 1
    return add({ id: nextId - 1, series, startMs, endMs, comparedTo: null, isDirty: true })
  }

  const findAt = (series: string, subject: string, startMs: number) =>
    findWindow(bySeries.get(series), startMs)?.buckets.get(subject)

  return {
    find: ({ series, subject, startMs }) => findAt(series, subject, startMs),
    findAt,
    obtain({ series, subject, startMs, endMs }) {
      const window = obtainWindow(series, startMs, endMs)
      return window.buckets.get(subject) ?? addBucket(window, window.list.length, subject)
    },
    obtainWindow,
    byId: id => byId.get(id),
    all: () => byId.values(),
    ofSubject: timelines.of,
    bucketCount: () => bucketCount,
    nextId: () => nextId,
    restore: add,
    restoreBucket: addBucket,
    dropEnded(beforeMs) {
      const ended: OpenWindow[] = []
      for (const window of byId.values()) {
        if (window.endMs > beforeMs) continue
        byId.delete(window.id)
        const others = bySeries.get(window.series)?.filter(other => other !== window) ?? []
        if (others.length === 0) bySeries.delete(window.series)
        else bySeries.set(window.series, others)
        timelines.drop(window)
        bucketCount -= window.buckets.size
        ended.push(window)
      }
      return ended
    },
  }
}

/** In one literal, so that it takes no more room than it needs. */
const emptyBucket = (window: OpenWindow, index: number, subject: string): StoredBucket => ({
  gateway: null,
  pending: 0,
  further: null,
  settled: 0,
  reserved: 0,
  rate: null,
  rest: 0,
  drainedMs: 0,
  window,
  subject,
  index,
  isDirty: false,
})

function findWindow(windows: readonly OpenWindow[] | undefined, startMs: number): OpenWindow | undefined {
  if (windows === undefined) return undefined
  for (let index = 0; index < windows.length; index += 1) {
    const window = windows[index]
    if (window?.startMs === startMs) return window
  }
  return undefined
}
