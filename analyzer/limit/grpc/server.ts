/**
 * The limiter's gRPC port, on HTTP/2 without TLS: what Envoy and its kin need of gRPC (unary calls, deadlines, keepalive,
 * health) and nothing else, at half the CPU time of the full library.
 */
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CallDeps, createCallServer } from './call.ts'

const CONNECTIONS_MAX = 1_000
const CALLS_PER_CONNECTION_MAX = 1_000
/** As on the HTTP port. */
const HEADERS_BYTES_MAX = 32 * 1024
/** A gateway that gives up on calls in mass resets their streams; far more than that is an attack. */
const RESET_BURST = 10_000
const RESETS_PER_SECOND = 1_000
/** A peer that has not answered a ping by the next one is gone. */
const KEEPALIVE_MS = 30_000
/** What calls under way get at the end before they are cut off. */
const CLOSE_GRACE_MS = 1_000

export interface GrpcServer {
  /** Where it listens. */
  readonly port: number
  /** Takes nothing new, lets what is under way finish, then cuts it off. */
  close(): Promise<void>
}

interface Address {
  host: string
  port: number
  /** Other processes may listen there, too; connections are spread over them. */
  isPortShared?: boolean
}

/** Listens; rejects when it cannot. */
export async function openGrpcServer(address: Address, deps: CallDeps): Promise<GrpcServer> {
  const server = createServer({
    settings: { maxConcurrentStreams: CALLS_PER_CONNECTION_MAX, maxHeaderListSize: HEADERS_BYTES_MAX },
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_SECOND,
  })
  server.maxConnections = CONNECTIONS_MAX
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', session => {
    sessions.add(session)
    // A peer that breaks off is none of our failures.
    session.on('error', () => undefined)
    session.once('close', () => sessions.delete(session))
  })
  server.on('stream', createCallServer(deps))
  await listen(server, address)
  // A connection that could not be taken; the others go on.
  server.on('error', error => deps.logger.error({ err: error }, 'the gRPC port has a problem'))
  const stopPinging = keepAlive(sessions)
  const { port } = server.address() as AddressInfo
  return {
    port,
    async close() {
      stopPinging()
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const session of sessions) session.close()
      await Promise.race([closed, sleep(CLOSE_GRACE_MS, undefined, { ref: false })])
      for (const session of sessions) session.destroy()
      await closed
    },
  }
}

const listen = (server: Http2Server, { host, port, isPortShared = false }: Address): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, reusePort: isPortShared }, () => {
      server.off('error', reject)
      resolve()
    })
  })

/** Pings every connection and breaks off those whose peer did not answer the last one. Answers how to stop. */
function keepAlive(sessions: ReadonlySet<ServerHttp2Session>): () => void {
  const silent = new WeakSet<ServerHttp2Session>()
  const timer = setInterval(() => {
    for (const session of sessions) {
      if (silent.has(session)) {
        session.destroy()
      } else if (!session.closed) {
        silent.add(session)
        session.ping(error => {
          if (error === null) silent.delete(session)
        })
      }
    }
  }, KEEPALIVE_MS)
  return () => clearInterval(timer)
}
