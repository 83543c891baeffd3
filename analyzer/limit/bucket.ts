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

/** Gateways that one bucket keeps apart; later ones count as nobody in particular. */
export const GATEWAYS_MAX = 16

/** What one gateway has asked for and recorded. */
export interface Share {
  readonly gateway: string
  /** Estimates of its checks that nothing has settled yet. */
  pending: number
  /** Cost of its records that no id links to a check. */
  unlinked: number
  /** Cost of all its records, however they were counted: what the store should hold. */
  recorded: number
  /** The part of `recorded` that has been compared with the store. */
  compared: number
  /** `recorded` when the comparison under way began. */
  cut: number
}

/** How far a bucket has drained that does. */
export interface Level {
  /** What drained beyond the whole units that were taken from `settled`, in units times milliseconds of the period. */
  rest: number
  /** When that was reckoned. */
  atMs: number
  /** As last told. */
  amount: number
  readonly periodMs: number
  readonly keptMs: number
}

export interface Bucket {
  /** Known true costs. What has drained is taken from it, so it may be negative where `level` is not null. */
  settled: number
  /** Estimates that are held for calls under way. */
  reserved: number
  /** Null where nothing drains. */
  level: Level | null
  /** Order never changes, so that an index stays true. Another list for another share: one that grows in place keeps room for many. */
  shares: readonly Share[]
}

/** Units used, without what is reserved. */
export function usedOf(bucket: Bucket): number {
  let pendingOfNobody = 0
  let pending = 0
  let excess = 0
  for (const share of bucket.shares) {
    if (share.gateway === '') {
      pendingOfNobody = share.pending
      excess += share.unlinked
    } else {
      pending += share.pending
      if (share.unlinked > share.pending) excess += share.unlinked - share.pending
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

/** Index of the gateway's share, made if need be. */
export function shareIndex(bucket: Bucket, gateway: string): number {
  const { shares } = bucket
  for (let index = 0; index < shares.length; index += 1) if (shares[index]?.gateway === gateway) return index
  // One place is kept for nobody in particular, where the gateways beyond the bound meet.
  const isFull = shares.length >= GATEWAYS_MAX && gateway !== ''
  if (isFull) return shareIndex(bucket, '')
  const share = { gateway, pending: 0, unlinked: 0, recorded: 0, compared: 0, cut: 0 }
  bucket.shares = shares.length === 0 ? [share] : [...shares, share]
  return shares.length
}

/** The gateway's share, made if need be. */
export function shareOf(bucket: Bucket, gateway: string): Share {
  // In this order: a share that is made comes in another list.
  const index = shareIndex(bucket, gateway)
  const share = bucket.shares[index]
  if (share === undefined) throw new RangeError('a share has just been made')
  return share
}

/** Spends the cost of a record that no check foretold; where only records count, it is simply the true cost. */
export function spendUnlinked(bucket: Bucket, gateway: string, cost: number, isRecordsOnly: boolean): void {
  const share = shareOf(bucket, gateway)
  share.recorded += cost
  if (isRecordsOnly) bucket.settled += cost
  else share.unlinked += cost
}

/** Spends the true cost of a record whose check was found and taken out. */
export function spendLinked(bucket: Bucket, gateway: string, cost: number): void {
  shareOf(bucket, gateway).recorded += cost
  bucket.settled += cost
}

/**
 * Adds what the store holds and the settler missed, or takes out what it counted and the store does not hold. Never
 * touches `pending`: a missed record stays unlinked, so that its check is not counted beside it.
 */
export function correct(bucket: Bucket, share: Share, difference: number, isRecordsOnly: boolean): void {
  share.recorded += difference
  const ofUnlinked = isRecordsOnly ? 0 : Math.max(difference, -share.unlinked)
  share.unlinked += ofUnlinked
  bucket.settled = Math.max(0, bucket.settled + difference - ofUnlinked)
}
