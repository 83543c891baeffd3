/**
 * The limit store of one machine: counters in memory, written behind to LMDB. What a decision, the settler and a
 * correction changed is written in one transaction together with the last sequence and the settler's positions, so
 * that after a kill the counters are exactly those of some instant at most `flushMs` before it. One process at a time:
 * a second one takes over, and the first one finds out before it writes again.
 */
import type { RootDatabase } from 'lmdb'
import { claimFolder } from '../../collector/log/claim.ts'
import { openEnvironment, transact } from '../../collector/log/embedded.ts'
import { untilNewest } from '../../collector/log/folder.ts'
import { limitsOpened } from '../events.ts'
import { type BucketRow, createRates, fromRow, toRow } from './bucket-row.ts'
import { createClock } from './clock.ts'
import { correctAll, cutAll, forgetAll } from './comparison.ts'
import { type Counters, noChanges, positionKey } from './counters.ts'
import { decide } from './deciding.ts'
import { type Head, headOf, requireFormat } from './embedded-head.ts'
import { createLedger, heldAfter, type LedgerEntry, restoreEntry } from './ledger.ts'
import { type AppliedPosition, type LimitStore, LimitStoreError } from './limit-store.ts'
import type { EmbeddedLimitsOptions, LimitStoreDeps } from './limits-options.ts'
import { createOpenWindows, type OpenWindow } from './open-windows.ts'
import { raise } from './raising.ts'
import { createSettledBits, type Epoch } from './settled-bits.ts'
import { applyRecords, reservationOf, settle, undo } from './settling.ts'
import { type PendingWrite, startWriteBehind } from './write-behind.ts'

/** Buckets of ended windows that one flush removes. */
const REMOVALS_MAX = 2_000
/** Applied between two decisions: half a millisecond for which whoever asks waits. */
const RECORDS_AT_ONCE_MAX = 16

type StoredWindow = Pick<OpenWindow, 'id' | 'series' | 'startMs' | 'endMs' | 'comparedTo'>
type StoredEpoch = Omit<Epoch, 'chunks'>

const HEAD = 'head'

/** Opens, or makes, the limit store in `deps.dir`. Throws `LimitStoreError`. */
export async function openEmbeddedLimits(options: EmbeddedLimitsOptions, deps: LimitStoreDeps): Promise<LimitStore> {
  const { made, use, close } = await openDatabases(deps.dir, databases => {
    const head = databases.head.get(HEAD) ?? null
    requireFormat(deps.dir, head)
    const nowMs = createClock(deps.now ?? Date.now, head?.clockMs ?? 0)
    return { nowMs, counters: load(databases, head, options, nowMs()) }
  })
  const { nowMs, counters } = made
  const { epoch } = counters.settled.current
  limitsOpened(deps.log, { epoch, buckets: counters.windows.bucketCount() })
  const behind = startWriteBehind({
    counters,
    nowMs,
    flushMs: options.flushMs,
    log: deps.log,
    write: take => use(databases => write(databases, counters, take)),
  })
  let losses = counters.isLost ? 1 : 0
  let comparison: { id: number; cut: AppliedPosition[] } = { id: 0, cut: [] }

  const ifAvailable = () => {
    const reason = behind.takenOver()
    if (reason !== null) throw new LimitStoreError('LIMITS_TAKEN_OVER', reason)
    return counters
  }
  return {
    nowMs,
    decide: async request => decide(ifAvailable(), request, nowMs()),
    decideAtOnce: request => decide(ifAvailable(), request, nowMs()),
    settle: async (reference, spends) => settle(ifAvailable(), reference, spends, nowMs()),
    release: async reference => settle(ifAvailable(), reference, [], nowMs()),
    undo: async reference => undo(ifAvailable(), reference, nowMs()),
    reservation: async reference => reservationOf(ifAvailable(), reference),
    reservations: async (after, max) => heldAfter(ifAvailable().ledger, after, max),
    applyRecords: async batch => applyRecords(ifAvailable(), batch, nowMs()),
    recordsAtOnceMax: RECORDS_AT_ONCE_MAX,
    position: async (logId, partition) => counters.positions.get(positionKey(logId, partition)) ?? null,
    forgetComparisons: async () => {
      comparison = { id: comparison.id + 1, cut: [] }
      forgetAll(ifAvailable())
      losses += 1
    },
    beginComparison: async () => {
      const windows = cutAll(ifAvailable())
      comparison = { id: comparison.id + 1, cut: [...counters.positions.values()] }
      return { ...comparison, windows }
    },
    correct: async (comparisonId, truths) => {
      if (comparisonId !== comparison.id) return { buckets: 0, added: 0, removed: 0 }
      return correctAll(ifAvailable(), comparison.cut, truths, nowMs())
    },
    raise: async floors => raise(ifAvailable(), floors, nowMs()),
    losses: () => losses,
    rebuilt: async () => {
      ifAvailable().isLost = false
      counters.changes.isRebuilt = true
    },
    bucketCount: () => counters.windows.bucketCount(),
    unavailable: () => behind.takenOver() ?? behind.failure(),
    isJoined: () => behind.takenOver() === null,
    close: async () => {
      await behind.close()
      await close()
    },
  }
}

