/**
 * What has to be found again by something else than a decision's id: checks by the request id that their call record
 * will carry, and reservations by the time at which they expire. Both are bounded; a check whose entry had to make room
 * is counted all the same, as one that no id links to its record.
 */
import type { DecisionReference } from './limit-store.ts'

/** Reservations that may be held at once. */
export const RESERVATIONS_MAX = 100_000
/** How long a check waits for the record with its request id. */
export const REQUEST_HORIZON_MS = 86_400_000

export interface LedgerEntry {
  readonly reference: DecisionReference
  readonly madeAtMs: number
  /** From `requestKey`; null when the decision came without a request id. */
  readonly requestKey: string | null
  /** Null when nothing is held. */
  readonly expiresAtMs: number | null
}

export interface Ledger {
  readonly requestsMax: number
  /** By `entryKey`. */
  readonly entries: Map<string, LedgerEntry>
  /** The reservations among them. */
  readonly held: Map<string, LedgerEntry>
  /** By request key, oldest first. */
  readonly requests: Map<string, LedgerEntry>
  /** What has to be written since it was last taken; null is removed. */
  changes: Map<string, LedgerEntry | null>
}

/** Names an entry within the ledger. */
const entryKey = ({ epoch, sequence }: { epoch: number; sequence: number }) => `${epoch}:${sequence}`
/** Equal for equal pairs only. */
export const requestKey = (gateway: string, requestId: string) => `${gateway.length}:${gateway}${requestId}`

export function createLedger(requestsMax: number): Ledger {
  return { requestsMax, entries: new Map(), held: new Map(), requests: new Map(), changes: new Map() }
}

/** Remembers a decision. The oldest request makes room where there is none. */
export function addEntry(ledger: Ledger, entry: LedgerEntry): void {
  ledger.changes.set(entryKey(entry.reference), entry)
  restoreEntry(ledger, entry)
}

/** Puts back what was written; to be called in the order of the decisions. */
export function restoreEntry(ledger: Ledger, entry: LedgerEntry): void {
  const { entries, held, requests } = ledger
  const key = entryKey(entry.reference)
  entries.set(key, entry)
  if (entry.expiresAtMs !== null) held.set(key, entry)
  if (entry.requestKey === null) return
  const older = requests.get(entry.requestKey)
  if (older !== undefined) unlist(ledger, older)
  requests.set(entry.requestKey, entry)
  if (requests.size <= ledger.requestsMax) return
  const oldest = requests.values().next().value
  if (oldest !== undefined) unlist(ledger, oldest)
}

export function findRequest(ledger: Ledger, key: string): LedgerEntry | undefined {
  return ledger.requests.get(key)
}

/** True while the decision's charges are held. */
export function isHeld(ledger: Ledger, reference: DecisionReference): boolean {
  return ledger.held.has(entryKey(reference))
}

export function removeEntry(ledger: Ledger, reference: DecisionReference): void {
  if (ledger.entries.size === 0) return
  const entry = ledger.entries.get(entryKey(reference))
  if (entry !== undefined) drop(ledger, entry)
}

/** Holds the decision's charges no longer; it can still be found by its request id. */
export function unhold(ledger: Ledger, reference: DecisionReference): void {
  const key = entryKey(reference)
  const entry = ledger.held.get(key)
  if (entry === undefined) return
  // One whose request id had to make room cannot be found by anything any more.
  if (entry.requestKey === null || ledger.requests.get(entry.requestKey) !== entry) {
    drop(ledger, entry)
    return
  }
  const released = { ...entry, expiresAtMs: null }
  ledger.held.delete(key)
  ledger.entries.set(key, released)
  ledger.changes.set(key, released)
  ledger.requests.set(entry.requestKey, released)
}

/** Answers the reservations that have expired and holds them no longer; forgets checks that waited too long. */
export function takeExpired(ledger: Ledger, nowMs: number): LedgerEntry[] {
  const expired: LedgerEntry[] = []
  for (const entry of ledger.held.values()) {
    if (entry.expiresAtMs !== null && entry.expiresAtMs <= nowMs) expired.push(entry)
  }
  for (const entry of expired) unhold(ledger, entry.reference)
  for (const entry of ledger.requests.values()) {
    if (entry.madeAtMs + REQUEST_HORIZON_MS > nowMs) break
    unlist(ledger, entry)
  }
  return expired
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

/** The entry can no longer be found by its request id; one that holds nothing is of no further use. */
function unlist(ledger: Ledger, entry: LedgerEntry): void {
  if (entry.expiresAtMs === null) drop(ledger, entry)
  else if (entry.requestKey !== null) ledger.requests.delete(entry.requestKey)
}

function drop({ entries, held, requests, changes }: Ledger, entry: LedgerEntry): void {
  const key = entryKey(entry.reference)
  entries.delete(key)
  held.delete(key)
  if (entry.requestKey !== null && requests.get(entry.requestKey) === entry) requests.delete(entry.requestKey)
  changes.set(key, null)
}
