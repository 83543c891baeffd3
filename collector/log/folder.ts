/**
 * An LMDB environment in a folder that somebody may wipe or restore while it is open. Whoever held the old files would
 * go on writing to ones without a name; so at each use the files are compared with those that were opened.
 */
import { statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { LogError } from './call-log.ts'

const FILES = ['data.mdb', 'lock.mdb'] as const

export interface Folder<T> {
  /** What is open; opens it first where needed. Throws `LOG_UNAVAILABLE` when it cannot be opened. */
  current(): Promise<T>
  /** What is open now and still under its path, or `null`. */
  opened(): T | null
  /** Closes, so that the next `current` opens anew. */
  reset(): Promise<void>
  /** Bytes left on its disk; infinite where nobody can say. */
  freeBytes(): Promise<number>
  close(): Promise<void>
}

export function createFolder<T>(
  path: string,
  open: (path: string) => T,
  close: (environment: T) => Promise<void>,
): Folder<T> {
  let held: { environment: T; identity: string | null } | null = null
  let isClosed = false
  /** Opening and closing take turns: one process must not hold the same files twice. */
  let turn: Promise<unknown> = Promise.resolve()

  const inTurn = <R>(act: () => Promise<R>): Promise<R> => {
    const done = turn.then(act)
    turn = done.catch(() => undefined)
    return done
  }
  const opened = (): T | null => (held?.identity && held.identity === identityOf(path) ? held.environment : null)
  const shut = async (): Promise<void> => {
    const closing = held
    held = null
    if (closing !== null) await close(closing.environment)
  }
  const reopen = async (): Promise<T> => {
    if (isClosed) throw new LogError('LOG_UNAVAILABLE', 'The log is closed')
    const environment = opened()
    if (environment !== null) return environment
    await shut()
    try {
      held = { environment: open(path), identity: identityOf(path) }
      return held.environment
    } catch (cause) {
      throw new LogError('LOG_UNAVAILABLE', `The log in ${path} cannot be opened`, { cause })
    }
  }

  return {
    current: async () => opened() ?? inTurn(reopen),
    opened,
    reset: () => inTurn(shut),
    freeBytes: () =>
      statfs(path).then(
        ({ bavail, bsize }) => bavail * bsize,
        () => Number.POSITIVE_INFINITY,
      ),
    close() {
      isClosed = true
      return inTurn(shut)
    },
  }
}

function identityOf(path: string): string | null {
  const identities: string[] = []
  for (const file of FILES) {
    const stat = statSync(join(path, file), { throwIfNoEntry: false })
    if (stat === undefined) return null
    identities.push(`${stat.dev}:${stat.ino}`)
  }
  return identities.join(' ')
}
