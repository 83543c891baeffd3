/**
 * The child process that is the embedded store. `libchdb.so` holds ClickHouse's own HTTP server, which its npm package
 * does not reach; the exported function `chdb_query_cmdline` does (`SYSTEM START LISTEN HTTP`). It runs in a thread of
 * its own, so this thread stays free for the parent's death and for signals.
 *
 * Arguments: the data folder, the host, the port. Standard input ends when the engine shall stop; the IPC channel ends
 * when the parent has died.
 */
import { closeSync, openSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Nicer than the limiter: decisions come first. */
const NICENESS = 10
/** An engine whose parent was killed needs a moment until it is gone. */
const LOCK_WAIT_MS = 10_000
const LOCK_POLL_MS = 50
const LOCK_EX_NB = 2 | 4

/** What the child tells its parent before it exits. */
export interface EngineFailure {
  code: 'STORE_LOCKED' | 'STORE_UNSUPPORTED'
  message: string
}

// First of all: threads inherit the niceness of the thread that makes them. Who started us nicer still meant it, and only
// root could undo it.
setPriority(Math.max(getPriority(), NICENESS))
// Nothing that was acknowledged is lost by a kill, so the quickest end is the right one when nobody needs us any more.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
// Ctrl-C reaches all processes of a terminal, and those who still write to the store end first. In a process group of its
// own the engine would not hear it, but in a session of its own its niceness would count for nothing (sched(7), autogroup).
process.on('SIGINT', () => undefined)
const [dir = '', host = '', port = ''] = process.argv.slice(2)
await runEngine()

async function runEngine(): Promise<void> {
  const library = await loadLibrary()
  // Two engines on one folder crash; the kernel drops this lock whatever becomes of us.
  const lock = openSync(join(dir, 'engine.lock'), 'a', 0o600)
  const deadlineMs = performance.now() + LOCK_WAIT_MS
  while (!library.tryLock(lock)) {
    if (performance.now() > deadlineMs) await fail('STORE_LOCKED', `another engine uses ${dir}`)
    await sleep(LOCK_POLL_MS)
  }
  const error = await library.run([
    'clickhouse',
    `--path=${join(dir, 'engine')}`,
    `--config-file=${join(dir, 'config.xml')}`,
    `--listen_host=${host}`,
    `--http_port=${port}`,
    // A level in the file does not hold, and without one every step of every query is logged: some 10 MiB a minute.
    '--log-level=warning',
    // The format of this command line becomes the default of the HTTP interface.
    '--output-format=TabSeparated',
    // Counting the lines of standard input lasts until the parent closes it.
    "--query=SYSTEM START LISTEN HTTP; SELECT count() FROM file('stdin', 'LineAsString', 'line String') FORMAT Null",
  ])
  closeSync(lock)
  if (error !== '') process.stderr.write(`${error}\n`)
  process.exit(error === '' ? 0 : 1)
}

async function loadLibrary() {
  try {
    const { DataType, load, open } = await import('ffi-rs')
    const { resolveLibchdb } = await import('chdb/libchdb')
    open({ library: 'libc', path: '' })
    open({ library: 'chdb', path: resolveLibchdb().path })
    const tryLock = (fd: number): boolean =>
      load({
        library: 'libc',
        funcName: 'flock',
        retType: DataType.I32,
        paramsType: [DataType.I32, DataType.I32],
        paramsValue: [fd, LOCK_EX_NB],
      }) === 0
    const run = async (commandLine: string[]): Promise<string> => {
      const result = await load({
        library: 'chdb',
        funcName: 'chdb_query_cmdline',
        retType: DataType.External,
        paramsType: [DataType.I32, DataType.StringArray],
        paramsValue: [commandLine.length, commandLine],
        runInNewThread: true,
      })
      return load({
        library: 'chdb',
        funcName: 'chdb_result_error',
        retType: DataType.String,
        paramsType: [DataType.External],
        paramsValue: [result],
      })
    }
    return { tryLock, run }
  } catch (error) {
    return await fail(
      'STORE_UNSUPPORTED',
      `The embedded store needs the packages chdb and ffi-rs, which exist for Linux (x64, arm64) and macOS: ${String(error)}`,
    )
  }
}

async function fail(code: EngineFailure['code'], message: string): Promise<never> {
  const failure: EngineFailure = { code, message }
  await new Promise<void>(resolve => {
    if (process.send === undefined) resolve()
    else process.send(failure, () => resolve())
  })
  process.exit(1)
}
