/** Load over HTTP/2: as many calls at once as there are streams, or so many a second, whichever is less. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load } from './load.ts'
import { cpuSecondsOf } from './machine.ts'
import { quantile } from './table.ts'

const MICROSECONDS = 1e6
const WARM_UP_SECONDS = 2
const HEAD_BYTES = 5

export interface GrpcLoad {
  url: string
  path: string
  token: string
  /** Messages, not framed; each stream sends a part of its own, again and again. */
  messages: readonly Uint8Array[]
  connections: number
  streamsPerConnection: number
  seconds: number
  /** Calls per second; unlimited when absent. */
  rate?: number
  pids: readonly number[]
}

/** Calls for some seconds and charges the servers' CPU time to the answers. */
export async function measureGrpc(load: GrpcLoad): Promise<Load> {
  const sessions = Array.from({ length: load.connections }, () => connect(load.url))
  const cpu = () => cpuSecondsOf(load.pids)
  try {
    await callFor(sessions, load, WARM_UP_SECONDS)
    const before = cpu()
    const { latenciesMs, failures } = await callFor(sessions, load, load.seconds)
    return {
      perSecond: latenciesMs.length / load.seconds,
      p50Ms: quantile(latenciesMs, 0.5),
      p99Ms: quantile(latenciesMs, 0.99),
      cpuMicros: ((cpu() - before) * MICROSECONDS) / latenciesMs.length,
      failures,
    }
  } finally {
    for (const session of sessions) session.close()
  }
}

async function callFor(sessions: readonly ClientHttp2Session[], load: GrpcLoad, seconds: number) {
  const { messages, streamsPerConnection, rate } = load
  const streams = sessions.length * streamsPerConnection
  const everyMs = rate === undefined ? 0 : (streams * 1000) / rate
  const bodies = messages.map(frame)
  const endMs = performance.now() + seconds * 1000
  const latenciesMs: number[] = []
  let failures = 0
  const work = async (session: ClientHttp2Session, number: number) => {
    let next = number
    // Streams that begin together would come in waves.
    let dueMs = performance.now() + (everyMs * number) / streams
    while (performance.now() < endMs) {
      const waitMs = dueMs - performance.now()
      if (everyMs > 0 && waitMs > 0) await sleep(waitMs)
      dueMs += everyMs
      const beganMs = performance.now()
      const body = bodies[next % bodies.length]
      next += streams
      if (body === undefined || !(await call(session, load, body))) failures += 1
      latenciesMs.push(performance.now() - beganMs)
    }
  }
  await Promise.all(
    sessions.flatMap((session, index) =>
      Array.from({ length: streamsPerConnection }, (_, stream) => work(session, index * streamsPerConnection + stream)),
    ),
  )
  return { latenciesMs, failures }
}

/** One unary call; whether its status was OK. */
const call = (session: ClientHttp2Session, { path, token }: GrpcLoad, body: Buffer): Promise<boolean> =>
  new Promise(resolve => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '1S',
      'x-quotacast-token': token,
    })
    let isOk = false
    stream.on('trailers', trailers => {
      isOk = trailers['grpc-status'] === '0'
    })
    stream.on('error', () => undefined)
    stream.on('close', () => resolve(isOk))
    stream.resume()
    stream.end(body)
  })

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}
