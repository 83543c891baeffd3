/**
 * The limiter's gRPC port, on HTTP/2 without TLS: what Envoy and its kin need of gRPC (unary calls, deadlines, keepalive,
 * health) and nothing else. HTTP/2 itself is in connection.ts: in Node's, every call costs more than a decision does.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Call, type CallDeps, type Calls, CONTENT_BYTES_MAX, createCalls } from './call.ts'
import { type Connection, createConnection } from './connection.ts'

const CONNECTIONS_MAX = 1_000
/** A peer that has not answered a ping by the next one is gone. */
const KEEPALIVE_MS = 30_000
/** How late the end of a call's time may be noticed. */
const DEADLINE_CHECK_MS = 10
/** Who says more at once is read on in the next turn of the event loop, after the others. */
const TURN_BYTES = 32 * 1024
/** What calls under way get at the end before they are cut off. */
const CLOSE_GRACE_MS = 1_000

export interface GrpcServer {
  /** Where it listens. */
  readonly port: number
  /** Takes nothing new, lets what is under way finish for so long, then cuts it off. */
  close(graceMs?: number): Promise<void>
}

interface Address {
  host: string
  port: number
  /** Other processes may listen there, too; connections are spread over them. */
  isPortShared?: boolean
}

interface Peer {
  readonly socket: Socket
  readonly connection: Connection<Call>
  readonly isTrusted: () => boolean
}

/** Listens; rejects when it cannot. */
export async function openGrpcServer(address: Address, deps: CallDeps): Promise<GrpcServer> {
  const nowMs = () => performance.now()
  const calls = createCalls({ ...deps, nowMs })
  const peers = new Set<Peer>()
  const server = createServer({ noDelay: true }, socket => {
    if (peers.size >= CONNECTIONS_MAX && !makeRoom(peers)) {
      socket.destroy()
      return
    }
    const peer = serve(socket, calls, nowMs)
    peers.add(peer)
    socket.once('close', () => peers.delete(peer))
  })
  await listen(server, address)
  // A connection that could not be taken; the others go on.
  server.on('error', error => deps.logger.error({ err: error }, 'the gRPC port has a problem'))
  const timers = [
    setInterval(() => keepAlive(peers), KEEPALIVE_MS),
    setInterval(() => {
      for (const { connection } of peers) calls.endLate(connection, nowMs())
    }, DEADLINE_CHECK_MS),
  ]
  const { port } = server.address() as AddressInfo
  return {
    port,
    async close(graceMs = CLOSE_GRACE_MS) {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const { connection } of peers) connection.goAway()
      await Promise.race([closed, sleep(graceMs, undefined, { ref: false })])
      for (const { socket } of peers) socket.destroy()
      await closed
      for (const timer of timers) clearInterval(timer)
    },
  }
}

const listen = (server: Server, { host, port, isPortShared = false }: Address): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, reusePort: isPortShared }, () => {
      server.off('error', reject)
      resolve()
    })
  })

/** Carries bytes between the socket and its connection; what is answered in one turn of the event loop goes in one write. */
function serve(socket: Socket, calls: Calls, nowMs: () => number): Peer {
  let isCutOff = false
  const flush = () => {
    const bytes = connection.take()
    // Who does not read what we say is not read any more, either: so what waits for it is bounded.
    if (bytes !== null && socket.writable && !socket.write(bytes)) socket.pause()
    if (isCutOff || connection.isDone()) socket.destroySoon()
  }
  const handler = calls.handlerOf(() => connection)
  const connection: Connection<Call> = createConnection({
    handler,
    contentBytesMax: CONTENT_BYTES_MAX,
    nowMs,
    wantsFlush: () => setImmediate(flush),
  })
  const resume = () => {
    if (!socket.writableNeedDrain) socket.resume()
  }
  socket.on('data', bytes => {
    if (!isCutOff && !connection.receive(bytes)) isCutOff = true
    if (bytes.length < TURN_BYTES) return
    socket.pause()
    setImmediate(resume)
  })
  socket.on('drain', resume)
  // A peer that breaks off is none of our failures.
  socket.on('error', () => undefined)
  socket.once('close', () => connection.lost())
  return { socket, connection, isTrusted: handler.isTrusted }
}

/** Breaks off the oldest peer that never showed a token, if there is one. */
function makeRoom(peers: Set<Peer>): boolean {
  for (const peer of peers) {
    if (peer.isTrusted()) continue
    peers.delete(peer)
    peer.socket.destroy()
    return true
  }
  return false
}

/** Pings every peer and breaks off those who did not answer the last one. */
function keepAlive(peers: ReadonlySet<Peer>): void {
  for (const { socket, connection } of peers) {
    if (connection.isAlive()) connection.ping()
    else socket.destroy()
  }
}
