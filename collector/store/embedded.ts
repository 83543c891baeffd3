/**
 * Starts the embedded store and watches over it: the engine is a child process of the store role (`engine.ts`), started
 * again with a back-off whenever it dies. Its interface is ClickHouse's own HTTP; nobody but this file and its child
 * knows that the engine is not a server.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { openCredentials, type StoreCredentials } from './credentials.ts'
import type { EngineFailure } from './engine.ts'
import { toServerXml, toUsersXml } from './engine-config.ts'
import { type EmbeddedStoreOptions, storeUrl } from './open.ts'
import { StoreError } from './store-error.ts'

/** From the child's start until it serves; after kill -9 it first reads its parts again. */
const START_MS_MAX = 120_000
const START_POLL_MS = 25
const PING_MS_MAX = 2_000
/** How often a running engine has to prove that it still answers queries, and how long an answer may take. */
const PROBE_EVERY_MS = 2_000
const PROBE_MS_MAX = 4_000
/** One that missed so many in turn, which takes one to two minutes, is killed: it comes back as after any kill -9. */
const PROBES_MISSED_MAX = 30
/** After SIGTERM an engine is gone in 20 ms; one that is not is killed. */
const STOP_MS_MAX = 10_000
const BACKOFF_MS_MIN = 200
const BACKOFF_MS_MAX = 10_000
/** An engine that served this long had a good start: the back-off begins anew. */
const STEADY_MS = 60_000
const STDERR_CHARACTERS_MAX = 4_000

export interface EmbeddedStore {
  url: string
  /** Why the store does not serve now, or `null`. */
  readiness(): string | null
  /** Process id of the engine, or `null` while there is none. */
  pid(): number | null
  /** Stops the engine; what it acknowledged is on disk. */
  stop(): Promise<void>
}

interface Engine {
  child: ChildProcess
  /** Resolves with the reason when the process is gone. */
  gone: Promise<StoreError>
}

/**
 * Resolves when the engine serves and has passed its self-test. Throws `STORE_UNSUPPORTED` when the platform has no
 * engine, `STORE_LOCKED` when another one uses the folder, `STORE_UNAVAILABLE` when it does not come up.
 */
export const startEmbeddedStore = async (
  options: EmbeddedStoreOptions,
  deps: { dir: string; log: Logger; probesMissedMax?: number },
): Promise<EmbeddedStore> => {
  const { dir, log, probesMissedMax = PROBES_MISSED_MAX } = deps
  const credentials = await writeConfiguration(options, dir)
  const url = storeUrl(options)
  let engine = await startEngine(options, url, dir, credentials)
  let reason: string | null = null
  const stopping = new AbortController()
  log.info({ url, pid: engine.child.pid }, 'store started')

  const watch = async (): Promise<void> => {
    let backoffMs = BACKOFF_MS_MIN
    for (;;) {
      const startedAtMs = performance.now()
      const error = await engine.gone
      if (stopping.signal.aborted) return
      if (performance.now() - startedAtMs > STEADY_MS) backoffMs = BACKOFF_MS_MIN
      for (let cause: unknown = error; ; backoffMs = Math.min(2 * backoffMs, BACKOFF_MS_MAX)) {
        reason = `the engine died and is being started again: ${messageOf(cause)}`
        log.error({ err: cause, backoffMs }, 'store died')
        await sleep(backoffMs, undefined, { signal: stopping.signal }).catch(() => undefined)
        if (stopping.signal.aborted) return
        try {
          engine = await startEngine(options, url, dir, credentials, stopping.signal)
          break
        } catch (startError) {
          if (stopping.signal.aborted) return
          cause = startError
        }
      }
      reason = null
      log.info({ url, pid: engine.child.pid }, 'store started again')
    }
  }
  const watching = watch()
  const probing = startProbing(url, credentials, missed => {
    if (missed % probesMissedMax !== 0 || !isRunning(engine.child)) return
    log.error({ missed }, 'the engine hangs and is killed')
    engine.child.kill('SIGKILL')
  })
  return {
    url,
    readiness: () => reason ?? probing.silence(),
    pid: () => (isRunning(engine.child) ? (engine.child.pid ?? null) : null),
    stop: async () => {
      stopping.abort()
      probing.stop()
      await stopEngine(engine)
      await watching
      reason = 'the store was stopped'
      log.info('store stopped')
    },
  }
}

const writeConfiguration = async (options: EmbeddedStoreOptions, dir: string): Promise<StoreCredentials> => {
  await mkdir(join(dir, 'engine'), { recursive: true, mode: 0o700 })
  const credentials = await openCredentials(dir)
  const usersFile = join(dir, 'users.xml')
  await writeFile(usersFile, toUsersXml(options, credentials), { mode: 0o600 })
  const serverXml = toServerXml(options, { usersFile, logFile: join(dir, 'engine.log') })
  await writeFile(join(dir, 'config.xml'), serverXml, { mode: 0o600 })
  return credentials
}

