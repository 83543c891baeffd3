import type autocannon from 'autocannon'
import { startQuotacast } from '../e2e/quotacast.ts'
import { type Load, measureLoad, startBare } from './load.ts'
import { fixed, printTable, thousands } from './table.ts'

const CONSUMERS = 10_000
const CONNECTIONS = 64
const SECONDS = 8
/** Half of what a door is expected to carry: where latency is a property of the server and not of the queue. */
const HALF_LOAD_PER_SECOND = 10_000

const QUOTAS = [
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

const consumerOf = (index: number) => ({ tenant: `tenant-${index % 20}`, consumer: `consumer-${index}` })

function checks(token: string): autocannon.Request[] {
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

/** `/v1/check` and `/v1/auth` beside servers of the same kind that answer at once. */
export async function benchCheck(): Promise<void> {
  process.stdout.write(
    `Checks: ${thousands(CONSUMERS)} consumers, three quotas match each, ${CONNECTIONS} connections, load generator on the same machine\n\n`,
  )
  const rows: [string, Load, Load][] = []
  const measure = async (name: string, url: string, pids: number[], requests: autocannon.Request[]) => {
    const full = await measureLoad({ url, pids, requests, connections: CONNECTIONS, seconds: SECONDS })
    const half = await measureLoad({
      url,
      pids,
      requests,
      connections: CONNECTIONS,
      seconds: SECONDS,
      rate: HALF_LOAD_PER_SECOND,
    })
    rows.push([name, full, half])
  }
  for (const kind of ['http', 'fastify'] as const) {
    const bare = await startBare(kind)
    await measure(kind === 'http' ? 'bare node:http' : 'bare Fastify, JSON', bare.url, [bare.pid], checks('none'))
    bare.stop()
  }
  const quotacast = await startQuotacast({ quotas: QUOTAS })
  try {
    const { urls, token } = quotacast
    await measure('/v1/check', urls.limiter, quotacast.rolePids('limiter'), checks(token))
    await measure('/v1/auth', urls.limiter, quotacast.rolePids('limiter'), auths(token))
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
  const bareCpu = rows[1]?.[1].cpuMicros ?? Number.NaN
  printTable(
    [
      'server',
      'per second',
      'p50 ms',
      'p99 ms',
      'CPU µs each',
      'CPU to bare Fastify',
      `p99 ms at ${thousands(HALF_LOAD_PER_SECOND)}/s`,
      'failed',
    ],
    rows.map(([name, full, half]) => [
      name,
      thousands(full.perSecond),
      fixed(full.p50Ms, 1),
      fixed(full.p99Ms, 1),
      fixed(full.cpuMicros, 1),
      fixed(full.cpuMicros / bareCpu, 2),
      fixed(half.p99Ms, 1),
      String(full.failures + half.failures),
    ]),
  )
}
