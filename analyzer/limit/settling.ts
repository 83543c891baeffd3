/** How a limit store in memory learns of true costs: from callers, from call records, and by time. */
import { furtherOf, shareOf, spendLinked, spendUnlinked } from './bucket.ts'
import { addPending, type Counters, positionKey, touch } from './counters.ts'
import { drainOn, floor, isDraining } from './draining.ts'
import {
  findRequest,
  findReservation,
  isHeld,
  removeEntry,
  requestKey,
  takeExpired,
  unhold,
  withJoined,
} from './ledger.ts'
import type {
  CallSpend,
  Charge,
  DecisionOrder,
  DecisionReference,
  RecordBatch,
  RecordCounts,
  RecordEffect,
  Reservation,
  SettleOutcome,
  Spend,
} from './limit-store.ts'
import type { StoredBucket } from './open-windows.ts'
import { addressAt, findDraining, isForgiven, obtainBucket } from './standing.ts'
import { NOTHING_STAYS, type Staying, stayingOf } from './staying.ts'

/** Replaces what the decision took by the true costs, unless that has happened. */
export function settle(
  counters: Counters,
  reference: DecisionReference,
  spends: readonly CallSpend[],
  nowMs: number,
): SettleOutcome {
  const { epoch, sequence } = reference
  if (counters.settled.stateOf(epoch, sequence) !== 'open') return 'already_settled'
  const taken = takeOut(counters, reference, { staying: NOTHING_STAYS, nowMs })
  for (const spend of spends) {
    if (spend.amount === 0 || !isOpen(counters, spend, nowMs)) continue
    const bucket = obtainBucket(counters, spend, nowMs)
    if (!isForgiven(bucket, spend.startedAtMs)) bucket.settled += spend.amount
    touch(counters, bucket)
  }
  taken.forEach(floor)
  mark(counters, reference, 'caller', nowMs)
  // The request id stays known: the call's record still comes, and must not spend again.
  unhold(counters.ledger, reference)
  return 'settled'
}

/** Gives back what a decision took of which nobody was told; the record of its call does not find it. */
export function undo(counters: Counters, reference: DecisionReference, nowMs: number): SettleOutcome {
  const outcome = settle(counters, reference, [], nowMs)
  if (outcome === 'settled') removeEntry(counters.ledger, reference)
  return outcome
}

/** What is known of a reservation. */
export function reservationOf(
  { ledger, settled }: Counters,
  reference: DecisionReference,
): Reservation | 'settled' | 'unknown' {
  const found = findReservation(ledger, reference)
  if (found !== null) return found
  const state = settled.stateOf(reference.epoch, reference.sequence)
  return state === 'caller' || state === 'record' ? 'settled' : 'unknown'
}

/** Applies call records, and moves the position with them. */
export function applyRecords(counters: Counters, batch: RecordBatch, nowMs: number): RecordCounts {
  const counts: RecordCounts = { linked: 0, unlinked: 0, repeated: 0 }
  for (const effect of batch.effects) counts[applyRecord(counters, effect, batch, nowMs)] += 1
  const key = positionKey(batch.position.logId, batch.position.partition)
  counters.positions.set(key, batch.position)
  counters.changes.positions.add(key)
  return counts
}

/** Gives back the reservations that have expired; answers how many. */
export function expireReservations(counters: Counters, nowMs: number): number {
  const expired = takeExpired(counters.ledger, nowMs)
  for (const { reference } of expired) {
    for (const charge of reference.charges)
      if (charge.isHeld) takeCharge(counters, reference, charge, { staying: NOTHING_STAYS, nowMs })
  }
  return expired.length
}

interface Taking {
  readonly staying: Staying
  readonly nowMs: number
}

/** Takes out what the decision took, as far as it is in the counters. Answers the buckets whose `floor` is due. */
function takeOut(counters: Counters, reference: DecisionReference, taking: Taking): readonly StoredBucket[] {
  if (!counters.settled.isCharged(reference.epoch, reference.sequence)) return []
  const stillHeld = isHeld(counters.ledger, reference)
  const draining: StoredBucket[] = []
  for (const charge of reference.charges) {
    // What joined and was given back by itself is out already, as is what was held and has expired.
    if (isOut(counters, reference.epoch, charge)) continue
    const bucket = !charge.isHeld || stillHeld ? takeCharge(counters, reference, charge, taking) : undefined
    if (bucket !== undefined && isDraining(bucket)) draining.push(bucket)
  }
  return draining
}

/** What the call spent after its check, where the decision that took it was given back or settled by itself. */
const isOut = ({ settled }: Counters, epoch: number, { joinedSequence, joinedEpoch = epoch }: Charge): boolean =>
  joinedSequence !== undefined && settled.stateOf(joinedEpoch, joinedSequence) !== 'open'

/** True for what was taken before the bucket forgot: it is out already. */
function isForgotten({ window, index }: StoredBucket, { epoch, sequence }: DecisionOrder): boolean {
  const forgetting = window.forgettings.get(index)
  if (forgetting === undefined || epoch > forgetting.epoch) return false
  return epoch < forgetting.epoch || sequence <= forgetting.sequence
}