const startEngine = async (
  options: EmbeddedStoreOptions,
  url: string,
  dir: string,
  credentials: StoreCredentials,
  signal?: AbortSignal,
): Promise<Engine> => {
  await assertPortIsFree(options)
  const child = fork(join(import.meta.dirname, 'engine.ts'), [dir, options.host, String(options.port)], {
    execArgv: [],
    // Nothing of our environment, secrets among it, is the engine's business.
    env: { TZ: 'UTC' },
    stdio: ['pipe', 'ignore', 'pipe', 'ipc'],
  })
  const engine: Engine = { child, gone: whenGone(child) }
  let died: StoreError | null = null
  void engine.gone.then(error => {
    died = error
  })
  const deadlineMs = performance.now() + START_MS_MAX
  try {
    while (!(await isServing(url, credentials))) {
      if (died !== null) throw died
      if (performance.now() > deadlineMs) {
        throw new StoreError('STORE_UNAVAILABLE', `the engine did not serve within ${START_MS_MAX / 1000} s`)
      }
      await sleep(START_POLL_MS, undefined, signal === undefined ? {} : { signal })
    }
  } catch (error) {
    await stopEngine(engine)
    throw error
  }
  return engine
}

/** An engine that cannot listen crashes without a word of the port. Throws `STORE_UNAVAILABLE`. */
const assertPortIsFree = async ({ host, port }: EmbeddedStoreOptions): Promise<void> => {
  const server = createServer()
  try {
    await once(server.listen(port, host), 'listening')
  } catch (cause) {
    throw new StoreError(
      'STORE_UNAVAILABLE',
      `the store cannot listen on ${host}:${port} (${messageOf(cause)}): stop what does, or set another \`store.port\``,
      { cause },
    )
  }
  await new Promise(resolve => server.close(resolve))
}

const whenGone = (child: ChildProcess): Promise<StoreError> => {
  let failure: EngineFailure | null = null
  let stderr = ''
  child.on('message', message => {
    failure = message as EngineFailure
  })
  child.stderr?.setEncoding('utf8').on('data', text => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX)
  })
  return new Promise(resolve => {
    child.once('error', cause => resolve(new StoreError('STORE_UNAVAILABLE', 'the engine did not start', { cause })))
    // `close` comes after the last of stderr and of the messages.
    child.once('close', (code, signal) => {
      const said = stderr.trim()
      if (failure !== null) resolve(new StoreError(failure.code, failure.message))
      else
        resolve(
          new StoreError('STORE_UNAVAILABLE', `the engine ended (${signal ?? `exit ${code}`})${said && `: ${said}`}`),
        )
    })
  })
}

const stopEngine = async ({ child, gone }: Engine): Promise<void> => {
  if (isRunning(child)) {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
    await exited
    clearTimeout(timer)
  }
  await gone
}

const isRunning = (child: ChildProcess) =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

/** An engine that hangs does not die: it is asked for an answer again and again. */
const startProbing = (url: string, credentials: StoreCredentials, onMissed: (inTurn: number) => void) => {
  let silence: string | null = null
  let missed = 0
  let isAsking = false
  const probe = async (): Promise<void> => {
    if (isAsking) return
    isAsking = true
    try {
      await ask(url, 'SELECT 1', credentials.quotacast, PROBE_MS_MAX)
      silence = null
      missed = 0
    } catch (error) {
      silence = `the engine does not answer: ${messageOf(error)}`
      missed += 1
      onMissed(missed)
    }
    isAsking = false
  }
  const timer = setInterval(() => void probe(), PROBE_EVERY_MS)
  return { silence: () => silence, stop: () => clearInterval(timer) }
}

/** An answer that is late is none yet. Throws `STORE_UNSUPPORTED` when one is not what we rely on. */
const isServing = async (url: string, credentials: StoreCredentials): Promise<boolean> => {
  try {
    const response = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(PING_MS_MAX) })
    if (response.ok) await testEngine(url, credentials)
    return response.ok
  } catch (error) {
    if (error instanceof StoreError) throw error
    return false
  }
}

/** The function that runs the engine is no public interface of chdb, so we look whether it does what we rely on. */
const testEngine = async (url: string, credentials: StoreCredentials): Promise<void> => {
  const known = await ask(url, "SELECT 'self', 'test'", credentials.quotacast, PING_MS_MAX)
  if (!known.ok || known.text !== 'self\ttest\n') {
    throw new StoreError('STORE_UNSUPPORTED', `what serves at ${url} is not our engine: ${known.text.slice(0, 200)}`)
  }
  const unknown = await ask(url, 'SELECT 1', null, PING_MS_MAX)
  if (unknown.ok) throw new StoreError('STORE_UNSUPPORTED', 'the engine answers without a password')
}

/** Asks as the user `quotacast`, or as nobody. Throws when there is no answer in time. */
const ask = async (url: string, query: string, password: string | null, msMax: number) => {
  const response = await fetch(`${url}/?query=${encodeURIComponent(query)}`, {
    headers: password === null ? {} : { 'X-ClickHouse-User': 'quotacast', 'X-ClickHouse-Key': password },
    signal: AbortSignal.timeout(msMax),
  })
  return { ok: response.ok, text: await response.text() }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
