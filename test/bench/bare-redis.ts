/** The baseline of limits in Redis: ioredis by itself, one connection, commands one at a time and as many as callers wait. */
import { Redis } from 'ioredis'
import { cpuSeconds } from './machine.ts'

const SECONDS = 4
const WARM_UP_SECONDS = 1
const MICROSECONDS = 1e6
/** About as long as a bucket is in Redis. */
const VALUE = 'x'.repeat(64)

export interface BareRedis {
  name: string
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU microseconds of one command, in this process and in Redis. */
  cpuMicros: number
}

/** GET and SET of so many keys: one at a time, and pipelined as the limiter does it, all of a turn in one write. */
export async function measureBareRedis(
  { url }: { url: string },
  { pid, keys, inFlight }: { pid: number; keys: number; inFlight: number },
): Promise<BareRedis[]> {
  const client = new Redis(url, { protocol: 2, enableAutoPipelining: true })
  let next = 0
  const key = () => `bare:${next++ % keys}`
  const commands = { SET: () => client.set(key(), VALUE), GET: () => client.get(key()) }
  const measured: BareRedis[] = []
  try {
    for (const [name, command] of Object.entries(commands)) {
      for (const callers of [1, inFlight]) {
        await run(command, callers, WARM_UP_SECONDS)
        const cpu = () => cpuSeconds(pid) + cpuSeconds(process.pid)
        const before = cpu()
        const latencies = await run(command, callers, SECONDS)
        const cpuMicros = ((cpu() - before) * MICROSECONDS) / latencies.length
        measured.push({
          name: `${name}, ${callers} at a time`,
          perSecond: latencies.length / SECONDS,
          p50Ms: latencies[Math.floor(latencies.length * 0.5)] ?? Number.NaN,
          p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
          cpuMicros,
        })
      }
    }
  } finally {
    client.disconnect()
  }
  return measured
}

/** Milliseconds of each command, ascending. */
async function run(command: () => Promise<unknown>, callers: number, seconds: number): Promise<Float64Array> {
  const endMs = performance.now() + seconds * 1000
  const latencies: number[] = []
  const call = async () => {
    for (let beganMs = performance.now(); beganMs < endMs; beganMs = performance.now()) {
      await command()
      latencies.push(performance.now() - beganMs)
    }
  }
  await Promise.all(Array.from({ length: callers }, call))
  return Float64Array.from(latencies).sort()
}
