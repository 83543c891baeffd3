/** Requests that HTTP has refused (RFC 9110, RFC 9112), to which Node answers a bare status, or nothing, or as if they were none. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { sendBroken, toProblem } from './http-problems.ts'

class OddityError extends Error {
  readonly statusCode: 400 | 417
  readonly code: 'HOST_INVALID' | 'EXPECTATION_UNKNOWN' | 'CONNECT_REFUSED'

  constructor(code: OddityError['code'], message: string) {
    super(message)
    this.name = 'OddityError'
    this.code = code
    this.statusCode = code === 'EXPECTATION_UNKNOWN' ? 417 : 400
  }
}

/** To be called before other hooks are added: what is refused here is not looked at any further. */
export function refuseOddities(server: FastifyInstance, log: Logger): void {
  server.addHook('onRequest', ({ raw }, _reply, done) => done(hostProblem(raw) ?? undefined))
  server.server.on('checkExpectation', ({ method, headers }: IncomingMessage, response: ServerResponse) => {
    const words = `Expect says ${JSON.stringify(headers.expect)}, and only 100-continue is known: leave that header out.`
    const told = toProblem(new OddityError('EXPECTATION_UNKNOWN', words), { method, route: undefined }, log)
    // Whether the body comes all the same is for the client to choose.
    const fields = { ...told.headers, 'content-length': Buffer.byteLength(told.body), connection: 'close' }
    response.writeHead(told.status, fields).end(told.body)
  })
  server.server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // By now nobody else listens to it.
    socket.on('error', () => undefined)
    sendBroken(
      new OddityError('CONNECT_REFUSED', 'CONNECT is for proxies, and this is none: ask for a path.'),
      socket,
      log,
    )
  })
}

function hostProblem({ rawHeaders, httpVersion }: IncomingMessage): OddityError | null {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  if (hosts > 1) return new OddityError('HOST_INVALID', 'There are several Host headers: send one.')
  const mayLack = httpVersion === '1.0'
  return hosts === 1 || mayLack ? null : new OddityError('HOST_INVALID', 'There is no Host header: send one.')
}
