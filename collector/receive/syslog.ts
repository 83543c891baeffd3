/**
 * Syslog over UDP, TCP and TLS. Nobody answers a sender of syslog: what is read from a connection is in memory until it
 * is durable, and a connection is not read while there is no room. UDP cannot be told to wait, so there the rest is
 * dropped and counted.
 */
import { randomUUID } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { type EventEmitter, once } from 'node:events'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { linesDropped, syslogTlsFailed } from '../events.ts'
import { followTls, readTls } from '../tls.ts'
import { createLineDecoder } from './decode-lines.ts'
import { createLineQueue, type LineQueue } from './line-queue.ts'
import type { SyslogTcpReceive, SyslogUdpReceive } from './listen-options.ts'
import { type Listen, type ListenDeps, takePatiently } from './listening.ts'
import { lineBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'
import { createFrameSplitter, type Frame, textOf } from './syslog-frames.ts'
import { withoutSyslogPrefix } from './syslog-prefix.ts'

/** Of all messages of a source that are not durable yet. */
const QUEUE_BYTES_MAX = 8 * 2 ** 20
/** What the kernel may keep of datagrams while we are busy; it takes as much of it as it allows. */
const SOCKET_BYTES = 8 * 2 ** 20
/** With an unfinished message each they take 64 MiB. Senders who are gone count as long as their last words wait for room. */
const CONNECTIONS_MAX = 256
const HANDSHAKE_MS_MAX = 10_000
/** A sender that is gone without a word gives its place back soon after so long a silence; others may be silent for ever. */
const KEEP_ALIVE_MS = 60_000
/** At the end a sender is told to go; what it sends until it has, or until so long after, is read. */
const CLOSE_GRACE_MS = 1_000

/** Takes whatever was offered, also after the signal, as long as the log does. */
function openQueue(source: CallSource, deps: ListenDeps): LineQueue {
  const { dialect, timezone } = source
  const decoder = createLineDecoder(dialect, { fileStem: null, header: null, timezone })
  // Nothing comes again by itself, so nothing needs to be recognized: numbers are enough.
  const keyPrefix = `syslog ${randomUUID()}`
  return createLineQueue(QUEUE_BYTES_MAX, async lines => {
    const batch = lineBatch(lines, decoder)
    await takePatiently(deps, source, batch, {
      receiver: 'syslog',
      keyAt: position => `${keyPrefix} ${batch.lineAt(position).number} ${batch.partAt(position)}`,
    })
  })
}

const messageOf = ({ text, problem }: Frame): Frame => ({ text: withoutSyslogPrefix(text), problem })

export const receiveSyslogUdp: Listen<SyslogUdpReceive> = async ({ host, port }, source, deps) => {
  const queue = openQueue(source, deps)
  const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: SOCKET_BYTES })
  let dropped = 0
  const reportDropped = () => {
    if (dropped > 0) linesDropped(deps.logger, { source: source.name, lines: dropped })
    dropped = 0
  }
  socket.on('message', datagram => {
    const text = textOf(datagram)
    if (text === '' || queue.offer(messageOf({ text, problem: null }))) return
    if (dropped++ === 0) queue.room().then(reportDropped, () => undefined)
  })
  try {
    socket.bind(port, host)
    await until('listening', socket, deps.signal)
    deps.report(null)
    await Promise.race([until('close', socket, deps.signal), queue.failed])
  } finally {
    socket.close()
    await queue.done().finally(reportDropped)
  }
}

export const receiveSyslogTcp: Listen<SyslogTcpReceive> = async ({ host, port, tls }, source, deps) => {
  const queue = openQueue(source, deps)
  const { server, leave } = await createStreamServer(tls, source, deps)
  const connections = new Map<Socket, Promise<void>>()
  server.maxConnections = CONNECTIONS_MAX
  const tellRefused = () =>
    deps.logger.warn({ source: source.name }, 'a syslog connection is refused: there are too many')
  server.on('drop', tellRefused)
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    if (connections.size >= CONNECTIONS_MAX || !server.listening) {
      if (server.listening) tellRefused()
      socket.destroy()
      return
    }
    const read = readConnection(socket, queue).catch(err =>
      deps.logger.debug({ err, source: source.name }, 'a syslog connection broke'),
    )
    connections.set(
      socket,
      read.finally(() => connections.delete(socket)),
    )
  })
  try {
    server.listen(port, host)
    await until('listening', server, deps.signal)
    deps.report(null)
    await Promise.race([until('close', server, deps.signal), queue.failed])
  } finally {
    leave()
    server.close()
    for (const socket of connections.keys()) socket.end()
    const cutOff = setTimeout(() => {
      for (const socket of connections.keys()) socket.destroy()
    }, CLOSE_GRACE_MS)
    await Promise.all(connections.values())
    clearTimeout(cutOff)
    await queue.done()
  }
}

/** `leave` ends looking for renewed certificates. */
async function createStreamServer(
  tls: SyslogTcpReceive['tls'],
  source: CallSource,
  { logger }: ListenDeps,
): Promise<{ server: Server; leave: () => void }> {
  const keeping = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }
  if (tls === undefined) return { server: createServer(keeping), leave: () => undefined }
  const at = `sources.${source.name}.receive.tls`
  const material = await readTls(tls, at)
  const server: TlsServer = createTlsServer({
    ...{ ...keeping, ...material, handshakeTimeout: HANDSHAKE_MS_MAX },
    ...(material.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
  })
  server.on('tlsClientError', err => syslogTlsFailed(logger, { source: source.name, err }))
  const leave = followTls(tls, at, {
    renewed: renewed => server.setSecureContext(renewed),
    refused: err =>
      logger.warn({ source: source.name, err }, 'changed files of TLS cannot be used; what was in them before is'),
  })
  return { server, leave }
}

async function readConnection(socket: Socket, queue: LineQueue): Promise<void> {
  const splitter = createFrameSplitter()
  const put = async (frames: readonly Frame[]) => {
    for (const frame of frames) {
      // Meanwhile nothing is read from the sender, who then has to wait; one who has gone has sent this all the same.
      while (!queue.offer(messageOf(frame))) await queue.room()
    }
  }
  try {
    for await (const chunk of socket) await put(splitter.push(chunk))
  } finally {
    // Of a connection that broke, the iterator leaves what it has not come to.
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) await put(splitter.push(chunk))
    await put(splitter.end())
  }
}

/** Resolves also when the signal is aborted; rejects with an error of the socket. */
async function until(event: 'listening' | 'close', socket: EventEmitter, signal: AbortSignal): Promise<void> {
  await once(socket, event, { signal }).catch(error => {
    if (!signal.aborted) throw error
  })
}
