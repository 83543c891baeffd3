/**
 * Bounds of the JavaScript engine for the processes that calls pass through. By default it sizes its heap by the memory of
 * the machine, and lets garbage fill it: a collector that holds 50 MiB would take half a gigabyte at full speed.
 */
import { execPath, execve } from 'node:process'

const FLAGS = [
  // Of each half of what was just made: more is faster, and is all in use at full speed.
  '--max-semi-space-size=8',
  // What is old is collected when it has grown to this many MiB, and later when it has grown by this many percent.
  '--initial-old-space-size=64',
  '--heap-growing-percent=70',
  // Bodies and queues are bounded far below it; a process that needs more dies of it, and is started again.
  '--max-old-space-size=256',
]

/** For the process that runs these arguments of the CLI. */
export function engineFlags([command, role]: readonly string[]): readonly string[] {
  return command === 'import' || (command === 'serve' && role === 'collector') ? FLAGS : []
}

/** Most flags hold from the beginning of a process only: one that was started without them becomes one with them. */
export function ensureEngineFlags(args: readonly string[]): void {
  const missing = engineFlags(args).filter(flag => !process.execArgv.includes(flag))
  if (missing.length === 0 || execve === undefined) return
  const [, script = ''] = process.argv
  execve(execPath, [execPath, ...process.execArgv, ...missing, script, ...args])
}
