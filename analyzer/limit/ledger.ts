/**
 * What has to be found again by something else than a decision's id: checks by the request id that their call record
 * will carry, and reservations by the time at which they expire. The note of a reservation is kept until it is settled,
 * also when it has expired. All are bounded; a check whose entry had to make room is counted all the same, as one that no
 * id links to its record.
 */
import { STEP_BACK_MS_MAX } from './clock.ts'
import type { Charge, DecisionOrder, DecisionReference, HeldReservation, Reservation } from './limit-store.ts'

/** Reservations that may be held at once, and of which, after they have expired, the note is kept. */
export const RESERVATIONS_MAX = 100_000
/** Longest note of a reservation. */
export const NOTE_CHARACTERS_MAX = 2_048
/** How long a check waits for the record with its request id. */
export const REQUEST_HORIZON_MS = 86_400_000
/** From when it was made: how long a reservation can be settled by its id alone. Longer than any is held. */
export const NOTE_HORIZON_MS = 2 * 86_400_000

/** Charges of one call that are settled together; what it records beyond them is settled as if it were another call's. */
export const JOINED_CHARGES_MAX = 64

/** Of the requests that may wait, the share that makes room together. */
const ROOM_SHARE = 1 / 64

export interface LedgerEntry {
  readonly reference: DecisionReference
  readonly madeAtMs: number
  /** From `listingKey`; null when the decision came without a request id. */
  readonly requestKey: string | null
  /** Not there in what earlier versions wrote. */
  readonly caller?: string
  /** Null when nothing is held. */
  readonly expiresAtMs: number | null
  /** What a reservation is for; null when it is settled, and of checks. */
  readonly note: string | null
}

export interface Ledger {
  readonly requestsMax: number
  /** By `entryKey`. */
  readonly entries: Map<string, LedgerEntry>
  /** Those among them that hold something. */
  readonly held: Map<string, LedgerEntry>
  /** Reservations that have expired and that nothing has settled. */
  readonly expired: Map<string, LedgerEntry>
  /** By request key, oldest first. */
  readonly requests: Map<string, LedgerEntry>
  /** What has to be written since it was last taken; null is removed. */
  changes: Map<string, LedgerEntry | null>
}

/** Names an entry within the ledger. */
const entryKey = ({ epoch, sequence }: DecisionOrder) => `${epoch}:${sequence}`
/** Equal for equal pairs only. */
export const requestKey = (gateway: string, requestId: string) => `${gateway.length}:${gateway}${requestId}`
/** Stands before the key of a request whose id is another caller's already. No such key begins with it otherwise. */
export const callerPrefix = (caller: string) => `@${caller.length}:${caller}`

export function createLedger(requestsMax: number): Ledger {
  return {
    requestsMax,
    entries: new Map(),
    held: new Map(),
    expired: new Map(),
    requests: new Map(),
    changes: new Map(),
  }
}

/** Remembers a decision. The oldest requests make room where there is none. */
export function addEntry(ledger: Ledger, entry: LedgerEntry): void {
  ledger.changes.set(entryKey(entry.reference), entry)
  restoreEntry(ledger, entry)
}

/** Puts back what was written; to be called in the order of the decisions. */
export function restoreEntry(ledger: Ledger, entry: LedgerEntry): void {
  const { entries, held, expired, requests } = ledger
  const key = entryKey(entry.reference)
  entries.set(key, entry)
  if (entry.expiresAtMs !== null) held.set(key, entry)
  else if (entry.note !== null) expired.set(key, entry)
  if (entry.requestKey === null) return
  const older = requests.get(entry.requestKey)
  if (older !== undefined) unlist(ledger, older)
  requests.set(entry.requestKey, entry)
  if (requests.size > ledger.requestsMax) makeRoom(ledger)
}

/**
 * For some at once: a map keeps the places of what was deleted until it is made anew, and whoever looks for its first entry
 * steps over all of them.
 */
