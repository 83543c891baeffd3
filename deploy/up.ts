/**
 * The supervisor of one machine: each role is a process of its own, started again alone when it dies. When the
 * supervisor itself is killed, the roles notice that their channel to it closed and stop.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { STOP_DEADLINE_MS } from './lifecycle.ts'
import { boundsOf } from './process-bounds.ts'

const BACKOFF_MS_MIN = 250
const BACKOFF_MS_MAX = 10_000
/** A role that lived this long had a good start: the back-off begins anew. */
const STEADY_MS = 5_000
/** What a role gets beyond its own deadline before it is killed. */
const KILL_GRACE_MS = 1_000

/** As `nice` does by default. */
const BACKGROUND_PRIORITY = 10

export interface SupervisedRole {
  /** Process id, or `null` between two lives. */
  pid(): number | null
  /** SIGTERM, and SIGKILL after the deadline; resolves when the process is gone for good. */
  stop(): Promise<void>
}

/** Starts `node module …args` and keeps it running until `stop`. */
export function superviseRole(options: {
  name: string
  module: string
  args: readonly string[]
  /** It yields the processor to those who are not. */
  isBackground?: boolean
  /** The processes of its role: what one of them says is handed to the others, or to the one that it names. */
  siblings?: Set<ChildProcess>
  log: Logger
  /** From SIGTERM to SIGKILL. */
  deadlineMs?: number
}): SupervisedRole {
  const { name, module, args, isBackground = false, siblings = new Set(), log } = options
  const { deadlineMs = STOP_DEADLINE_MS + KILL_GRACE_MS } = options
  const stopping = new AbortController()
  let child: ChildProcess | null = null

  const live = async () => {
    let backoffMs = BACKOFF_MS_MIN
    while (!stopping.signal.aborted) {
      const startedAtMs = performance.now()
      child = fork(module, args, { ...boundsOf(args), stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      if (isBackground && child.pid !== undefined) yieldProcessor(child.pid)
      handOn(child, siblings)
      const reason = await endOf(child)
      siblings.delete(child)
      child = null
      if (stopping.signal.aborted) return
      const livedMs = Math.round(performance.now() - startedAtMs)
      if (livedMs > STEADY_MS) backoffMs = BACKOFF_MS_MIN
      // Ctrl-C of the terminal, which reached a role that does not hear it yet: the supervisor is told to stop, too.
      if (reason !== 'signal SIGINT')
        log.error({ died: name, reason, livedMs, backoffMs }, 'a role died and is started again')
      await sleep(backoffMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      backoffMs = Math.min(2 * backoffMs, BACKOFF_MS_MAX)
    }
  }
  const life = live()
  return {
    pid: () => child?.pid ?? null,
    async stop() {
      stopping.abort()
      const last = child
      last?.kill('SIGTERM')
      const kill = setTimeout(() => {
        log.error({ killed: name }, 'a role did not stop in time and is killed')
        last?.kill('SIGKILL')
      }, deadlineMs)
      await life
      clearTimeout(kill)
    },
  }
}

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

/** Without it, what one that has just died does not hear any more would be an error of the supervisor, and its end. */
const isHeardOrNot = () => undefined

function handOn(child: ChildProcess, siblings: Set<ChildProcess>): void {
  siblings.add(child)
  child.on('message', message => {
    const { to } = message as { to?: number }
    for (const other of siblings)
      if (other !== child && other.connected && (to === undefined || to === other.pid))
        other.send(message, isHeardOrNot)
  })
}

async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = await once(child, 'exit')
    return signal === null ? `exit code ${code}` : `signal ${signal}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