function takeCharge(
  counters: Counters,
  { epoch, sequence }: DecisionOrder,
  charge: Charge,
  { staying, nowMs }: Taking,
): StoredBucket | undefined {
  const window = counters.windows.byId(charge.window)
  const charged = window?.list[charge.bucket]
  if (window === undefined || charged === undefined) return undefined
  // What drains was taken along.
  if (charged.rate === null && window.endMs <= nowMs) return undefined
  const { series } = window
  const bucket =
    charged.rate === null
      ? charged
      : findDraining(counters.windows, { series, subject: charged.subject }, charged.rate, nowMs)
  // Asked also for what a reset has forgotten: it is nobody's no more than before.
  const stays = staying.of(series, charged.subject, charge.amount) ?? 0
  const { joinedSequence = sequence, joinedEpoch = epoch } = charge
  if (bucket === undefined || isForgotten(bucket, { epoch: joinedEpoch, sequence: joinedSequence })) return undefined
  if (charge.isHeld) bucket.reserved = Math.max(0, bucket.reserved - charge.amount)
  // What stays is held no longer, but spent.
  const change = charge.isHeld ? stays : stays - charge.amount
  if (change !== 0) {
    if (isDraining(bucket)) drainOn(bucket, nowMs)
    addPending(bucket, charge.share, change)
  }
  touch(counters, bucket)
  return bucket
}

/** False for a window that has ended, and for a subject that would be one more than there may be. */
export function isOpen({ windows, bucketsMax }: Counters, spend: Spend, nowMs: number): boolean {
  const address = addressAt(spend, nowMs)
  return address.endMs > nowMs && (windows.bucketCount() < bucketsMax || windows.find(address) !== undefined)
}

function applyRecord(counters: Counters, effect: RecordEffect, batch: RecordBatch, nowMs: number): keyof RecordCounts {
  const { ledger } = counters
  const reference = effect.reference === null ? findByRequest(counters, effect) : withJoined(ledger, effect.reference)
  if (reference === null) {
    spendRecord(counters, effect, 'unlinked', { staying: NOTHING_STAYS, nowMs })
    return 'unlinked'
  }
  const state = counters.settled.stateOf(reference.epoch, reference.sequence)
  switch (state) {
    case 'open':
      spendInstead(counters, effect, reference, { staying: stayingOf(effect, batch), nowMs })
      break
    case 'caller':
    case 'forgotten':
      spendRecord(counters, effect, 'noted', { staying: NOTHING_STAYS, nowMs })
      break
    case 'record':
      return 'repeated'
  }
  if (state === 'forgotten') return 'repeated'
  mark(counters, reference, 'record', nowMs)
  // The request id has found its record; another record with it is another call.
  removeEntry(counters.ledger, reference)
  return 'linked'
}

/** The true cost comes in the place of what the decision took. */
function spendInstead(counters: Counters, effect: RecordEffect, reference: DecisionReference, taking: Taking): void {
  const taken = takeOut(counters, reference, taking)
  spendRecord(counters, effect, 'linked', taking)
  for (const spend of effect.spends) spendWhereCharged(counters, reference, spend, taking.nowMs)
  taken.forEach(floor)
}

/**
 * A gateway whose clock is behind, or tells whole seconds, dates a call into a window that had ended when it was checked: it
 * counts where its check was, or those calls would pass for nothing. The store knows it in the other one.
 */
function spendWhereCharged(counters: Counters, reference: DecisionReference, spend: Spend, nowMs: number): void {
  const { series, subject, endMs, drain } = spend
  if (drain !== null || endMs > nowMs || !counters.settled.isCharged(reference.epoch, reference.sequence)) return
  for (const charge of reference.charges) {
    const window = counters.windows.byId(charge.window)
    const bucket = window?.list[charge.bucket]
    // What it has spent since its check may be of another window.
    if (charge.joinedSequence !== undefined || window?.series !== series || window.endMs <= nowMs) continue
    if (bucket?.subject !== subject) continue
    if (isForgotten(bucket, reference)) return
    bucket.settled += spend.amount
    touch(counters, bucket)
    return
  }
}

/** `noted`: its cost is counted already, only that a record of it exists is new. */
function spendRecord(
  counters: Counters,
  effect: RecordEffect,
  how: 'unlinked' | 'linked' | 'noted',
  { staying, nowMs }: Taking,
): void {
  for (const spend of effect.spends) {
    if (!isOpen(counters, spend, nowMs)) continue
    const bucket = obtainBucket(counters, spend, nowMs)
    const amount = isForgiven(bucket, spend.startedAtMs) ? 0 : spend.amount
    if (spend.isRecordsOnly) spendUnlinked(bucket, '', amount, true)
    else if (how === 'unlinked') spendUnlinked(bucket, effect.gateway, amount, false)
    else if (how === 'linked' && !staying.isIn(spend.series)) spendLinked(bucket, effect.gateway, amount)
    else furtherOf(shareOf(bucket, effect.gateway)).recorded += amount
    touch(counters, bucket)
  }
}

/** The check that carried the record's request id; one that gave no gateway may be anybody's. */
function findByRequest({ ledger, settled }: Counters, effect: RecordEffect): DecisionReference | null {
  if (effect.requestId === null) return null
  const { gateway, requestId, caller } = effect
  const entry = findRequest(ledger, [requestKey(gateway, requestId), requestKey('', requestId)], caller)
  if (entry === undefined) return null
  const { reference } = entry
  if (settled.stateOf(reference.epoch, reference.sequence) !== 'record') return reference
  // Its record came by the decision's id, so this is another call that uses the id again.
  removeEntry(ledger, reference)
  return null
}

function mark(counters: Counters, reference: DecisionReference, by: 'caller' | 'record', nowMs: number): void {
  for (const changed of counters.settled.mark(reference.epoch, reference.sequence, by, nowMs)) {
    counters.changes.chunks.set(`${changed.epoch}:${changed.chunk}`, changed)
  }
}
