/**
 * Requests that a client sends without waiting for answers. Node hands over at once whatever a piece of 64 KiB holds, which
 * are hundreds, and all of them are served though their sender has gone: here one follows the other on a connection, as
 * their answers do.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Requests of one connection that wait for the one that is served. */
export const WAITING_MAX = 100

type Serve = (request: IncomingMessage, response: ServerResponse) => void

interface Line {
  served: ServerResponse
  readonly waiting: [IncomingMessage, ServerResponse][]
  /** More came than may wait: nothing is heard of what comes behind it. */
  isOver: boolean
}

/**
 * Serves the requests of a server that does not listen yet in turn. A connection of which too many wait is for `refuse` to
 * end; `isHeard` where nothing of the first answer is on its way yet.
 */
export function serveInTurn(server: Server, refuse: (socket: Socket, isHeard: boolean) => void): void {
  const behind = server.listeners('request') as Serve[]
  const lines = new WeakMap<Socket, Line>()

  const begin = (line: Line, request: IncomingMessage, response: ServerResponse) => {
    line.served = response
    // It comes when the answer is on its way, and when the connection breaks off. In between, others are served.
    response.once('close', () => setImmediate(goOn, request.socket, line))
    for (const serve of behind) serve.call(server, request, response)
  }
  const goOn = (socket: Socket, line: Line) => {
    const next = socket.destroyed ? undefined : line.waiting.shift()
    if (next === undefined) lines.delete(socket)
    else begin(line, ...next)
  }
  server.removeAllListeners('request').on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const line = lines.get(socket)
    if (line === undefined) {
      const first: Line = { served: response, waiting: [], isOver: false }
      lines.set(socket, first)
      begin(first, request, response)
    } else if (!line.isOver && line.waiting.push([request, response]) > WAITING_MAX) {
      line.isOver = true
      line.waiting.length = 0
      refuse(socket, !line.served.headersSent)
    }
  })
}
