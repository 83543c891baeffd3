/** Counters in memory that were lost, brought back to what somebody else knows that they held. */
import { shareIndex, usedOf } from './bucket.ts'
import { addPending, type Counters, touch } from './counters.ts'
import { floor } from './draining.ts'
import type { Spend } from './limit-store.ts'
import { isOpen } from './settling.ts'
import { obtainBucket } from './standing.ts'

/** Spends what each bucket lacks of its amount, as by checks of nobody in particular. */
export function raise(counters: Counters, floors: readonly Spend[], nowMs: number): void {
  for (const spend of floors) {
    if (!isOpen(counters, spend, nowMs)) continue
    const bucket = obtainBucket(counters, spend, nowMs)
    const share = shareIndex(bucket, '')
    // Twice, as what nobody's checks lack of nobody's records is not counted.
    for (let turn = 0; turn < 2; turn += 1) addPending(bucket, share, Math.max(0, spend.amount - usedOf(bucket)))
    floor(bucket)
    touch(counters, bucket)
  }
}
