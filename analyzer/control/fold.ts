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

/** Resolves after the first attempt to read everything. */
export async function startFold({ log, logger, onChange }: FoldDeps): Promise<Fold> {
  const held = new Map<ControlKind, Map<string, Held>>()
  const waiting = new Map<string, (outcome: 'won' | 'lost') => void>()
  let logId: string | null = null
  let offset = 0
  let failure: string | null = null

  const fold = (change: ControlChange) => {
    const ofKind = held.get(change.kind) ?? new Map<string, Held>()
    held.set(change.kind, ofKind)
    const { version } = ofKind.get(change.key) ?? NEVER
    const hasWon = version === change.expectedVersion
    if (hasWon) {
      // Of provider keys there are ever new ones: of those that are gone nothing is kept, not even the version.
      if (change.kind === 'upstream' && change.value === null) ofKind.delete(change.key)
      else ofKind.set(change.key, { version: change.version, value: change.value })
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
    current: (kind, key) => held.get(kind)?.get(key) ?? NEVER,
    keys: kind => [...(held.get(kind) ?? [])].filter(([, { value }]) => value !== null).map(([key]) => key),
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
