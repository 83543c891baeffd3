/** Decisions of a limit store in memory. */
import { nextOf, type Share, shareIndex, usedOf } from './bucket.ts'
import { addPending, type Counters, keepUntil, touch } from './counters.ts'
import { floor } from './draining.ts'
import { addEntry, findRequest, joinEntry, listingKey, RESERVATIONS_MAX, requestKey } from './ledger.ts'
import {
  type Charge,
  type Claim,
  type DecideRequest,
  LimitStoreFull,
  type Standing,
  type StoreDecision,
} from './limit-store.ts'
import type { StoredBucket } from './open-windows.ts'
import { ownText } from './own-text.ts'
import { findBucket, isOutdated, isTakenAlong, obtainBucket, standingOf } from './standing.ts'

/** How a decision takes what is claimed; null when it takes nothing. */
export function chargeOf(verb: DecideRequest['verb'], claim: Claim): 'spent' | 'held' | null {
  const { isSpent, isNoted = false, isHeld, cost } = claim
  if (!isSpent) return null
  if (cost === 0) return isNoted && verb === 'check' ? 'spent' : null
  if (verb === 'reserve') return 'held'
  if (!isHeld) return 'spent'
  return verb === 'check' ? 'held' : null
}

/** The claims of the request that it would hold. */
export const heldPlaces = ({ verb, claims }: DecideRequest): number[] =>
  placesOf(claims, claim => chargeOf(verb, claim) === 'held')

const placesOf = (claims: readonly Claim[], isMeant: (claim: Claim, place: number) => boolean): number[] =>
  claims.flatMap((claim, place) => (isMeant(claim, place) ? [place] : []))

/** True where the claim would make a bucket. */
const isFresh = ({ drain }: Claim, bucket: StoredBucket | undefined, nowMs: number): boolean =>
  bucket === undefined || (drain !== null && isTakenAlong(bucket, drain.keptMs, nowMs))

/** One decision. Throws `LimitStoreFull` with nothing spent when there is no room. */
export function decide(counters: Counters, request: DecideRequest, nowMs: number): StoreDecision {
  const { windows, ledger } = counters
  const { verb, claims, requestId, gateway, caller } = request
  const buckets: (StoredBucket | undefined)[] = []
  const standings: Standing[] = []
  let isAllowed = true
  let fresh = 0
  let holds = verb === 'reserve'
  for (const claim of claims) {
    const bucket = findBucket(windows, claim, nowMs)
    if (isFresh(claim, bucket, nowMs)) fresh += 1
    if (chargeOf(verb, claim) === 'held') holds = true
    const standing = standingOf(windows, claim, bucket, nowMs)
    if (!standing.fits && claim.isEnforced && verb !== 'record') isAllowed = false
    buckets.push(bucket)
    standings.push(standing)
  }
  if (!isAllowed || request.isDryRun) return { isAllowed, reference: null, standings }
  if (fresh > 0 && windows.bucketCount() + fresh > counters.bucketsMax) {
    throw new LimitStoreFull(
      'buckets',
      placesOf(claims, (claim, place) => isFresh(claim, buckets[place], nowMs)),
    )
  }
  if (holds && ledger.held.size >= RESERVATIONS_MAX) throw new LimitStoreFull('reservations', heldPlaces(request))
  const charges = chargeAll(counters, request, { buckets, standings }, nowMs)
  counters.sequence += 1
  const reference = { epoch: counters.settled.current.epoch, sequence: counters.sequence, charges }
  const isJoined = joinsCheck(counters, request, charges, nowMs)
  // That a call which nobody has checked has ended, and took nothing, is nothing to remember.
  const isNothing = verb === 'record' && charges.length === 0
  if (!isJoined && !isNothing && (holds || requestId !== null)) {
    addEntry(ledger, {
      reference,
      madeAtMs: nowMs,
      requestKey: requestId === null ? null : listingKey(ledger, requestKey(gateway, requestId), caller),
      caller: ownText(caller),
      expiresAtMs: holds ? (request.expiresAtMs ?? nowMs) : null,
      note: verb === 'reserve' ? request.note : null,
    })
  }
  return isJoined ? { isAllowed, reference, standings, isJoined } : { isAllowed, reference, standings }
}

