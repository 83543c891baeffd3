/**
 * An LMDB environment in a folder that somebody may wipe or restore while it is open. Whoever held the old files would
 * go on writing to ones without a name; so at each use the files are compared with those that were opened. One that finds
 * itself outdated is opened anew.
 */
import { statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { LogError } from './call-log.ts'

const FILES = ['data.mdb', 'lock.mdb'] as const
/** Until it is not outdated: for each further one another process must have written meanwhile. */
const OPENINGS_MAX = 20

/** What is open does not show what was committed last: nothing was written, and a fresh one is sound. */
export class OutdatedError extends Error {
  constructor() {
    super('Another process opened the folder while it was written, and hid what was written last')
  }
}

/** Runs `act`, and again after `reopen` as often as it rejects with `OutdatedError`, within bounds. */
export async function untilNewest<R>(act: () => Promise<R>, reopen: () => Promise<unknown>): Promise<R> {
  for (let openings = 1; ; openings++) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof OutdatedError) || openings === OPENINGS_MAX) throw error
      await reopen()
    }
  }
}

export interface Folder<T> {
  /** What is open; opens it first where needed. Throws `LOG_UNAVAILABLE` when it cannot be opened. */
  current(): Promise<T>
  /** Runs `act` on what is open, and again on a fresh one as often as it rejects with `OutdatedError`, within bounds. */
  use<R>(act: (environment: T) => Promise<R>): Promise<R>
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
  open: (path: string) => Promise<T>,
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
      held = { environment: await open(path), identity: identityOf(path) }
      return held.environment
    } catch (cause) {
      throw new LogError('LOG_UNAVAILABLE', `The log in ${path} cannot be opened`, { cause })
    }
  }

  const current = async (): Promise<T> => opened() ?? inTurn(reopen)

  return {
    current,
    use(act) {
      let environment: T
      return untilNewest(
        async () => {
          environment = await current()
          return act(environment)
        },
        () =>
          inTurn(async () => {
            if (held?.environment === environment) await shut()
          }),
      )
    },
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
