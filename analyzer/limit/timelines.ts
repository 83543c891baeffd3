/**
 * The buckets of one subject through the windows of a series: what a sliding window adds up, without looking its slots up
 * one by one. Kept only of series that were asked for, as the others have a window or two.
 */
import type { OpenWindow, StoredBucket } from './open-windows.ts'

export interface Timelines {
  /** The oldest first. */
  of(series: string, subject: string): readonly StoredBucket[]
  add(bucket: StoredBucket): void
  /** A window that has ended. */
  drop(window: OpenWindow): void
}

const NO_BUCKETS: readonly StoredBucket[] = []

export function createTimelines(windowsOf: (series: string) => readonly OpenWindow[]): Timelines {
  const bySeries = new Map<string, Map<string, StoredBucket[]>>()
  const make = (series: string) => {
    const made = new Map<string, StoredBucket[]>()
    for (const { buckets } of windowsOf(series)) for (const bucket of buckets.values()) lengthen(made, bucket)
    bySeries.set(series, made)
    return made
  }
  return {
    of: (series, subject) => (bySeries.get(series) ?? make(series)).get(subject) ?? NO_BUCKETS,
    add(bucket) {
      const timelines = bySeries.get(bucket.window.series)
      if (timelines !== undefined) lengthen(timelines, bucket)
    },
    drop({ series, buckets }) {
      const timelines = bySeries.get(series)
      if (timelines === undefined) return
      for (const bucket of buckets.values()) shorten(timelines, bucket)
      if (timelines.size === 0) bySeries.delete(series)
    },
  }
}

function lengthen(timelines: Map<string, StoredBucket[]>, bucket: StoredBucket): void {
  const timeline = timelines.get(bucket.subject)
  if (timeline === undefined) {
    timelines.set(bucket.subject, [bucket])
    return
  }
  // Nearly always the newest.
  let at = timeline.length
  while (at > 0 && (timeline[at - 1]?.window.startMs ?? 0) > bucket.window.startMs) at -= 1
  timeline.splice(at, 0, bucket)
}

function shorten(timelines: Map<string, StoredBucket[]>, bucket: StoredBucket): void {
  const timeline = timelines.get(bucket.subject)
  const at = timeline?.indexOf(bucket) ?? -1
  if (at >= 0) timeline?.splice(at, 1)
  if (timeline?.length === 0) timelines.delete(bucket.subject)
}
