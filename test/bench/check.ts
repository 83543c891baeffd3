import { startQuotacast } from '../e2e/quotacast.ts'
import { EMBEDDED, ON_REDIS, ON_SYNCED_REDIS, type StartedWorld } from '../e2e/world.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { measureBareRedis } from './bare-redis.ts'
import type { HttpRequest } from './http-load.ts'
import { type Measured, measureLoad, mediansInTurns, printLoads, ROUNDS, startBare, untilIdle } from './load.ts'
import { fixed, printTable, thousands } from './table.ts'

export const CONSUMERS = 10_000
const CONNECTIONS = 64
const SECONDS = 4
const HALF_LOAD_ROUNDS = 3
/** Half of what limits in Redis should carry at least: the same load for slow machines and fast ones. */
const STEADY_PER_SECOND = 7_500

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

export function checks(token: string): HttpRequest[] {
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

function auths(token: string): HttpRequest[] {
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

interface Asked {
  name: string
  url: string
  pids: readonly number[]
  requests: HttpRequest[]
}

/** In turns at full load, and in turns at half of what each then carried. */
async function measureInTurns(servers: readonly Asked[]): Promise<Measured[]> {
  const full = await mediansInTurns(
    servers.map(server => () => measureLoad({ ...server, connections: CONNECTIONS, seconds: SECONDS })),
    'cpuMicros',
  )
  const rateOf = (index: number) => (full[index]?.perSecond ?? Number.NaN) / 2
  const half = await mediansInTurns(
    servers.map((server, index) => () => {
      return measureLoad({ ...server, connections: CONNECTIONS, seconds: 2 * SECONDS, rate: rateOf(index) })
    }),
    'p99Ms',
    HALF_LOAD_ROUNDS,
  )
  return servers.flatMap(({ name }, index): Measured[] => {
    const [atFull, atHalf] = [full[index], half[index]]
    return atFull && atHalf ? [[name, atFull, atHalf]] : []
  })
}

/** In turns at a rate that is the same for all. */
async function benchSteady(servers: readonly Asked[]): Promise<void> {
  const asked = { connections: CONNECTIONS, seconds: 2 * SECONDS, rate: STEADY_PER_SECOND }
  const loads = await mediansInTurns(
    servers.map(server => () => measureLoad({ ...server, ...asked })),
    'p99Ms',
  )
  printTable(
    [`at ${thousands(STEADY_PER_SECOND)} a second`, 'p50 ms', 'p99 ms', 'CPU µs each', 'failed'],
    loads.map(({ p50Ms, p99Ms, cpuMicros, failures }, index) => [
      servers[index]?.name ?? '',
      fixed(p50Ms, 1),
      fixed(p99Ms, 1),
      fixed(cpuMicros, 1),
      String(failures),
    ]),
  )
}

/** Prints both doors of a limiter whose counters are where `world` says; the CPU of the servers it needs counts too. */
async function benchLimiter(
  world: string,
  { config, pids }: Pick<StartedWorld, 'config' | 'pids'>,
  bare: readonly Asked[],
): Promise<void> {
  const quotacast = await startQuotacast({ ...config, quotas: QUOTAS })
  try {
    const { urls, token } = quotacast
    const server = { url: urls.limiter, pids: [...quotacast.rolePids('limiter'), ...Object.values(pids)] }
    // All consumers are new at first.
    await measureLoad({ ...server, requests: checks(token), connections: CONNECTIONS, seconds: 1 })
    await untilIdle([...quotacast.rolePids('analyzer'), ...quotacast.rolePids('limiter')])
    const servers = [
      ...bare,
      { ...server, name: `${world}: /v1/check`, requests: checks(token) },
      { ...server, name: `${world}: /v1/auth`, requests: auths(token) },
    ]
    const measured = await measureInTurns(servers)
    printLoads(measured, { name: 'bare Fastify', cpuMicros: measured[bare.length - 1]?.[1].cpuMicros ?? Number.NaN })
    if (pids.redis !== undefined) await benchSteady(servers)
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}

/** ioredis alone, then Quotacast, on the same Redis. */
async function benchOnRedis({ name, start }: typeof ON_REDIS, bare: readonly Asked[]): Promise<void> {
  const world = await start()
  try {
    const pid = world.pids.redis ?? 0
    const asked = { pid, keys: CONSUMERS, inFlight: CONNECTIONS }
    const alone = await measureBareRedis(world.config.limits as { url: string }, asked)
    await benchLimiter(name, world, bare)
    printTable(
      [`ioredis, one connection, ${name}`, 'per second', 'p50 ms', 'p99 ms', 'CPU µs each, Redis included'],
      alone.map(({ name, perSecond, p50Ms, p99Ms, cpuMicros }) => [
        name,
        thousands(perSecond),
        fixed(p50Ms, 2),
        fixed(p99Ms, 2),
        fixed(cpuMicros, 1),
      ]),
    )
  } finally {
    await world.stop()
  }
}

/** `/v1/check` and `/v1/auth` beside servers of the same kind that answer at once, and beside bare commands of Redis. */
export async function benchCheck(): Promise<void> {
  process.stdout.write(
    `Checks: ${thousands(CONSUMERS)} consumers, three quotas match each, ${CONNECTIONS} connections, load generator on the same machine; medians of ${ROUNDS} rounds in turn by CPU, at half load of ${HALF_LOAD_ROUNDS} by p99\n\n`,
  )
  const [http, fastify] = [await startBare('http'), await startBare('fastify')]
  const asked = { requests: checks('none') }
  const bareFastify = { ...asked, name: 'bare Fastify, JSON', url: fastify.url, pids: [fastify.pid] }
  try {
    const both = [{ ...asked, name: 'bare node:http', url: http.url, pids: [http.pid] }, bareFastify]
    await benchLimiter(EMBEDDED.name, { config: {}, pids: {} }, both)
    const missing = whatIsMissing(ON_REDIS.checks)
    if (missing !== null) process.stdout.write(`Left out: ${ON_REDIS.name}. ${missing}\n\n`)
    for (const world of missing === null ? [ON_REDIS, ON_SYNCED_REDIS] : []) await benchOnRedis(world, [bareFastify])
  } finally {
    http.stop()
    fastify.stop()
  }
}
