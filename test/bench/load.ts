import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HttpLoad, Sent } from './http-load.ts'
import { cpuSecondsOf } from './machine.ts'
import { fixed, printTable, quantile, thousands } from './table.ts'

const MICROSECONDS = 1e6
const WARM_UP_SECONDS = 2
/** Of one core. */
const IDLE_SHARE = 0.1
const IDLE_SECONDS_MAX = 120

export interface Load {
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU microseconds that the measured processes spent on one answer. */
  cpuMicros: number
  failures: number
}

/** Sends a mix of requests for some seconds, after as many for warming up, and charges the server's CPU time to the answers. */
export async function measureLoad({ pids, ...load }: HttpLoad & { pids: readonly number[] }): Promise<Load> {
  const generator = fork(new URL('http-load.ts', import.meta.url), { serialization: 'advanced' })
  try {
    await sentBy(generator, { ...load, seconds: WARM_UP_SECONDS })
    const before = cpuSecondsOf(pids)
    const { latencies, failures, seconds } = await sentBy(generator, load)
    return {
      perSecond: latencies.length / seconds,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      cpuMicros: ((cpuSecondsOf(pids) - before) * MICROSECONDS) / latencies.length,
      failures,
    }
  } finally {
    generator.kill()
  }
}

async function sentBy(generator: ChildProcess, load: HttpLoad): Promise<Sent> {
  generator.send(load)
  const [sent] = await Promise.race([once(generator, 'message'), once(generator, 'exit')])
  if (generator.exitCode !== null) throw new Error('the load generator ended before it was done')
  return sent
}

/** An odd number, as every number of rounds. */
export const ROUNDS = 5

/**
 * Runs each of `loads` once a round, one after the other, as the machine changes its speed from one minute to the next,
 * and stands still for a tenth of a second now and then. Answers of each the round with the median of `by`.
 */
export async function mediansInTurns(
  loads: readonly (() => Promise<Load>)[],
  by: 'cpuMicros' | 'p99Ms',
  roundCount = ROUNDS,
): Promise<Load[]> {
  const rounds = loads.map((): Load[] => [])
  for (let round = 0; round < roundCount; round += 1) {
    for (const [index, load] of loads.entries()) rounds[index]?.push(await load())
  }
  return rounds.flatMap(ofLoad => ofLoad.toSorted((a, b) => a[by] - b[by])[Math.floor(roundCount / 2)] ?? [])
}

/** Waits, not for ever, until the processes have nothing to do: what comes of many new subjects takes them seconds. */
export async function untilIdle(pids: readonly number[]): Promise<void> {
  for (let second = 0; second < IDLE_SECONDS_MAX; second += 1) {
    const before = cpuSecondsOf(pids)
    await sleep(1_000)
    if (cpuSecondsOf(pids) - before < IDLE_SHARE) return
  }
}

/** Starts a bare server of this folder; resolves with its port when it listens. */
export async function startBare(
  kind: 'http' | 'http2' | 'fastify',
): Promise<{ url: string; pid: number; stop(): void }> {
  const child = spawn(process.execPath, [new URL('bare-servers.ts', import.meta.url).pathname, kind], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await firstLine(child)
  return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop: () => child.kill('SIGKILL') }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the child has no output')
  for await (const line of createInterface({ input: child.stdout })) return line
  throw new Error('the bare server ended before it listened')
}

/** A server at full load, and at half of what it then carried: where latency is a property of the server and not of the queue. */
export type Measured = readonly [name: string, full: Load, half: Load]

/** Prints servers beside the baseline that costs `cpuMicros` an answer. */
export function printLoads(rows: readonly Measured[], baseline: { name: string; cpuMicros: number }): void {
  printTable(
    [
      'server',
      'per second',
      'p50 ms',
      'p99 ms',
      'CPU µs each',
      `CPU to ${baseline.name}`,
      'CPU µs at half load',
      'p50 ms at half load',
      'p99 ms at half load',
      'failed',
    ],
    rows.map(([name, full, half]) => [
      name,
      thousands(full.perSecond),
      fixed(full.p50Ms, 1),
      fixed(full.p99Ms, 1),
      fixed(full.cpuMicros, 1),
      fixed(full.cpuMicros / baseline.cpuMicros, 2),
      fixed(half.cpuMicros, 1),
      fixed(half.p50Ms, 1),
      fixed(half.p99Ms, 1),
      String(full.failures + half.failures),
    ]),
  )
}
