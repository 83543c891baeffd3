import type autocannon from 'autocannon'
import { startQuotacast } from '../e2e/quotacast.ts'
import { EMBEDDED, ON_REDIS, ON_SYNCED_REDIS, type StartedWorld } from '../e2e/world.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { type BareRedis, measureBareRedis } from './bare-redis.ts'
import { type Measured, measureLoad, printLoads, startBare, untilIdle } from './load.ts'
import { fixed, printTable, thousands } from './table.ts'

export const CONSUMERS = 10_000
const CONNECTIONS = 64
const SECONDS = 8

export const QUOTAS = [
  {
    name: 'bench-consumer',
    per: ['tenant', 'consumer'],
    unit: 'requests',
    limit: 1e9,
    window: { kind: 'fixed', everySeconds: 3600 },
  },
  {
    name: 'bench-tenant',
    per: ['tenant'],
    unit: 'total_tokens',
    limit: 1e12,
    window: { kind: 'calendar', every: 'day', timezone: 'UTC' },
  },
  {
    name: 'bench-model',
    per: ['tenant', 'model'],
    unit: 'requests',
    limit: 1e9,
    window: { kind: 'fixed', everySeconds: 60 },
  },
].map(quota => ({ ...quota, match: {}, counts: 'checks', enforcement: 'deny' }))

export const consumerOf = (index: number) => ({ tenant: `tenant-${index % 20}`, consumer: `consumer-${index}` })

export function checks(token: string): autocannon.Request[] {
  return Array.from({ length: CONSUMERS }, (_, index) => ({
    method: 'POST',
    path: '/v1/check',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({
      ...consumerOf(index),
      dimensions: { model: 'gpt-5' },
      cost: { requests: 1, total_tokens: 500 },
    }),
  }))
}

function auths(token: string): autocannon.Request[] {
  return Array.from({ length: CONSUMERS }, (_, index) => ({
    method: 'GET',
    path: '/v1/auth',
    headers: {
      'x-quotacast-token': token,
      'x-quotacast-tenant': consumerOf(index).tenant,
      'x-quotacast-consumer': consumerOf(index).consumer,
      'x-forwarded-method': 'POST',
      'x-forwarded-uri': '/v1/chat/completions',
    },
  }))
}

async function measure(
  name: string,
  server: { url: string; pids: readonly number[] },
  requests: autocannon.Request[],
): Promise<Measured> {
  const load = { ...server, requests, connections: CONNECTIONS, seconds: SECONDS }
  const full = await measureLoad(load)
  return [name, full, await measureLoad({ ...load, rate: full.perSecond / 2 })]
}

/** Both doors of a limiter whose counters are where `world` says; the CPU of the servers it needs counts too. */
async function measureLimiter(
  world: string,
  { config, pids }: Pick<StartedWorld, 'config' | 'pids'>,
): Promise<Measured[]> {
  const quotacast = await startQuotacast({ ...config, quotas: QUOTAS })
  try {
    const { urls, token } = quotacast
    const server = { url: urls.limiter, pids: [...quotacast.rolePids('limiter'), ...Object.values(pids)] }
    // All consumers are new at first.
    await measureLoad({ ...server, requests: checks(token), connections: CONNECTIONS, seconds: 1 })
    await untilIdle([...quotacast.rolePids('analyzer'), ...quotacast.rolePids('limiter')])
    return [
      await measure(`${world}: /v1/check`, server, checks(token)),
      await measure(`${world}: /v1/auth`, server, auths(token)),
    ]
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}

/** ioredis alone, then Quotacast, on the same Redis. */
async function measureOnRedis({ name, start }: typeof ON_REDIS): Promise<{ bare: BareRedis[]; limiter: Measured[] }> {
  const world = await start()
  try {
    const bare = await measureBareRedis(world.config.limits as { url: string }, {
      pid: world.pids.redis ?? 0,
      keys: CONSUMERS,
      inFlight: CONNECTIONS,
    })
    return {
      bare: bare.map(one => ({ ...one, name: `${name}: ${one.name}` })),
      limiter: await measureLimiter(name, world),
    }
  } finally {
    await world.stop()
  }
}

/** `/v1/check` and `/v1/auth` beside servers of the same kind that answer at once, and beside bare commands of Redis. */
export async function benchCheck(): Promise<void> {
  process.stdout.write(
    `Checks: ${thousands(CONSUMERS)} consumers, three quotas match each, ${CONNECTIONS} connections, load generator on the same machine\n\n`,
  )
  const rows: Measured[] = []
  for (const kind of ['http', 'fastify'] as const) {
    const { url, pid, stop } = await startBare(kind)
    const name = kind === 'http' ? 'bare node:http' : 'bare Fastify, JSON'
    rows.push(await measure(name, { url, pids: [pid] }, checks('none')))
    stop()
  }
  rows.push(...(await measureLimiter(EMBEDDED.name, { config: {}, pids: {} })))
  const bareCpu = rows[1]?.[1].cpuMicros ?? Number.NaN
  const bare: BareRedis[] = []
  const missing = whatIsMissing(ON_REDIS.checks)
  if (missing !== null) process.stdout.write(`Left out: ${ON_REDIS.name}. ${missing}\n\n`)
  for (const world of missing === null ? [ON_REDIS, ON_SYNCED_REDIS] : []) {
    const measured = await measureOnRedis(world)
    bare.push(...measured.bare)
    rows.push(...measured.limiter)
  }
  printLoads(rows, { name: 'bare Fastify', cpuMicros: bareCpu })
  if (bare.length === 0) return
  printTable(
    ['ioredis, one connection', 'per second', 'p50 ms', 'p99 ms', 'CPU µs each, Redis included'],
    bare.map(({ name, perSecond, p50Ms, p99Ms, cpuMicros }) => [
      name,
      thousands(perSecond),
      fixed(p50Ms, 2),
      fixed(p99Ms, 2),
      fixed(cpuMicros, 1),
    ]),
  )
}
