/** How roles that only have to be soon yield the processor to the one that callers wait for. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** By a lower priority, or by running only while nothing else wants the processor. */
export type Yielding = 'nice' | 'idle'

/** As `nice` does by default. */
const BACKGROUND_PRIORITY = 10

/**
 * Gives a process that has just been started the priority of `nice`, with the threads that Linux has let it make by then;
 * each later one inherits it from the one that makes it. Going up again may not be allowed.
 */
export function yieldProcessor(pid: number): void {
  const priority = Math.max(getPriority(), BACKGROUND_PRIORITY)
  setPriority(pid, priority)
  if (process.platform !== 'linux') return
  for (const thread of readdirSync(`/proc/${pid}/task`))
    try {
      setPriority(Number(thread), priority)
    } catch {
      // It has ended, perhaps with its process, whose death is told elsewhere.
    }
}

/** Of util-linux; what it starts has its process id, and its policy from the first thread on. */
const IDLE_COMMAND = ['chrt', '-i', '0'] as const

/**
 * How `fork` starts a process of Linux's policy for what is idle (sched(7), SCHED_IDLE): whoever wakes up displaces it at
 * once, and not only when its slice has ended.
 */
export function idleExecution(execArgv: readonly string[]): { execPath: string; execArgv: string[] } {
  const [execPath, ...options] = IDLE_COMMAND
  return { execPath, execArgv: [...options, process.execPath, ...execArgv] }
}

/** This machine cannot run what `limiter.precedence: idle` asks for. */
class PrecedenceError extends Error {
  readonly code = 'PRECEDENCE'

  constructor(reason: string) {
    super(
      `limiter.precedence: idle is not to be had here: ${reason}. It needs Linux, the command chrt (of util-linux) and ` +
        'the right to use it. Leave the key out for the lower priority that is the default.',
    )
    this.name = 'PrecedenceError'
  }
}

/** Throws `PrecedenceError` where processes cannot be started so. */
export function ensureIdle(): void {
  const [command, ...options] = IDLE_COMMAND
  const { error, status, stderr } = spawnSync(command, [...options, 'true'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new PrecedenceError(error?.message ?? stderr.trim())
}
