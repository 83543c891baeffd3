/** The whole product as a user runs it: `quotacast up` on free ports over a folder of its own, and the means to hurt it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import { stringify } from 'yaml'
import { childrenOf } from '../bench/machine.ts'
import { freePorts } from '../free-ports.ts'
import { isWell } from '../is-well.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const MAIN = join(REPOSITORY, 'deploy/main.ts')
const START_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 30_000
const POLL_MS = 100

const ROLES = ['store', 'collector', 'limiter', 'analyzer'] as const
type Role = (typeof ROLES)[number]

interface Answer {
  status: number
  headers: Headers
  // Tests read many shapes; each asserts what it needs.
  // biome-ignore lint/suspicious/noExplicitAny: the assertions are the types here
  body: any
}

export interface Quotacast {
  dir: string
  urls: Record<Role, string>
  /** Of the collector. */
  grpcPort: number
  /** Port of the limiter's gRPC doors. */
  limiterGrpcPort: number
  /** Health addresses, all roles. */
  health: Record<Role, string>
  token: string
  /** What the supervisor printed so far. */
  output(): string
  pid(): number
  /** Process ids of a role: the supervisor's child and what it started itself. */
  rolePids(role: Role): number[]
  /** kill -9 of a role's process, or of the store's engine; false when it is not running just now. */
  kill(role: Role, part?: 'role' | 'engine'): boolean
  ready(roles?: readonly Role[]): Promise<void>
  get(role: Role, path: string, headers?: Record<string, string>): Promise<Answer>
  post(role: Role, path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  /** One row of an SQL query on the embedded store. */
  query<T>(sql: string): Promise<T[]>
  /** Runs the CLI over the same folder. */
  cli(
    args: readonly string[],
    onSpawn?: (child: ChildProcess) => void,
  ): Promise<{ code: number | null; stdout: string; stderr: string }>
  stop(): Promise<void>
  /** kill -9 of the supervisor and of every role. */
  killAll(): Promise<void>
  start(): Promise<void>
  /** Runs one role alone, without the supervisor. */
  serve(role: Role): Promise<{ stop(): Promise<void> }>
  remove(): void
}

export function runCli(args: readonly string[], onSpawn?: (child: ChildProcess) => void, input = '') {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: REPOSITORY, stdio: ['pipe', 'pipe', 'pipe'] })
  // A command that reads nothing may be gone before it is written.
  child.stdin.on('error', () => undefined).end(input)
  onSpawn?.(child)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', chunk => {
    stdout += chunk
  })
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  return new Promise<{ code: number | null; stdout: string; stderr: string }>(resolve =>
    child.once('close', code => resolve({ code, stdout, stderr })),
  )
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function until(claim: () => boolean | Promise<boolean>, deadlineMs: number, what: () => string): Promise<void> {
  const endMs = Date.now() + deadlineMs
  while (!(await claim())) {
    if (Date.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what()}`)
    await sleep(POLL_MS)
  }
}

async function terminate(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
  await exited
  clearTimeout(late)
}

/** Prepares a folder and a config over free ports; `start()` runs it. */
export async function prepareQuotacast(config: Record<string, unknown> = {}): Promise<Quotacast> {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-e2e-'))
  const dataDir = join(dir, 'data')
  const configFile = join(dir, 'quotacast.yaml')
  const [store, storeHealth, collector, grpc = 0, limiter, limiterGrpc, analyzer] = await freePorts(7)
  const section = (name: string) => (config[name] ?? {}) as Record<string, unknown>
  const limiterGrpcSection = (section('limiter').grpc ?? {}) as Record<string, unknown>
  const whole = {
    ...config,
    store: { kind: 'embedded', port: store, healthPort: storeHealth, ...section('store') },
    collector: { port: collector, grpc: { port: grpc }, ...section('collector') },
    limiter: { port: limiter, ...section('limiter'), grpc: { port: limiterGrpc, ...limiterGrpcSection } },
    analyzer: { port: analyzer, ...section('analyzer') },
  }
  writeFileSync(configFile, stringify(whole))
  const at = (port: number | undefined) => `http://127.0.0.1:${port}`
  const urls = { store: at(store), collector: at(collector), limiter: at(limiter), analyzer: at(analyzer) }
  const health = { ...urls, store: at(storeHealth) }

  let child: ChildProcess | null = null
  let printed = ''
  const supervisorPid = () => {
    if (child?.pid === undefined) throw new Error('quotacast is not running')
    return child.pid
  }
  const rolePids = (role: Role) => {
    const own = childrenOf(supervisorPid()).filter(process => process.command.includes(`serve ${role}`))
    return own.flatMap(process => [process.pid, ...childrenOf(process.pid).map(grandchild => grandchild.pid)])
  }
  const run = (...command: string[]) => {
    const started = spawn(process.execPath, [MAIN, ...command, '--config', configFile, '--data', dataDir], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [started.stdout, started.stderr]) {
      stream.on('data', chunk => {
        printed += chunk
      })
    }
    return started
  }
  const token = () => readFileSync(join(dataDir, 'token'), 'utf8').trim()

  const request = async (
    role: Role,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const raw = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(`${health[role]}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token()}`,
        ...(body !== undefined && !raw ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  const quotacast: Quotacast = {
    dir: dataDir,
    urls,
    grpcPort: grpc,
    limiterGrpcPort: limiterGrpc ?? 0,
    health,
    get token() {
      return token()
    },
    output: () => printed,
    pid: supervisorPid,
    rolePids,
    kill(role, part = 'role') {
      const pids = rolePids(role)
      const pid = part === 'engine' ? pids[1] : pids[0]
      return pid !== undefined && process.kill(pid, 'SIGKILL')
    },
    async ready(roles = ROLES) {
      for (const role of roles) {
        await until(
          () => isWell(health[role]),
          START_DEADLINE_MS,
          () => `${role} ready\n${printed}`,
        )
      }
    },
    get: (role, path, headers) => request(role, 'GET', path, undefined, headers),
    post: (role, path, body, headers) => request(role, 'POST', path, body, headers),
    async query<T>(sql: string) {
      const credentials = JSON.parse(readFileSync(join(dataDir, 'store', 'credentials.json'), 'utf8'))
      const client = createClient({
        url: urls.store,
        username: 'quotacast',
        password: credentials.quotacast,
        database: 'quotacast',
      })
      try {
        const result = await client.query({
          query: sql,
          format: 'JSONEachRow',
          clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
        })
        return await result.json<T>()
      } finally {
        await client.close()
      }
    },
    cli: (args, onSpawn) => runCli([...args, '--config', configFile, '--data', dataDir], onSpawn),
    async start() {
      printed = ''
      child = run('up')
    },
    async serve(role) {
      const alone = run('serve', role)
      return { stop: () => terminate(alone) }
    },
    async stop() {
      if (child === null) return
      const stopping = child
      child = null
      await terminate(stopping)
    },
    async killAll() {
      const pids = [...ROLES.flatMap(rolePids), supervisorPid()]
      // The supervisor first: it would start the others again.
      for (const pid of pids.toReversed()) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      child = null
      await until(
        () => !pids.some(isAlive),
        STOP_DEADLINE_MS,
        () => 'every process gone',
      )
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
  return quotacast
}

/** Prepared, started and ready, or nothing is left of it. */
export async function startQuotacast(config?: Record<string, unknown>): Promise<Quotacast> {
  const quotacast = await prepareQuotacast(config)
  await quotacast.start()
  try {
    await quotacast.ready()
  } catch (error) {
    await quotacast.stop()
    quotacast.remove()
    throw error
  }
  return quotacast
}