type Databases = ReturnType<typeof toDatabases>

/** The databases in a folder, which nothing else of this process may open until they are closed. */
async function openDatabases<T>(dir: string, setUp: (databases: Databases) => T) {
  const giveBack = await claimFolder(dir)
  if (giveBack === null)
    throw new LimitStoreError(
      'LIMITS_OPEN_TWICE',
      `this process has the limit store in ${dir} open already; close that one first`,
    )
  let held: Databases | null = null
  const open = async <R>(act: (databases: Databases) => R): Promise<R> => {
    try {
      const opened = await openEnvironment({ path: dir, maxDbs: 8 }, root => {
        const databases = toDatabases(root)
        return { databases, made: act(databases) }
      })
      held = opened.databases
      return opened.made
    } catch (cause) {
      if (cause instanceof LimitStoreError) throw cause
      throw new LimitStoreError('LIMITS_UNAVAILABLE', `the limit store in ${dir} cannot be opened`, { cause })
    }
  }
  const shut = async () => {
    const closing = held
    held = null
    await closing?.root.close()
  }
  try {
    return {
      made: await open(setUp),
      /** Runs `act`, and again on what was opened anew, where that did not show the last commit. */
      use: <R>(act: (databases: Databases) => Promise<R>) =>
        untilNewest(async () => act(held ?? (await open(databases => databases))), shut),
      close: () => shut().then(giveBack),
    }
  } catch (error) {
    giveBack()
    throw error
  }
}

const toDatabases = (root: RootDatabase) => ({
  root,
  head: root.openDB<Head, string>('head', {}),
  windows: root.openDB<StoredWindow, number>('windows', {}),
  buckets: root.openDB<BucketRow, [window: number, index: number]>('buckets', {}),
  epochs: root.openDB<StoredEpoch, number>('epochs', {}),
  chunks: root.openDB<Uint8Array, [epoch: number, chunk: number]>('chunks', { encoding: 'binary' }),
  ledger: root.openDB<LedgerEntry, string>('ledger', {}),
  positions: root.openDB<AppliedPosition, string>('positions', {}),
})

/** Reads everything into memory and begins a new epoch, in one transaction: nobody writes in between what was not read. */
function load(databases: Databases, head: Head | null, options: EmbeddedLimitsOptions, nowMs: number): Counters {
  const windows = createOpenWindows(head?.nextWindowId ?? 1)
  const rateOf = createRates()
  for (const { value: stored } of databases.windows.getRange()) {
    const window = windows.restore({ ...stored, isDirty: false })
    const range = { start: [stored.id, 0] as [number, number], end: [stored.id + 1, 0] as [number, number] }
    for (const { key, value } of databases.buckets.getRange(range)) {
      fromRow(value, windows.restoreBucket(window, key[1], value[0]), rateOf)
    }
  }
  const ledger = createLedger(options.requestsMax)
  // Their keys are texts, in which 10 comes before 9; the oldest have to come first.
  const entries = [...databases.ledger.getRange()].map(({ value }) => value)
  for (const entry of entries.toSorted(byDecision)) restoreEntry(ledger, entry)
  const settled = loadSettled(databases, head, nowMs)
  const positions = new Map<string, AppliedPosition>()
  for (const { key, value } of databases.positions.getRange()) positions.set(key, value)
  const counters: Counters = {
    windows,
    ledger,
    settled,
    positions,
    bucketsMax: options.bucketsMax,
    sequence: 0,
    isLost: head === null || head.isLost === true,
    changes: noChanges(),
  }
  for (const epoch of settled.epochs.values()) putEpoch(databases, epoch)
  databases.head.putSync(HEAD, headOf(counters, nowMs))
  return counters
}

