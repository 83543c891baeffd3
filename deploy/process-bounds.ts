/**
 * Bounds of memory for the processes that calls pass through, less garbage for the one that follows very many subjects,
 * and bounded helper threads for all roles. By default the JavaScript engine sizes its heap by the memory of the machine,
 * and lets garbage fill it: a collector that holds 50 MiB would take half a gigabyte at full speed.
 */
import { availableParallelism } from 'node:os'
import { environmentWith } from './config.ts'

const COLLECTING_FLAGS = [
  // Of each half of what was just made, in MiB: more is faster, and is all in use at full speed.
  '--max-semi-space-size=8',
  // What is old is collected when it has grown to this many MiB, and later when it has grown by this many percent.
  '--initial-old-space-size=32',
  '--heap-growing-percent=20',
  // And after a large body.
  '--expose-gc',
  // Bodies and queues are bounded far below it; a process that needs more dies of it, and is started again.
  '--max-old-space-size=256',
]

/** What an analyzer holds grows with its subjects, so its heap has no bound of its own; its garbage stays a small part. */
const ANALYZING_FLAGS = [
  '--max-semi-space-size=8',
  // From the beginning: from a smaller one what is just read would go to what is old, and all of that be collected again.
  '--min-semi-space-size=8',
  '--heap-growing-percent=10',
]

/** Node's own number, whatever the machine has. */
const HELPER_THREADS_MAX = 4

/**
 * Threads that collect garbage beside the main one. More than there are other processors would displace whoever decides
 * meanwhile, the engine's own main thread among them.
 */
const HELPER_THREADS_FLAG = `--v8-pool-size=${Math.min(HELPER_THREADS_MAX, Math.max(1, availableParallelism() - 1))}`

/**
 * Of glibc, whose heaps would keep what large bodies and blocks took: these get pages of their own, which are given back,
 * and threads share two heaps.
 */
const ALLOCATION = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '262144', MALLOC_TRIM_THRESHOLD_: '1048576' }

function heapFlagsOf([command, role]: readonly string[]): readonly string[] {
  if (command === 'import' || (command === 'serve' && role === 'collector')) return COLLECTING_FLAGS
  return command === 'serve' && role === 'analyzer' ? ANALYZING_FLAGS : []
}

/** Flags and environment of the process that runs these arguments of the CLI. */
export function boundsOf(args: readonly string[]) {
  const heapFlags = heapFlagsOf(args)
  const execArgv = args[0] === 'serve' ? [...heapFlags, HELPER_THREADS_FLAG] : [...heapFlags]
  return { execArgv, env: environmentWith(heapFlags.length > 0 ? ALLOCATION : {}) }
}

/** They hold from the beginning of a process only: one that was started without them becomes one with them. */
export function ensureBounds(args: readonly string[]): void {
  const { execArgv, env } = boundsOf(args)
  const missing = execArgv.filter(flag => !process.execArgv.includes(flag))
  if (missing.length === 0 || process.execve === undefined) return
  const [, script = ''] = process.argv
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...missing, script, ...args], env)
}
