/**
 * Reads the control log in order and keeps, for everything in it, what holds now and its version. Begins with the newest
 * snapshot in it, and takes what holds from one when changes are gone from the log before they were read.
 */
import type { Logger } from 'pino'
import type { CallLog } from '../../collector/log/call-log.ts'
import {
  type ControlChange,
  type ControlKind,
  type HeldEntry,
  isChangeOfLaterVersion,
  isSnapshotPiece,
  parseControlChange,
  parseSnapshotPiece,
} from '../../collector/log/control-change.ts'
import {
  CONTROL_PARTITION,
  createSnapshotPieces,
  findSnapshot,
  withoutHeld,
} from '../../collector/log/control-snapshot.ts'
import { controlEntrySkipped } from '../events.ts'
import { ControlError } from './control-error.ts'
import { controlChanged } from './events.ts'
import { createHeldState, type HeldState } from './held.ts'

/** A change holds everywhere within a second. */
const POLL_MS = 200
const READ_ENTRIES_MAX = 1_000
/** How long whoever asked for a change waits until it is folded. */
const FOLD_MS_MAX = 10_000
/** How often a snapshot is looked for that is missing. */
const GAP_RETRY_MS = 5_000

/** What holds from now on, and when and by whom it was asked for, unless it comes from a snapshot. */
export type HeldChange = HeldEntry & Partial<Pick<ControlChange, 'atMs' | 'by' | 'reason'>>

/** What is to be changed; `version` is what the change expects to replace, 0 for nothing. */
export interface Wish {
  kind: ControlKind
  key: string
  version: number
  /** `null` removes. */
  value: unknown
  by: string
  reason: string | null
}

interface AwaitedChange {
  /** Rejects with `NOT_FOLDED` when the change does not come by. */
  outcome: Promise<'won' | 'lost'>
  /** Waits no longer: nothing was appended. */
  cancel(): void
}

/** How far the log is folded. */
interface FoldPosition {
  logId: string | null
  /** All entries below it are folded. */
  offset: number
  /** As of which the newest complete snapshot is, 0 without one. */
  snapshotOffset: number
  /** False when an entry of a later version was stepped over: then not all that holds is known. */
  isWhole: boolean
}

export interface Fold extends Pick<HeldState, 'current' | 'keys' | 'count' | 'entries'> {
  position(): FoldPosition
  /** How a change that is about to be appended comes out. */
  waitFor(changeId: string): AwaitedChange
  /** Resolves when all that is in the log has been folded, or could not be read. */
  refresh(): Promise<void>
  /** Why changes cannot be read now, or `null`. */
  unavailable(): string | null
  close(): Promise<void>
}

export interface FoldDeps {
  log: Pick<CallLog, 'read' | 'partitions'>
  logger: Logger
  /** Called for each change that holds, in order, and for all that a snapshot changes (what it removes with `null`). */
  onChange: (change: HeldChange) => void
}

