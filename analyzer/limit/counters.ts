/**
 * The whole state of a limit store in memory and every step it can take. Synchronous, so each step is atomic; nothing
 * here reads a clock or a disk. What changed is remembered until it is taken to be written.
 */
import { fitsLimit, shareIndex, shareOf, spendLinked, spendUnlinked, usedOf } from './bucket.ts'
import {
  addEntry,
  findRequest,
  isHeld,
  type Ledger,
  RESERVATIONS_MAX,
  removeEntry,
  requestKey,
  takeExpired,
  unhold,
} from './ledger.ts'
import {
  type AppliedPosition,
  type Charge,
  type DecideRequest,
  type DecisionReference,
  LimitStoreError,
  type RecordBatch,
  type RecordCounts,
  type RecordEffect,
  type SettleOutcome,
  type Spend,
  type Standing,
  type StoreDecision,
} from './limit-store.ts'
import type { OpenWindow, OpenWindows, StoredBucket } from './open-windows.ts'
import type { ChunkName, SettledBits } from './settled-bits.ts'

export interface Counters {
  readonly windows: OpenWindows
  readonly ledger: Ledger
  readonly settled: SettledBits
  readonly positions: Map<string, AppliedPosition>
  readonly bucketsMax: number
  /** Last sequence that was given in the current epoch. */
  sequence: number
  /** What has to be written; the ledger keeps its own. */
  changes: Changes
}

export interface Changes {
  /** Each once: a bucket knows whether it is here. */
  readonly buckets: StoredBucket[]
  /** Of the settled bits, by `epoch:chunk`. */
  readonly chunks: Map<string, ChunkName>
  readonly positions: Set<string>
  readonly windows: Set<OpenWindow>
}

const NO_SERIES: ReadonlySet<string> = new Set()

export const noChanges = (): Changes => ({
  buckets: [],
  chunks: new Map(),
  positions: new Set(),
  windows: new Set(),
})

/** Names a partition of one life of the log. */
export const positionKey = (logId: string, partition: number) => `${logId}/${partition}`

/** Marks a bucket as changed. */
export function touch({ changes }: Counters, bucket: StoredBucket): void {
  if (bucket.isDirty) return
  bucket.isDirty = true
  changes.buckets.push(bucket)
  if (bucket.window.isDirty) changes.windows.add(bucket.window)
}

/** Marks a window as changed. */
export function touchWindow({ changes }: Counters, window: OpenWindow): void {
  window.isDirty = true
  changes.windows.add(window)
}

export function hasChanges({ changes, ledger }: Counters): boolean {
  return (
    changes.windows.size > 0 ||
    changes.buckets.length > 0 ||
    changes.chunks.size > 0 ||
    changes.positions.size > 0 ||
    ledger.changes.size > 0
  )
}

/** Takes what changed, to be written now. */
export function takeChanges(counters: Counters): Changes {
  const taken = counters.changes
  counters.changes = noChanges()
  for (const bucket of taken.buckets) bucket.isDirty = false
  for (const window of taken.windows) window.isDirty = false
  return taken
}

/** Puts changes back that could not be written; of windows that have ended nothing needs to be. */
export function returnChanges(counters: Counters, returned: Changes): void {
  const isOpen = (id: number) => counters.windows.byId(id) !== undefined
  for (const window of returned.windows) if (isOpen(window.id)) touchWindow(counters, window)
  for (const bucket of returned.buckets) if (isOpen(bucket.window.id)) touch(counters, bucket)
  for (const [key, chunk] of returned.chunks) counters.changes.chunks.set(key, chunk)
  for (const key of returned.positions) counters.changes.positions.add(key)
}

/** One decision. Throws `LimitStoreError` with nothing spent when there is no room. */
export function decide(counters: Counters, request: DecideRequest, nowMs: number): StoreDecision {
  const { windows, ledger } = counters
  const standings: Standing[] = []
  let isAllowed = true
  let fresh = 0
  for (const claim of request.claims) {
    const bucket = windows.find(claim)
    if (bucket === undefined) fresh += 1
    const used = bucket === undefined ? 0 : usedOf(bucket)
    const reserved = bucket === undefined ? 0 : bucket.reserved
    const fits = fitsLimit(used + reserved, claim.cost, claim.limit)
    if (!fits && claim.isEnforced && request.verb !== 'record') isAllowed = false
    standings.push({ used, reserved, fits })
  }
  if (!isAllowed || request.isDryRun) return { isAllowed, reference: null, standings }
  const holds = request.verb === 'reserve'
  if (fresh > 0 && windows.bucketCount() + fresh > counters.bucketsMax) {
    throw new LimitStoreError('LIMITS_FULL', 'no room for more subjects in open windows')
  }
  if (holds && ledger.held.size >= RESERVATIONS_MAX)
    throw new LimitStoreError('LIMITS_FULL', 'no room for more reservations')
  counters.sequence += 1
  const charges = chargeAll(counters, request, standings)
  const reference = { epoch: counters.settled.current.epoch, sequence: counters.sequence, isHeld: holds, charges }
  if (holds || request.requestId !== null) {
    const key = request.requestId === null ? null : requestKey(request.gateway, request.requestId)
    addEntry(ledger, {
      reference,
      madeAtMs: nowMs,
      requestKey: key,
      expiresAtMs: holds ? (request.expiresAtMs ?? nowMs) : null,
    })
  }
  return { isAllowed, reference, standings }
}

