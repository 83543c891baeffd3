/**
 * Connections on which somebody looks first: what it can answer at once is answered, bytes in, text out; a connection on
 * which it cannot is handed to Node's HTTP server together with the bytes that came, and stays there.
 *
 * All answers of one turn of the event loop are written at its end, one after the other: a gateway that has many
 * connections is woken once, not for each of them, which costs both sides more than what is written.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** How often connections are looked at: one that is idle for too long is closed, one with half a request handed over. */
const SWEEP_MS = 2_000
/** A client that does not take its last answer for so long is cut off. */
const LAST_ANSWER_MS = 1_000
const NOTHING = Buffer.alloc(0)

export type AnswerText = `HTTP/1.1 ${string}`
/** What became of bytes: the answer to all of them, `partial` where more must come, `unusual` what the HTTP server gets. */
export type Handled = AnswerText | Promise<AnswerText> | 'partial' | 'unusual'

export interface ConnectionOptions {
  /** Never throws or rejects. */
  handle: (bytes: Buffer) => Handled
  /** Most bytes that are held while an answer is under way. */
  heldBytesMax: number
  /** Time after which a connection without a request is closed. */
  keepAliveMs: number
}

interface Connection {
  readonly socket: Socket
  /** What has come and is not answered yet. */
  held: Buffer
  /** When the last bytes came, by `performance.now()`. */
  lastMs: number
  /** From what is asked until its answer is written. */
  isAnswering: boolean
  /** The client sends no more. */
  hasEnded: boolean
  /** Taken off when the connection is handed over. */
  readonly listeners: readonly (readonly [event: string, listener: (chunk: Buffer) => void])[]
}

/** Takes the connections of a server that does not listen yet; answers how they are closed with it. */
export function lookFirst(server: Server, { handle, heldBytesMax, keepAliveMs }: ConnectionOptions): () => void {
  const behind = server.listeners('connection') as ((socket: Socket) => void)[]
  const connections = new Set<Connection>()
  let isClosing = false

  const handOver = (connection: Connection) => {
    const { socket, held, listeners } = connection
    connections.delete(connection)
    for (const [event, listener] of listeners) socket.off(event, listener)
    for (const listener of behind) listener.call(server, socket)
    if (held.length > 0) socket.unshift(held)
  }
  const write = atTurnsEnd((connection: Connection, text: AnswerText) => {
    const { socket, hasEnded } = connection
    connection.isAnswering = false
    if (socket.destroyed) return
    if (socket.isPaused()) socket.resume()
    const isTaken = socket.write(text)
    if (hasEnded || isClosing) socket.destroySoon()
    else if (!isTaken) socket.pause().once('drain', () => socket.resume())
    if (connection.held.length > 0 && socket.writable) handleHeld(connection)
  })
  const handleHeld = (connection: Connection) => {
    // The server says with its answer that the connection ends.
    const handled = server.listening ? handle(connection.held) : 'unusual'
    if (handled === 'partial') return
    if (handled === 'unusual') {
      handOver(connection)
      return
    }
    connection.held = NOTHING
    connection.isAnswering = true
    if (handled instanceof Promise) void handled.then(text => write(connection, text))
    else write(connection, handled)
  }
  const take = (connection: Connection, chunk: Buffer) => {
    connection.lastMs = performance.now()
    connection.held = connection.held.length === 0 ? chunk : Buffer.concat([connection.held, chunk])
    if (!connection.isAnswering) handleHeld(connection)
    else if (connection.held.length > heldBytesMax) connection.socket.pause()
  }
  const end = (connection: Connection) => {
    connection.hasEnded = true
    if (!connection.isAnswering) connection.socket.destroySoon()
  }
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    const connection = newConnection(socket, [
      ['data', chunk => take(connection, chunk)],
      ['end', () => end(connection)],
      ['close', () => connections.delete(connection)],
    ])
    connections.add(connection)
  })
  const sweep = setInterval(() => {
    for (const connection of connections) {
      if (connection.isAnswering) continue
      if (connection.held.length > 0) handOver(connection)
      else if (performance.now() - connection.lastMs > keepAliveMs) connection.socket.destroy()
    }
  }, SWEEP_MS).unref()
  return () => {
    isClosing = true
    clearInterval(sweep)
    for (const connection of connections) {
      const { socket, held, isAnswering } = connection
      if (isAnswering) socket.setTimeout(LAST_ANSWER_MS, () => socket.destroy())
      else if (held.length > 0) handOver(connection)
      else socket.destroySoon()
    }
  }
}

/** Puts off what `act` is told in one turn of the event loop to its end, in order. */
function atTurnsEnd<Told extends unknown[]>(act: (...told: Told) => void): (...told: Told) => void {
  let later: Told[] = []
  const actOnAll = () => {
    const due = later
    later = []
    for (const told of due) act(...told)
  }
  return (...told) => {
    if (later.length === 0) setImmediate(actOnAll)
    later.push(told)
  }
}

function newConnection(socket: Socket, told: Connection['listeners']): Connection {
  const listeners: Connection['listeners'] = [...told, ['error', () => socket.destroy()]]
  for (const [event, listener] of listeners) socket.on(event, listener)
  return { socket, listeners, held: NOTHING, lastMs: performance.now(), isAnswering: false, hasEnded: false }
}