function makeRoom(ledger: Ledger): void {
  let left = Math.max(1, Math.ceil(ledger.requestsMax * ROOM_SHARE))
  for (const entry of ledger.requests.values()) {
    unlist(ledger, entry)
    left -= 1
    if (left === 0) return
  }
}

/**
 * What the call of a check has spent later is settled together with it; what the check holds, it holds until `heldUntilMs`.
 * False where that is not to be: a reservation's cost is the caller's to tell.
 */
export function joinEntry(
  ledger: Ledger,
  entry: LedgerEntry,
  charges: readonly Charge[],
  heldUntilMs: number,
): boolean {
  const { entries, held, expired, requests, changes } = ledger
  const { reference, requestKey: name, note } = entry
  if (name === null || note !== null || reference.charges.length + charges.length > JOINED_CHARGES_MAX) return false
  const key = entryKey(reference)
  const joined = {
    ...entry,
    reference: { ...reference, charges: [...reference.charges, ...charges] },
    expiresAtMs: entry.expiresAtMs === null ? null : heldUntilMs,
  }
  for (const list of [entries, held, expired]) if (list.has(key)) list.set(key, joined)
  requests.set(name, joined)
  changes.set(key, joined)
  return true
}

/** The decision with all that its call has spent, as far as its request is still known. */
export function withJoined({ entries, requests }: Ledger, reference: DecisionReference): DecisionReference {
  const entry = entries.size === 0 ? undefined : entries.get(entryKey(reference))
  const isListed = entry !== undefined && entry.requestKey !== null && requests.get(entry.requestKey) === entry
  return isListed ? entry.reference : reference
}

/** Under which key the caller's request is to be listed. */
export function listingKey({ requests }: Ledger, key: string, caller: string): string {
  const listed = requests.get(key)
  return listed === undefined || listed.caller === caller ? key : callerPrefix(caller) + key
}

/**
 * The caller's own, under one of the keys; else whoever's: logs and checks may call the same caller differently. Of another
 * tenant it is never, who could take back what others spend by guessing their ids.
 */
export function findRequest({ requests }: Ledger, keys: readonly string[], caller: string): LedgerEntry | undefined {
  const listed = keys.flatMap(key => requests.get(key) ?? [])
  const own = () => keys.flatMap(key => requests.get(callerPrefix(caller) + key) ?? [])
  return (
    listed.find(entry => entry.caller === caller) ??
    own()[0] ??
    listed.find(entry => mayBeOneTenant(tenantOf(entry.caller), tenantOf(caller)))
  )
}

/** As `callerKey` has it; empty is unknown. */
const tenantOf = (caller = ''): string => caller.slice(0, Math.max(0, caller.indexOf('/')))

const mayBeOneTenant = (one: string, other: string): boolean => one === '' || other === '' || one === other

/** True while the decision's charges are held. */
export function isHeld(ledger: Ledger, reference: DecisionReference): boolean {
  return ledger.held.size > 0 && ledger.held.has(entryKey(reference))
}

/** What the reservation was for; null when it is settled or forgotten. */
export function findReservation({ entries }: Ledger, reference: DecisionReference): Reservation | null {
  const entry = entries.get(entryKey(reference))
  if (entry === undefined || entry.note === null) return null
  const { madeAtMs, expiresAtMs, note } = entry
  return { madeAtMs, expiresAtMs, note }
}

/** Reservations that are held, in the order of their decisions, after the given one. */
export function heldAfter({ held }: Ledger, after: DecisionOrder | null, max: number): HeldReservation[] {
  const found: HeldReservation[] = []
  for (const { reference, madeAtMs, expiresAtMs, note } of held.values()) {
    if (found.length >= max) break
    if (note === null || (after !== null && !isLater(reference, after))) continue
    found.push({ reference, madeAtMs, expiresAtMs, note })
  }
  return found
}

