/** Reads the control log in order and keeps, for everything in it, what holds now and its version. */
import type { Logger } from 'pino'
import type { CallLog } from '../../collector/log/call-log.ts'
import { type ControlChange, type ControlKind, parseControlChange } from '../../collector/log/control-change.ts'
import { controlEntrySkipped } from '../events.ts'
import { ControlError } from './control-error.ts'

/** A change holds everywhere within a second. */
const POLL_MS = 200
const READ_ENTRIES_MAX = 1_000
/** How long whoever asked for a change waits until it is folded. */
const FOLD_MS_MAX = 10_000
const PARTITION = 0
/** Of one kind, of which the version is kept after they are gone: the last ones. */
export const REMOVED_MAX = 10_000

export interface Held {
  /** 0 when there was never one, or nothing is kept of it. */
  readonly version: number
  /** `null` when there is none now. */
  readonly value: unknown
}

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

export interface Fold {
  current(kind: ControlKind, key: string): Held
  /** Keys of one kind that hold now. */
  keys(kind: ControlKind): string[]
  /** How a change that is about to be appended comes out. */
  waitFor(changeId: string): AwaitedChange
  /** Resolves when all that is in the log has been folded, or could not be read. */
  refresh(): Promise<void>
  /** Why changes cannot be read now, or `null`. */
  unavailable(): string | null
  close(): Promise<void>
}

export interface FoldDeps {
  log: CallLog
  logger: Logger
  /** Called for each change that holds, in order. */
  onChange: (change: ControlChange) => void
}

const NEVER: Held = { version: 0, value: null }

interface OfKind {
  readonly held: Map<string, Held>
  /** What is gone, the longest ago first: whoever thought of a change before is to lose. */
  readonly removed: Map<string, Held>
}

/** Resolves after the first attempt to read everything. */
export async function startFold({ log, logger, onChange }: FoldDeps): Promise<Fold> {
  const kinds = new Map<ControlKind, OfKind>()
  const waiting = new Map<string, (outcome: 'won' | 'lost') => void>()
  let logId: string | null = null
  let offset = 0
  let failure: string | null = null

  const current = (kind: ControlKind, key: string): Held => {
    const ofKind = kinds.get(kind)
    return ofKind?.held.get(key) ?? ofKind?.removed.get(key) ?? NEVER
  }
  const fold = (change: ControlChange) => {
    const hasWon = current(change.kind, change.key).version === change.expectedVersion
    if (hasWon) {
      const ofKind = kinds.get(change.kind) ?? { held: new Map(), removed: new Map() }
      kinds.set(change.kind, ofKind)
      keep(ofKind, change)
      onChange(change)
    }
    waiting.get(change.changeId)?.(hasWon ? 'won' : 'lost')
  }
  const readAll = async () => {
    for (;;) {
      const batch = await log.read('control', PARTITION, offset, READ_ENTRIES_MAX)
      if (logId !== null && batch.logId !== logId) {
        // What held stays in force: forgetting tokens while calls are under way would lock everybody out.
        throw new Error('the control log was replaced: restart this role to take the new one over')
      }
      logId = batch.logId
      for (const entry of batch.entries) {
        const change = parseControlChange(entry.value)
        if (change === null) controlEntrySkipped(logger, entry.offset)
        else fold(change)
      }
      if (batch.nextOffset <= offset) return
      offset = batch.nextOffset
    }
  }
  let isClosed = false
  const attempt = async () => {
    if (isClosed) return
    try {
      await readAll()
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
    current,
    keys: kind => [...(kinds.get(kind)?.held.keys() ?? [])],
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

function keep({ held, removed }: OfKind, { kind, key, version, value }: ControlChange): void {
  removed.delete(key)
  if (value !== null) {
    held.set(key, { version, value })
    return
  }
  held.delete(key)
  // Of provider keys there are ever new ones, which nobody changes but the analyzer.
  if (kind !== 'upstream') removed.set(key, { version, value })
  const [oldest] = removed.keys()
  if (removed.size > REMOVED_MAX && oldest !== undefined) removed.delete(oldest)
}

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
