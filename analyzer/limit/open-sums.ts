/**
 * The sums of decisions that are under way: one for each bucket that was asked for in the last minutes. A bucket stays
 * known from one sum to the next: objects that live for some seconds, made anew for each consumer, would be most of what
 * the garbage collector has to move while callers wait.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Dimensions, Quota } from '../policy/quota.ts'
import { subjectOf } from '../policy/subject.ts'
import { emptySum, isEmpty, type OpenSum, takeSum } from './decision-sum.ts'
import { ownText } from './own-text.ts'

const MINUTE_MS = 60_000
/** Buckets that are known at once. */
const BUCKETS_MAX = 50_000
/** Looked at between two decisions, so few that no caller waits for it. */
const LOOKED_AT_ONCE = 2_000

export interface OpenSums {
  /** The bucket's sum of this minute; what was counted of it in another one is closed. */
  obtain(quota: Quota, subjectKey: string, dims: Dimensions, minuteMs: number): OpenSum
  /** True when no further bucket should come. */
  isFull(): boolean
  /** Closes what has been counted by now, with turns for others between, and forgets who has not come for a minute. */
  closeAll(): Promise<void>
  /** Closes everything with no turn between, and knows no bucket any more. */
  closeAtOnce(): void
  /** What was closed and not yet taken. */
  takeClosed(): OpenSum[]
}

/** At most `BUCKETS_MAX` of them, if whoever asks heeds `isFull`. */
export function createOpenSums(): OpenSums {
  const sums = new Map<Quota, Map<string, OpenSum>>()
  let sumCount = 0
  let latestMinuteMs = 0
  let closed: OpenSum[] = []

  const begin = (quota: Quota, subjectKey: string, dims: Dimensions, minuteMs: number): OpenSum => {
    const sum = emptySum(quota, subjectOf(quota, dims).map(ownText), minuteMs)
    const bySubject = sums.get(quota) ?? new Map<string, OpenSum>()
    sums.set(quota, bySubject.set(ownText(subjectKey), sum))
    sumCount += 1
    return sum
  }
  const close = (sum: OpenSum) => {
    if (!isEmpty(sum)) closed.push(takeSum(sum))
  }
  return {
    obtain(quota, subjectKey, dims, minuteMs) {
      latestMinuteMs = minuteMs
      const sum = sums.get(quota)?.get(subjectKey) ?? begin(quota, subjectKey, dims, minuteMs)
      if (sum.minuteMs !== minuteMs) {
        close(sum)
        sum.minuteMs = minuteMs
      }
      return sum
    },
    isFull: () => sumCount >= BUCKETS_MAX,
    async closeAll() {
      let looked = 0
      for (const [quota, bySubject] of sums) {
        for (const [subjectKey, sum] of bySubject) {
          if (!isEmpty(sum)) close(sum)
          else if (sum.minuteMs < latestMinuteMs - MINUTE_MS && bySubject.delete(subjectKey)) sumCount -= 1
          looked += 1
          if (looked % LOOKED_AT_ONCE === 0) await nextTurn()
        }
        if (bySubject.size === 0) sums.delete(quota)
      }
    },
    closeAtOnce() {
      for (const bySubject of sums.values()) {
        for (const sum of bySubject.values()) if (!isEmpty(sum)) closed.push(sum)
        bySubject.clear()
      }
      sumCount = 0
    },
    takeClosed() {
      const taken = closed
      closed = []
      return taken
    },
  }
}