/** Resolves after the first attempt to read everything. */
export async function startFold(deps: FoldDeps): Promise<Fold> {
  const waiting = new Map<string, (outcome: 'won' | 'lost') => void>()
  const state = createHeldState()
  const reader = createReader(deps, state, (changeId, outcome) => waiting.get(changeId)?.(outcome))
  let failure: string | null = null
  let isClosed = false
  const attempt = async () => {
    if (isClosed) return
    try {
      await reader.readAll()
      failure = null
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
  }
  // One reading at a time: two would fold an entry twice. The next one is that of all who ask meanwhile.
  let reading = Promise.resolve()
  let next: Promise<void> | null = null
  const refresh = () => {
    next ??= reading.then(() => {
      next = null
      reading = attempt()
      return reading
    })
    return next
  }
  await refresh()
  const timer = setInterval(refresh, POLL_MS)

  return {
    current: state.current,
    keys: state.keys,
    count: state.count,
    entries: state.entries,
    position: reader.position,
    waitFor: changeId => waitForChange(waiting, changeId),
    unavailable: () => failure,
    refresh,
    async close() {
      clearInterval(timer)
      isClosed = true
      await reading
    },
  }
}

type Settle = (changeId: string, outcome: 'won' | 'lost') => void

/** Reads forward; where it begins, and where changes are gone, from a snapshot. */
function createReader(deps: FoldDeps, state: HeldState, settle: Settle) {
  const { log, logger, onChange } = deps
  const at: FoldPosition = { logId: null, offset: 0, snapshotOffset: 0, isWhole: true }
  const foldEntry = createEntryFolding(deps, state, at, settle)
  let gap: { error: Error; untilMs: number } | null = null

  const requireLife = (logId: string) => {
    // What held stays in force: forgetting tokens while calls are under way would lock everybody out.
    if (at.logId !== null && logId !== at.logId)
      throw new Error('the control log was replaced: restart this role to take the new one over')
  }
  /** Takes over the newest snapshot. Throws where changes are gone that none holds. */
  const catchUp = async () => {
    if (gap !== null && performance.now() < gap.untilMs) throw gap.error
    const [partition] = await log.partitions('control')
    if (partition === undefined) return
    requireLife(partition.logId)
    const snapshot = await findSnapshot(log, partition)
    if (snapshot === null && partition.beginOffset > at.offset) {
      const error = toGapError(at.offset, partition.beginOffset)
      if (gap === null) logger.error({ reason: error.message }, 'changes are not known')
      gap = { error, untilMs: performance.now() + GAP_RETRY_MS }
      throw error
    }
    gap = null
    if (snapshot === null || snapshot.asOfOffset <= at.offset) return
    const { asOfOffset, held } = snapshot
    Object.assign(at, { logId: partition.logId, offset: asOfOffset, snapshotOffset: asOfOffset, isWhole: true })
    const changes = state.replace(held)
    for (const change of changes) onChange(change)
    logger.info({ asOfOffset, entries: held.length, changes: changes.length }, 'what holds was taken from a snapshot')
  }
  /** Offsets may have holes: only where the log begins above ours something is gone. */
  const isTrimmed = async () => {
    const [partition] = await log.partitions('control')
    return partition !== undefined && partition.beginOffset > at.offset
  }
  return {
    position: (): FoldPosition => ({ ...at }),
    async readAll(): Promise<void> {
      if (at.logId === null || gap !== null) await catchUp()
      for (;;) {
        const batch = await log.read('control', CONTROL_PARTITION, at.offset, READ_ENTRIES_MAX)
        requireLife(batch.logId)
        if ((batch.entries[0]?.offset ?? batch.nextOffset) > at.offset && (await isTrimmed())) {
          await catchUp()
          continue
        }
        at.logId = batch.logId
        controlChanged(
          logger,
          batch.entries.flatMap(entry => foldEntry(entry) ?? []),
        )
        if (batch.nextOffset <= at.offset) return
        at.offset = batch.nextOffset
      }
    },
  }
}

/** Answers a function that folds an entry, and answers the change that holds by it. */
function createEntryFolding({ logger, onChange }: FoldDeps, state: HeldState, at: FoldPosition, settle: Settle) {
  const pieces = createSnapshotPieces()
  return (entry: { offset: number; value: string }): ControlChange | null => {
    if (isSnapshotPiece(entry.value)) {
      const piece = parseSnapshotPiece(entry)
      if (piece === null) controlEntrySkipped(logger, entry.offset)
      else at.snapshotOffset = Math.max(at.snapshotOffset, pieces.add(withoutHeld(piece))?.asOfOffset ?? 0)
      return null
    }
    const change = parseControlChange(entry.value)
    if (change === null) {
      at.isWhole &&= !isChangeOfLaterVersion(entry.value)
      controlEntrySkipped(logger, entry.offset)
      return null
    }
    const hasWon = state.fold(change)
    if (hasWon) onChange(change)
    settle(change.changeId, hasWon ? 'won' : 'lost')
    return hasWon ? change : null
  }
}

const toGapError = (fromOffset: number, toOffset: number): Error =>
  new Error(
    `changes ${fromOffset} to ${toOffset} are gone from the control log, and no snapshot in it holds them: what held stays ` +
      'in force. An analyzer that was running before writes a snapshot by itself; else restore the log from a copy',
  )

function waitForChange(waiting: Map<string, (outcome: 'won' | 'lost') => void>, changeId: string): AwaitedChange {
  const { promise: outcome, resolve, reject } = Promise.withResolvers<'won' | 'lost'>()
  const cancel = () => {
    clearTimeout(timer)
    waiting.delete(changeId)
  }
  const timer = setTimeout(() => {
    cancel()
    reject(new ControlError('NOT_FOLDED', 'the change was not seen in the control log yet'))
  }, FOLD_MS_MAX)
  // Whoever asked may still be appending when the time is over: the rejection waits for them, and harms nobody.
  outcome.catch(() => undefined)
  waiting.set(changeId, found => {
    cancel()
    resolve(found)
  })
  return { outcome, cancel }
}
