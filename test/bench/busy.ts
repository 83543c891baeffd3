/** What the check's latency becomes: while records come in as fast as they can, with very many buckets, on more processes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Quotacast, startQuotacast } from '../e2e/quotacast.ts'
import { ON_REDIS, type StartedWorld } from '../e2e/world.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { CONSUMERS, checks, QUOTAS } from './check.ts'
import { type Load, measureLoad, mediansInTurns, ROUNDS, untilIdle } from './load.ts'
import { fixed, printTable, thousands } from './table.ts'

const CONNECTIONS = 16
const SECONDS = 8
/** Few enough for what is left of a machine that also stores records. */
const RATE_PER_SECOND = 1_000
/** More than can be stored while it is measured. */
const INGEST_RECORDS = 2_000_000
const INGEST_BATCH = 500
const INGEST_IN_FLIGHT = 8
const LIVE_BUCKETS = 1_000_000
const CALLS_PER_REQUEST = 100
const FILLING_CONNECTIONS = 4
const PROCESSES = [1, 2] as const

type Row = readonly [name: string, load: Load]

async function steady({ urls, token, rolePids }: Quotacast): Promise<Load> {
  const asked = { url: urls.limiter, pids: rolePids('limiter'), requests: checks(token), connections: CONNECTIONS }
  const [load] = await mediansInTurns(
    [() => measureLoad({ ...asked, seconds: SECONDS, rate: RATE_PER_SECOND })],
    'p99Ms',
  )
  if (load === undefined) throw new Error('there are rounds')
  return load
}

async function withQuotacast<T>(
  config: Record<string, unknown>,
  use: (quotacast: Quotacast) => Promise<T>,
): Promise<T> {
  const quotacast = await startQuotacast({ ...config, quotas: QUOTAS })
  try {
    return await use(quotacast)
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}

async function duringIngest(quotacast: Quotacast): Promise<Load> {
  const script = new URL('send-calls.ts', import.meta.url).pathname
  const sizes = [INGEST_RECORDS, INGEST_BATCH, INGEST_IN_FLIGHT].map(String)
  const sender = spawn(process.execPath, [script, quotacast.urls.collector, quotacast.token, ...sizes], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    // It says when it has begun.
    await once(sender.stdout, 'data')
    return await steady(quotacast)
  } finally {
    sender.kill('SIGKILL')
  }
}

/** One check for each of so many consumers. */
async function fill(quotacast: Quotacast): Promise<void> {
  let next = 0
  const send = async () => {
    for (let from = next; from < LIVE_BUCKETS; from = next) {
      next += CALLS_PER_REQUEST
      const calls = Array.from({ length: CALLS_PER_REQUEST }, (_, index) => ({
        tenant: 'filler',
        consumer: `filler-${from + index}`,
        cost: { requests: 1 },
      }))
      const answer = await fetch(`${quotacast.urls.limiter}/v1/check`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${quotacast.token}` },
        body: JSON.stringify(calls),
      })
      await answer.arrayBuffer()
    }
  }
  await Promise.all(Array.from({ length: FILLING_CONNECTIONS }, send))
}

/** At full load, by the number of processes that share one Redis. */
async function onProcesses({ config }: StartedWorld, processes: number): Promise<Row> {
  const limiter = { ...(config.limiter ?? {}), processes }
  const load = await withQuotacast({ ...config, limiter }, quotacast => {
    const requests = checks(quotacast.token)
    const pids = quotacast.rolePids('limiter')
    return measureLoad({ url: quotacast.urls.limiter, pids, requests, connections: 4 * CONNECTIONS, seconds: SECONDS })
  })
  return [`${ON_REDIS.name}, ${processes} ${processes === 1 ? 'process' : 'processes'}, full load`, load]
}

/** `npm run bench -- busy` */
export async function benchBusy(): Promise<void> {
  process.stdout.write(
    `Checks on a busy machine: ${thousands(CONSUMERS)} consumers, three quotas each, ${thousands(RATE_PER_SECOND)} checks a second over ${CONNECTIONS} connections unless said otherwise, of ${ROUNDS} rounds the one with the median p99\n\n`,
  )
  const rows: Row[] = await withQuotacast({}, async quotacast => {
    const idle: Row = ['embedded, nothing else', await steady(quotacast)]
    const ingest: Row = ['embedded, during an ingest at full speed', await duringIngest(quotacast)]
    return [idle, ingest]
  })
  const crowded = await withQuotacast({}, async quotacast => {
    await fill(quotacast)
    await untilIdle(quotacast.rolePids('limiter'))
    return steady(quotacast)
  })
  rows.push([`embedded, ${thousands(LIVE_BUCKETS)} live buckets`, crowded])
  const missing = whatIsMissing(ON_REDIS.checks)
  if (missing !== null) process.stdout.write(`Left out: ${ON_REDIS.name}. ${missing}\n\n`)
  for (const processes of missing === null ? PROCESSES : []) {
    const world = await ON_REDIS.start()
    try {
      rows.push(await onProcesses(world, processes))
    } finally {
      await world.stop()
    }
  }
  printTable(
    ['checks', 'per second', 'p50 ms', 'p99 ms', 'CPU µs each', 'failed'],
    rows.map(([name, { perSecond, p50Ms, p99Ms, cpuMicros, failures }]) => [
      name,
      thousands(perSecond),
      fixed(p50Ms, 1),
      fixed(p99Ms, 1),
      fixed(cpuMicros, 1),
      String(failures),
    ]),
  )
}
