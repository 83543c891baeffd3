/**
 * What the settler applied against what the store of call records holds. Both sides are taken at the same positions of
 * the log, so that records under way are no difference.
 */
import { correct, type Further, furtherOf, shareOf } from './bucket.ts'
import { type Counters, touch, touchWindow } from './counters.ts'
import type { AppliedPosition } from './limit-store.ts'
import type { OpenWindow } from './open-windows.ts'
import { forgetBefore, forgottenMs } from './standing.ts'
import type { ComparedWindow, Corrections, WindowTruth } from './truths.ts'

/** Marks what every bucket has recorded up to now, and answers the windows there are. */
export function cutAll({ windows }: Counters): ComparedWindow[] {
  const compared: ComparedWindow[] = []
  for (const window of windows.all()) {
    for (const { further } of window.buckets.values()) {
      // Nothing was ever recorded in most of very many buckets.
      if (further === null) continue
      for (const recorded of recordedFrom(further)) recorded.cut = recorded.recorded
    }
    const { series, startMs, endMs, comparedTo } = window
    compared.push({ series, startMs, endMs, comparedTo })
  }
  return compared
}

/** Every window has to be compared from its begin again. */
export function forgetAll(counters: Counters): void {
  for (const window of counters.windows.all()) {
    if (window.comparedTo === null) continue
    window.comparedTo = null
    touchWindow(counters, window)
  }
}

/** Corrects the buckets of the windows that are still open. */
export function correctAll(
  counters: Counters,
  cut: readonly AppliedPosition[],
  truths: readonly WindowTruth[],
  nowMs: number,
): Corrections {
  const corrections: Corrections = { buckets: 0, added: 0, removed: 0 }
  for (const truth of truths) {
    if (truth.endMs <= nowMs) continue
    const window = counters.windows.obtainWindow(truth.series, truth.startMs, truth.endMs)
    window.comparedTo = correctWindow(counters, window, truth, corrections) ? null : cut
    touchWindow(counters, window)
  }
  return corrections
}

/** True when the whole window has to be compared next time. */
function correctWindow(counters: Counters, window: OpenWindow, truth: WindowTruth, corrections: Corrections): boolean {
  let isDoubtful = false
  const expected = expectedShares(counters, window, truth)
  for (const bucket of window.buckets.values()) {
    const sinceMs = truth.resets.get(bucket.subject)?.sinceMs ?? 0
    if (forgetBefore(counters, bucket, sinceMs)) {
      touch(counters, bucket)
      // What was compared of it before is forgotten, too.
      if (!truth.isWhole) isDoubtful = true
    }
    if (forgottenMs(bucket) > sinceMs) {
      isDoubtful = true
      continue
    }
    let isCorrected = false
    for (const share of recordedFrom(bucket.further)) {
      const applied = truth.isWhole ? share.cut : share.cut - share.compared
      const difference = (expected.get(share) ?? 0) - applied
      // Too much within a part may be a row that is on its way.
      if (difference < 0 && !truth.isWhole) isDoubtful = true
      const applies = difference > 0 || (difference < 0 && truth.mayLower)
      const isNews = share.compared !== share.cut
      if (applies) {
        correct(bucket, share, difference, truth.isRecordsOnly)
        if (difference > 0) corrections.added += difference
        else corrections.removed -= difference
        isCorrected = true
      }
      share.compared = share.cut + (applies ? difference : 0)
      if (isNews || applies) touch(counters, bucket)
    }
    if (isCorrected) corrections.buckets += 1
  }
  return isDoubtful
}

/** Of this share and those that came next; shares without it have never been recorded, compared or cut. */
function* recordedFrom(first: Further | null): Generator<Further> {
  for (let further = first; further !== null; further = further.next?.further ?? null) yield further
}

/** The shares that the truth speaks of, made if need be, with what each should have recorded. */
function expectedShares(counters: Counters, window: OpenWindow, truth: WindowTruth): Map<Further, number> {
  const { windows, bucketsMax } = counters
  const expected = new Map<Further, number>()
  for (const { subject, gateway, amount } of truth.costs) {
    // Calls of unknown cost: a bucket made for them would hold nothing that is worth writing.
    if (amount === 0) continue
    // Without room, the subjects that are there come first.
    if (!window.buckets.has(subject) && windows.bucketCount() >= bucketsMax) continue
    const bucket = windows.obtain({ ...truth, subject })
    const share = furtherOf(shareOf(bucket, truth.isRecordsOnly ? '' : gateway))
    expected.set(share, (expected.get(share) ?? 0) + amount)
  }
  return expected
}
