/** Counters in memory that were lost, brought back to what somebody else knows that they held. */
import { nextOf, type Share, shareOf, usedOf } from './bucket.ts'
import { type Counters, touch } from './counters.ts'
import { floor } from './draining.ts'
import type { Spend } from './limit-store.ts'
import type { StoredBucket } from './open-windows.ts'
import { isOpen } from './settling.ts'
import { obtainBucket } from './standing.ts'

/** Spends what each bucket lacks of its amount, as by checks of nobody in particular. */
export function raise(counters: Counters, floors: readonly Spend[], nowMs: number): void {
  for (const spend of floors) {
    if (!isOpen(counters, spend, nowMs)) continue
    const bucket = obtainBucket(counters, spend, nowMs)
    const lack = spend.amount - usedOf(bucket)
    // Beyond what nobody's checks and nobody's records count together already: the larger of them.
    if (lack > 0) shareOf(bucket, '').pending = usedOfNobody(bucket) + lack
    floor(bucket)
    touch(counters, bucket)
  }
}

function usedOfNobody(bucket: StoredBucket): number {
  let used = usedOf(bucket) - bucket.settled
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
    if (share.gateway !== '') used -= share.pending
  }
  return used
}