const isLater = (one: DecisionOrder, other: DecisionOrder) =>
  one.epoch > other.epoch || (one.epoch === other.epoch && one.sequence > other.sequence)

export function removeEntry(ledger: Ledger, reference: DecisionReference): void {
  if (ledger.entries.size === 0) return
  const entry = ledger.entries.get(entryKey(reference))
  if (entry !== undefined) drop(ledger, entry)
}

/** The decision is settled: it holds nothing any more, and can still be found by its request id. */
export function unhold(ledger: Ledger, reference: DecisionReference): void {
  const entry = ledger.entries.get(entryKey(reference))
  if (entry !== undefined && (entry.expiresAtMs !== null || entry.note !== null)) release(ledger, entry, null)
}

function release(ledger: Ledger, entry: LedgerEntry, note: string | null): void {
  const { entries, held, expired, requests, changes } = ledger
  const { requestKey: name, reference } = entry
  const isListed = name !== null && requests.get(name) === entry
  // One that nothing can find any more, also as its request id had to make room.
  if (note === null && !isListed) {
    drop(ledger, entry)
    return
  }
  const key = entryKey(reference)
  const released = { ...entry, expiresAtMs: null, note }
  held.delete(key)
  expired.delete(key)
  entries.set(key, released)
  changes.set(key, released)
  if (isListed) requests.set(name, released)
  if (note !== null) expired.set(key, released)
}

/**
 * Held since an instant that is yet to come: the clock was set back by more than it stands still for (clock.ts). It would
 * be held until the clock has caught up.
 */
const isFromAhead = ({ madeAtMs, expiresAtMs }: LedgerEntry, nowMs: number): boolean =>
  madeAtMs > nowMs && (expiresAtMs ?? 0) > nowMs + STEP_BACK_MS_MAX

/** Answers what has expired and holds it no longer; forgets checks and reservations that waited too long. */
export function takeExpired(ledger: Ledger, nowMs: number): LedgerEntry[] {
  const taken: LedgerEntry[] = []
  for (const entry of ledger.held.values()) {
    if (entry.expiresAtMs === null) continue
    if (entry.expiresAtMs <= nowMs || isFromAhead(entry, nowMs)) taken.push(entry)
  }
  for (const entry of taken) release(ledger, entry, entry.note)
  let excess = ledger.expired.size - RESERVATIONS_MAX
  for (const entry of ledger.expired.values()) {
    if (excess <= 0 && entry.madeAtMs + NOTE_HORIZON_MS > nowMs) continue
    excess -= 1
    release(ledger, entry, null)
  }
  for (const entry of ledger.requests.values()) {
    if (entry.madeAtMs + REQUEST_HORIZON_MS > nowMs) break
    unlist(ledger, entry)
  }
  return taken
}

/** Takes what has to be written now. */
export function takeLedgerChanges(ledger: Ledger): Map<string, LedgerEntry | null> {
  const taken = ledger.changes
  ledger.changes = new Map()
  return taken
}

/** Puts changes back that could not be written, below newer ones. */
export function returnLedgerChanges(ledger: Ledger, returned: ReadonlyMap<string, LedgerEntry | null>): void {
  ledger.changes = new Map([...returned, ...ledger.changes])
}

/** The entry can no longer be found by its request id; one that is no reservation under way is of no further use. */
function unlist(ledger: Ledger, entry: LedgerEntry): void {
  if (entry.expiresAtMs === null && entry.note === null) drop(ledger, entry)
  else if (entry.requestKey !== null) ledger.requests.delete(entry.requestKey)
}

function drop({ entries, held, expired, requests, changes }: Ledger, entry: LedgerEntry): void {
  const key = entryKey(entry.reference)
  entries.delete(key)
  held.delete(key)
  expired.delete(key)
  if (entry.requestKey !== null && requests.get(entry.requestKey) === entry) requests.delete(entry.requestKey)
  changes.set(key, null)
}
