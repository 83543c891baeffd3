/** The check's latency on Redis at a steady load, by how the other roles yield the processor to the limiter. */
import { ON_REDIS } from '../e2e/world.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { withQuotacast } from './busy.ts'
import { CONSUMERS, checks } from './check.ts'
import { type Load, measureLoad, mediansInTurns, ROUNDS, untilIdle } from './load.ts'
import { fixed, printTable, thousands } from './table.ts'

const CONNECTIONS = 64
const SECONDS = 8
/** Half of what a limiter on Redis shall carry. */
const RATE_PER_SECOND = 7_500
const PRECEDENCES = ['nice', 'idle'] as const

async function steadyOnRedis(precedence: (typeof PRECEDENCES)[number]): Promise<Load[]> {
  const world = await ON_REDIS.start()
  try {
    return await withQuotacast({ ...world.config, limiter: { precedence } }, async ({ urls, token, rolePids }) => {
      const pids = [...rolePids('limiter'), ...Object.values(world.pids)]
      const asked = { url: urls.limiter, pids, requests: checks(token), connections: CONNECTIONS }
      // All consumers are new at first.
      await measureLoad({ ...asked, seconds: 1 })
      await untilIdle([...rolePids('analyzer'), ...rolePids('limiter')])
      return await mediansInTurns([() => measureLoad({ ...asked, seconds: SECONDS, rate: RATE_PER_SECOND })], 'p99Ms')
    })
  } finally {
    await world.stop()
  }
}

export async function benchYielding(): Promise<void> {
  const missing = whatIsMissing(ON_REDIS.checks)
  if (missing !== null) return void process.stdout.write(`Left out: yielding on ${ON_REDIS.name}. ${missing}\n\n`)
  process.stdout.write(
    `/v1/check, ${ON_REDIS.name}, ${thousands(RATE_PER_SECOND)} a second on ${CONNECTIONS} connections, ${thousands(CONSUMERS)} consumers, three quotas match each; of ${ROUNDS} rounds the one with the median p99\n\n`,
  )
  const rows: string[][] = []
  for (const precedence of PRECEDENCES) {
    for (const { p50Ms, p99Ms, cpuMicros, failures } of await steadyOnRedis(precedence))
      rows.push([precedence, fixed(p50Ms, 2), fixed(p99Ms, 1), fixed(cpuMicros, 1), String(failures)])
  }
  printTable(['limiter.precedence', 'p50 ms', 'p99 ms', 'CPU µs each, Redis included', 'failed'], rows)
}