/** The epochs before this one, the last of them durable up to the head's sequence, and a new one. */
function loadSettled(databases: Databases, head: Head | null, nowMs: number) {
  const earlier: Epoch[] = []
  for (const { key, value } of databases.epochs.getRange()) {
    const isLast = key === head?.epoch
    const durableSequence = isLast ? head.sequence : value.durableSequence
    earlier.push({ ...value, durableSequence, endedAtMs: value.endedAtMs ?? nowMs, chunks: new Map() })
  }
  for (const epoch of earlier) {
    for (const { key, value } of databases.chunks.getRange({ start: [epoch.epoch, 0], end: [epoch.epoch + 1, 0] })) {
      epoch.chunks.set(key[1], new Uint8Array(value))
    }
  }
  // A number that no life before had, also none that a restored copy does not know of.
  const epoch = Math.max(Math.floor(nowMs), (earlier.at(-1)?.epoch ?? 0) + 1)
  const current = { epoch, durableSequence: 0, endedAtMs: null, floorSequence: 0, chunks: new Map() }
  const settled = createSettledBits(earlier, current, { nowMs, forgottenEpoch: head?.forgottenEpoch ?? 0 })
  for (const { epoch: known } of earlier) {
    if (settled.epochs.has(known)) continue
    databases.epochs.removeSync(known)
    for (const key of databases.chunks.getKeys({ start: [known, 0], end: [known + 1, 0] })) {
      databases.chunks.removeSync(key)
    }
  }
  return settled
}

function putEpoch(databases: Databases, { chunks: _chunks, ...stored }: Epoch): void {
  databases.epochs.putSync(stored.epoch, stored)
}

/** All of it, or nothing when it rejects. Answers the ended windows of which nothing is left. */
async function write(databases: Databases, counters: Counters, take: () => PendingWrite): Promise<number[]> {
  let removed: number[] = []
  const act = () => {
    if (databases.head.get(HEAD)?.epoch !== counters.settled.current.epoch) {
      throw new LimitStoreError('LIMITS_TAKEN_OVER', 'another limiter has taken over the limit store')
    }
    const pending = take()
    putChanges(databases, counters, pending)
    removed = removeEnded(databases, pending.endedWindows)
    databases.head.putSync(HEAD, headOf(counters, pending.clockMs))
  }
  await transact(databases.root, act)
  return removed
}

function putChanges(databases: Databases, counters: Counters, { changes, ledger }: PendingWrite): void {
  for (const { id, series, startMs, endMs, comparedTo } of changes.windows) {
    databases.windows.putSync(id, { id, series, startMs, endMs, comparedTo })
  }
  for (const bucket of changes.buckets) databases.buckets.putSync([bucket.window.id, bucket.index], toRow(bucket))
  for (const [key, entry] of ledger) {
    if (entry === null) databases.ledger.removeSync(key)
    else databases.ledger.putSync(key, entry)
  }
  for (const { epoch, chunk } of changes.chunks.values()) {
    const known = counters.settled.epochs.get(epoch)
    const bytes = known?.chunks.get(chunk)
    if (bytes === undefined) databases.chunks.removeSync([epoch, chunk])
    else databases.chunks.putSync([epoch, chunk], bytes)
    if (known !== undefined) putEpoch(databases, known)
  }
  for (const key of changes.positions) {
    const position = counters.positions.get(key)
    if (position !== undefined) databases.positions.putSync(key, position)
  }
}

function removeEnded(databases: Databases, ended: Iterable<number>): number[] {
  const removed: number[] = []
  let room = REMOVALS_MAX
  for (const id of ended) {
    const keys = [...databases.buckets.getKeys({ start: [id, 0], end: [id + 1, 0], limit: room })]
    for (const key of keys) databases.buckets.removeSync(key)
    room -= keys.length
    if (room <= 0) break
    // The window goes last: what it names is found again after a kill.
    databases.windows.removeSync(id)
    removed.push(id)
  }
  return removed
}

const byDecision = ({ reference: one }: LedgerEntry, { reference: other }: LedgerEntry) =>
  one.epoch - other.epoch || one.sequence - other.sequence
