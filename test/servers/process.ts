import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'

const STOP_DEADLINE_MS = 20_000

export interface ServerProcess {
  pid: number
  /** Null while it runs. */
  ended(): string | null
  signal(name: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after a deadline; resolves when it is gone. */
  stop(): Promise<void>
  kill(): Promise<void>
}

/** Starts a server with its output in a file; it does not outlive this process, not even when that is killed. */
export function startProcess(
  command: string,
  args: readonly string[],
  options: { cwd: string; logFile: string },
): ServerProcess {
  const child: ChildProcess = spawn(command, args, { cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = createWriteStream(options.logFile, { flags: 'a' })
  child.stdout?.pipe(output, { end: false })
  child.stderr?.pipe(output, { end: false })
  // Its last words may come after its exit.
  child.once('close', () => output.end())
  const watch = child.pid === undefined ? null : killWithUs(child.pid)
  let ended: string | null = null
  const gone = new Promise<void>(resolve => {
    child.once('exit', (code, signal) => {
      watch?.kill('SIGKILL')
      ended = signal ?? `exit code ${code}`
      resolve()
    })
    child.once('error', error => {
      ended = error.message
      resolve()
    })
  })
  return {
    pid: child.pid ?? 0,
    ended: () => ended,
    signal: name => child.kill(name),
    async stop() {
      child.kill('SIGTERM')
      // A stopped process cannot handle SIGTERM.
      child.kill('SIGCONT')
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      await gone
      clearTimeout(late)
    },
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** A process that kills the other when this one is gone: the end of a pipe is all that a killed process still tells. */
function killWithUs(pid: number): ChildProcess {
  const watch = spawn('sh', ['-c', 'read _; kill -9 "$0"', String(pid)], { stdio: ['pipe', 'ignore', 'ignore'] })
  watch.unref()
  return watch
}
