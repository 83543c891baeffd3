/** How a process ends: on a signal, when its supervisor is gone, or on a bug; in reverse order of its beginning, within a deadline. */
import type { Logger } from 'pino'

/** Longest clean stop; what is not done by then is cut off, as a kill would, and the next start recovers it. */
export const STOP_DEADLINE_MS = 10_000
/** npm hands on the Ctrl-C that the terminal has sent to all of its processes already: within so long, two are one. */
const ECHO_MS = 1_000

interface Closer {
  name: string
  close: () => Promise<void> | void
}

export interface Lifecycle {
  /** Has `close` called at the end, before everything that was registered earlier; at once when the end has begun. */
  onStop(name: string, close: () => Promise<void> | void): void
  /** Begins the end; calls after the first change nothing. */
  stop(reason: string): void
  /** Resolves with the exit code when everything has closed, or the deadline has passed. */
  stopped: Promise<number>
}

/** What a lifecycle listens to and ends: the process, or a test's own. */
export interface LifecycleProcess {
  on(event: string, listener: (reason: unknown) => void): unknown
  exit(code: number): void
  /** Set when another process of ours started this one. */
  connected?: boolean
}

export function createLifecycle(options: { log: Logger; process: LifecycleProcess; deadlineMs?: number }): Lifecycle {
  const { log, process: own, deadlineMs = STOP_DEADLINE_MS } = options
  const closers: Closer[] = []
  const { promise: stopped, resolve: finish } = Promise.withResolvers<number>()
  let isStopping = false
  let interruptedAtMs = Number.NEGATIVE_INFINITY

  const closeOne = async ({ name, close }: Closer): Promise<boolean> => {
    try {
      await close()
      return true
    } catch (error) {
      log.error({ err: error, closing: name }, 'a part did not close cleanly')
      return false
    }
  }
  const closeAll = async () => {
    let isClean = true
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      isClean = (await closeOne(closer)) && isClean
    }
    return isClean ? 0 : 1
  }
  const stop = (reason: string) => {
    if (isStopping) return
    isStopping = true
    log.info({ reason }, 'stopping')
    const deadline = setTimeout(() => {
      log.error({ deadlineMs }, 'the stop took too long and is cut off')
      own.exit(1)
    }, deadlineMs)
    void closeAll().then(exitCode => {
      clearTimeout(deadline)
      log.info('stopped')
      finish(exitCode)
    })
  }
  const die = (error: unknown) => {
    log.fatal({ err: error }, 'a bug: the process ends and starts again')
    own.exit(1)
  }

  // May come twice: from whoever signals the whole group, and from the supervisor.
  own.on('SIGTERM', () => stop('SIGTERM'))
  // Ctrl-C reaches every process of a terminal; a supervised one is stopped by its supervisor, in order.
  own.on('SIGINT', () => {
    if (own.connected === true) return
    const isEcho = performance.now() - interruptedAtMs < ECHO_MS
    interruptedAtMs = performance.now()
    if (!isStopping) stop('SIGINT')
    else if (!isEcho) own.exit(1)
  })
  own.on('disconnect', () => stop('the supervisor is gone'))
  own.on('uncaughtException', die)
  own.on('unhandledRejection', reason => {
    if (!isToldElsewhere(reason)) die(reason)
  })

  return {
    onStop(name, close) {
      if (isStopping) void closeOne({ name, close })
      else closers.push({ name, close })
    },
    stop,
    stopped,
  }
}

/**
 * A commit of LMDB that failed, as where the disk is full. lmdb tells it to whoever wrote, which is all that is to be done,
 * and to a promise of its own that nobody can have.
 */
const isToldElsewhere = (reason: unknown) => reason instanceof Error && 'commitError' in reason