/** Takes out of the slots what the gateway has spent in them, the latest first: most calls end soon after their check. */
function giveBack(counters: Counters, { series, subject, sinceMs, cost }: Claim, gateway: string, nowMs: number): void {
  let left = -cost
  for (const bucket of counters.windows.ofSubject(series, subject).toReversed()) {
    const { startMs, endMs } = bucket.window
    if (endMs <= nowMs || startMs > nowMs || isOutdated(bucket, sinceMs)) continue
    for (let share: Share | null = bucket; share !== null; share = nextOf(share)) {
      if (share.gateway !== gateway) continue
      const given = Math.min(left, share.pending)
      share.pending -= given
      left -= given
      if (given > 0) touch(counters, bucket)
    }
  }
}

/** A call may be checked first and say at its end what else it took, with one id: its record settles both. */
function joinsCheck(
  counters: Counters,
  { verb, gateway, requestId, caller, expiresAtMs }: DecideRequest,
  charges: readonly Charge[],
  nowMs: number,
): boolean {
  if (verb !== 'record' || requestId === null) return false
  const { ledger, settled } = counters
  const check = findRequest(ledger, [requestKey(gateway, requestId)], caller)
  if (check === undefined) return false
  const { epoch, sequence } = check.reference
  const joinedEpoch = settled.current.epoch
  const isOpen = settled.isCharged(epoch, sequence) && settled.stateOf(epoch, sequence) === 'open'
  const order = { joinedSequence: counters.sequence, ...(epoch === joinedEpoch ? {} : { joinedEpoch }) }
  const joined = charges.map(charge => ({ ...charge, ...order }))
  return isOpen && joinEntry(ledger, check, joined, expiresAtMs ?? nowMs)
}

interface Looked {
  readonly buckets: readonly (StoredBucket | undefined)[]
  /** Told afterwards what is taken then. */
  readonly standings: readonly Standing[]
}

function chargeAll(
  counters: Counters,
  { verb, claims, gateway, expiresAtMs }: DecideRequest,
  { buckets, standings }: Looked,
  nowMs: number,
): Charge[] {
  const { windows } = counters
  const charges: Charge[] = []
  for (let index = 0; index < claims.length; index += 1) {
    const claim = claims[index]
    const standing = standings[index]
    const how = claim === undefined ? null : chargeOf(verb, claim)
    if (claim === undefined || standing === undefined || how === null) continue
    const bucket = obtainBucket(counters, claim, nowMs, buckets[index])
    const share = shareIndex(bucket, gateway)
    const usedBefore = usedOf(bucket)
    const isHeld = how === 'held'
    if (isHeld) {
      bucket.reserved += claim.cost
      // Elsewhere a window that ends takes along what is held in it.
      if (claim.drain !== null) keepUntil(counters, bucket.window, expiresAtMs ?? nowMs)
    } else if (claim.cost < 0 && claim.slots !== null) giveBack(counters, claim, gateway, nowMs)
    else addPending(bucket, share, claim.cost)
    floor(bucket)
    touch(counters, bucket)
    if (claim.slots === null || claim.cost < 0) {
      const { used, reserved } = standingOf(windows, claim, bucket, nowMs)
      standing.used = used
      standing.reserved = reserved
    } else {
      // The other slots are as they were.
      standing.used += usedOf(bucket) - usedBefore
      if (isHeld) standing.reserved += claim.cost
    }
    charges.push({ window: bucket.window.id, bucket: bucket.index, share, amount: claim.cost, isHeld })
  }
  return charges
}
