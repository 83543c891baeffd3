/**
 * The arithmetic of one bucket: what one subject has used of one quota in one window. Pure; every limit store computes
 * the same.
 *
 * A check spends its estimate as `pending`; the call record that carries the check's id replaces it by the true cost in
 * `settled`. Where no id is handed on, nobody can tell which record belongs to which check, only that a gateway's
 * checks and its records speak of the same calls. So of what stays unlinked the larger counts:
 *
 *     used = settled + Σ pending(g) + max(pending(''), unlinked('') + Σ max(0, unlinked(g) − pending(g)))
 *
 * over the gateways g that gave their name; `''` are the checks and records of nobody in particular, whose checks may
 * belong to any record. A call is counted once either way: never less than the larger side, never more than the sum.
 */

import type { Drain } from './limit-store.ts'

/** Gateways that one bucket keeps apart; later ones count as nobody in particular. */
export const GATEWAYS_MAX = 16

/** What one gateway has asked for and recorded. */
export interface Share {
  /** Null before anybody has. */
  gateway: string | null
  /** Estimates of its checks that nothing has settled yet. */
  pending: number
  /** Null where only checks of one gateway have spent, as there may be millions of such buckets. */
  further: Further | null
}

/** What records say of a share, and the share of the gateway that came next. */
export interface Further {
  /** Cost of its records that no id links to a check. */
  unlinked: number
  /** Cost of all its records, however they were counted: what the store should hold. */
  recorded: number
  /** The part of `recorded` that has been compared with the store. */
  compared: number
  /** `recorded` when the comparison under way began. */
  cut: number
  /** Order never changes, so that an index stays true. */
  next: Share | null
}

/** The share of its first gateway, and what is common to all of them. */
export interface Bucket extends Share {
  /** Known true costs. What has drained is taken from it, so it may be negative where `rate` is not null. */
  settled: number
  /** Estimates that are held for calls under way. */
  reserved: number
  /** As last told, the same object for many buckets; null where nothing drains. */
  rate: Drain | null
  /** What drained beyond the whole units that were taken from `settled`, in units times milliseconds of the period. */
  rest: number
  /** When that was reckoned, in milliseconds since the window's start: small numbers take less room. */
  drainedMs: number
  readonly window: { readonly startMs: number }
}

/** Units used, without what is reserved. */
export function usedOf(bucket: Bucket): number {
  if (bucket.further === null) return bucket.settled + bucket.pending
  let pendingOfNobody = 0
  let pending = 0
  let excess = 0
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
    const unlinked = share.further === null ? 0 : share.further.unlinked
    if (share.gateway === '') {
      pendingOfNobody = share.pending
      excess += unlinked
    } else {
      pending += share.pending
      if (unlinked > share.pending) excess += unlinked - share.pending
    }
  }
  return bucket.settled + pending + Math.max(pendingOfNobody, excess)
}

/**
 * True when the cost fits beside what is taken. A cost of 0 is one that is not known yet: it fits while anything is
 * left. A limit of 0 fits nothing.
 */
export function fitsLimit(taken: number, cost: number, limit: number): boolean {
  return cost > 0 ? taken + cost <= limit : taken < limit
}

/** The share of the gateway that came after this one's. */
export const nextOf = ({ further }: Share): Share | null => (further === null ? null : further.next)

/** What records say of the share, made if need be. */
export function furtherOf(share: Share): Further {
  share.further ??= { unlinked: 0, recorded: 0, compared: 0, cut: 0, next: null }
  return share.further
}

/** Index of the gateway's share, made if need be. */
export function shareIndex(bucket: Bucket, gateway: string): number {
  bucket.gateway ??= gateway
  let last: Share = bucket
  let index = 0
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
    if (share.gateway === gateway) return index
    last = share
    index += 1
  }
  // One place is kept for nobody in particular, where the gateways beyond the bound meet.
  if (index >= GATEWAYS_MAX && gateway !== '') return shareIndex(bucket, '')
  furtherOf(last).next = { gateway, pending: 0, further: null }
  return index
}

/** The share that `shareIndex` gave the index. */
export function shareAt(bucket: Bucket, index: number): Share | null {
  let share: Share | null = bucket
  for (let at = 0; at < index && share !== null; at += 1) share = nextOf(share)
  return share
}

/** The gateway's share, made if need be. */
export function shareOf(bucket: Bucket, gateway: string): Share {
  const share = shareAt(bucket, shareIndex(bucket, gateway))
  if (share === null) throw new RangeError('a share has just been made')
  return share
}

/** Forgets all that is taken. Shares stay where they are, so that indexes stay true. */
export function forgetTaken(bucket: Bucket): void {
  bucket.settled = 0
  bucket.reserved = 0
  bucket.rest = 0
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
    share.pending = 0
    if (share.further !== null) Object.assign(share.further, { unlinked: 0, recorded: 0, compared: 0, cut: 0 })
  }
}

/** Spends the cost of a record that no check foretold; where only records count, it is simply the true cost. */
export function spendUnlinked(bucket: Bucket, gateway: string, cost: number, isRecordsOnly: boolean): void {
  const further = furtherOf(shareOf(bucket, gateway))
  further.recorded += cost
  if (isRecordsOnly) bucket.settled += cost
  else further.unlinked += cost
}

/** Spends the true cost of a record whose check was found and taken out. */
export function spendLinked(bucket: Bucket, gateway: string, cost: number): void {
  furtherOf(shareOf(bucket, gateway)).recorded += cost
  bucket.settled += cost
}

/**
 * Adds what the store holds and the settler missed, or takes out what it counted and the store does not hold. Never
 * touches `pending`: a missed record stays unlinked, so that its check is not counted beside it.
 */
export function correct(bucket: Bucket, share: Further, difference: number, isRecordsOnly: boolean): void {
  share.recorded += difference
  const ofUnlinked = isRecordsOnly ? 0 : Math.max(difference, -share.unlinked)
  share.unlinked += ofUnlinked
  bucket.settled = Math.max(0, bucket.settled + difference - ofUnlinked)
}