/** Replaces what the decision took by the true costs, unless that has happened. */
export function settle(
  counters: Counters,
  reference: DecisionReference,
  spends: readonly Spend[],
  nowMs: number,
): SettleOutcome {
  const { epoch, sequence } = reference
  if (counters.settled.stateOf(epoch, sequence) !== 'open') return 'already_settled'
  takeOut(counters, reference, NO_SERIES)
  for (const spend of spends) {
    if (spend.endMs <= nowMs || spend.amount === 0 || !hasRoom(counters, spend)) continue
    const bucket = counters.windows.obtain(spend)
    bucket.settled += spend.amount
    touch(counters, bucket)
  }
  mark(counters, reference, 'caller', nowMs)
  // The request id stays known: the call's record still comes, and must not spend again.
  unhold(counters.ledger, reference)
  return 'settled'
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
    for (const charge of reference.charges) takeCharge(counters, charge, true, NO_SERIES)
  }
  return expired.length
}

function chargeAll(counters: Counters, request: DecideRequest, standings: readonly Standing[]): Charge[] {
  const charges: Charge[] = []
  for (let index = 0; index < request.claims.length; index += 1) {
    const claim = request.claims[index]
    if (claim === undefined || !claim.isSpent || claim.cost === 0) continue
    const bucket = counters.windows.obtain(claim)
    const share = shareIndex(bucket, request.gateway)
    if (request.verb === 'reserve') bucket.reserved += claim.cost
    else addPending(bucket, share, claim.cost)
    touch(counters, bucket)
    const standing = standings[index]
    if (standing !== undefined) {
      standing.used = usedOf(bucket)
      standing.reserved = bucket.reserved
    }
    charges.push({ window: bucket.window.id, bucket: bucket.index, share, amount: claim.cost })
  }
  return charges
}

function addPending(bucket: StoredBucket, shareAt: number, amount: number): void {
  const share = bucket.shares[shareAt]
  // Never below nothing: what was taken out once cannot make room for others.
  if (share !== undefined) share.pending = Math.max(0, share.pending + amount)
}

/** Takes out what the decision took, as far as it is in the counters. */
function takeOut(counters: Counters, reference: DecisionReference, kept: ReadonlySet<string>): void {
  if (!counters.settled.isCharged(reference.epoch, reference.sequence)) return
  const stillHeld = reference.isHeld && isHeld(counters.ledger, reference)
  // A reservation that has expired was given back already.
  if (reference.isHeld && !stillHeld) return
  for (const charge of reference.charges) takeCharge(counters, charge, stillHeld, kept)
}

function takeCharge(counters: Counters, charge: Charge, wasHeld: boolean, kept: ReadonlySet<string>): void {
  const window = counters.windows.byId(charge.window)
  const bucket = window?.list[charge.bucket]
  if (window === undefined || bucket === undefined) return
  const isKept = kept.has(window.series)
  if (wasHeld) bucket.reserved = Math.max(0, bucket.reserved - charge.amount)
  // What is kept is held no longer, but spent.
  if (wasHeld === isKept) addPending(bucket, charge.share, isKept ? charge.amount : -charge.amount)
  touch(counters, bucket)
}

/** False for a subject that would be one more than there may be. */
const hasRoom = ({ windows, bucketsMax }: Counters, address: Spend) =>
  windows.bucketCount() < bucketsMax || windows.find(address) !== undefined

function applyRecord(counters: Counters, effect: RecordEffect, batch: RecordBatch, nowMs: number): keyof RecordCounts {
  const reference = effect.reference ?? findByRequest(counters, effect)
  if (reference === null) {
    spendRecord(counters, effect, 'unlinked', nowMs)
    return 'unlinked'
  }
  const state = counters.settled.stateOf(reference.epoch, reference.sequence)
  switch (state) {
    case 'open':
      takeOut(counters, reference, batch.checksOnly)
      spendRecord(counters, effect, 'linked', nowMs)
      break
    case 'caller':
    case 'forgotten':
      spendRecord(counters, effect, 'noted', nowMs)
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

/** `noted`: its cost is counted already, only that a record of it exists is new. */
function spendRecord(
  counters: Counters,
  effect: RecordEffect,
  how: 'unlinked' | 'linked' | 'noted',
  nowMs: number,
): void {
  for (const spend of effect.spends) {
    if (spend.endMs <= nowMs || !hasRoom(counters, spend)) continue
    const bucket = counters.windows.obtain(spend)
    if (spend.isRecordsOnly) spendUnlinked(bucket, '', spend.amount, true)
    else if (how === 'unlinked') spendUnlinked(bucket, effect.gateway, spend.amount, false)
    else if (how === 'linked') spendLinked(bucket, effect.gateway, spend.amount)
    else shareOf(bucket, effect.gateway).recorded += spend.amount
    touch(counters, bucket)
  }
}

/** The check that carried the record's request id; one that gave no gateway may be anybody's. */
function findByRequest({ ledger, settled }: Counters, effect: RecordEffect): DecisionReference | null {
  if (effect.requestId === null) return null
  const entry =
    findRequest(ledger, requestKey(effect.gateway, effect.requestId)) ??
    findRequest(ledger, requestKey('', effect.requestId))
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
