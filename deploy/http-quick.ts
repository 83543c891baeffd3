/**
 * A shorter way for requests that come thousands of times a second. A part may answer such a request without the
 * framework; the caller is authenticated by the same rules, the body is bounded, the answer is measured. Whatever is not
 * as usual (an unknown caller, a body that is long or wrong, anything that throws before something has been done) goes
 * the whole way, so that there is one place where errors are told.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Principal, QuickAnswer, QuickRoute } from '../collector/principal.ts'
import { authenticate } from './http-access.ts'
import { toProblem } from './http-problems.ts'
import type { RecordRequest } from './http-telemetry.ts'

/** Longer bodies are no single check. */
const BODY_BYTES_MAX = 16 * 1024
const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i

export interface QuickDeps {
  routes: readonly QuickRoute[]
  verify: (token: string) => Principal | null
  record: RecordRequest
  log: Logger
}

/** Puts the routes before those of the framework, for requests that come over a connection. */
export function serveQuickly(server: FastifyInstance, { routes, verify, record, log }: QuickDeps): void {
  const byRequest = new Map(routes.map(route => [`${route.method} ${route.path}`, route]))
  const listeners = server.server.listeners('request') as ((...pair: Pair) => void)[]
  const wholeWay = (...pair: Pair) => {
    for (const listener of listeners) listener(...pair)
  }
  let isClosing = false
  // Who comes over an open connection meanwhile is told to go.
  server.addHook('preClose', done => {
    isClosing = true
    done()
  })
  const answer = async (route: QuickRoute, principal: Principal, body: string, [request, response]: Pair) => {
    const beganMs = performance.now()
    const { method, path } = route
    let answered: QuickAnswer | null
    try {
      answered = await route.answer(principal, request.headers, body)
    } catch (error) {
      answered = toProblem(error as Error, { method, route: path }, log)
    }
    if (answered === null) {
      await injected(server, body, request, response)
      return
    }
    send(response, answered)
    record(method, path, answered.status, performance.now() - beganMs)
  }
  server.server.removeAllListeners('request')
  server.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const route = isClosing ? undefined : byRequest.get(`${request.method} ${request.url}`)
    const principal = route === undefined ? null : authenticate(request.headers, route, verify)
    if (route === undefined || principal === null || !hasUsualBody(route, request)) {
      wholeWay(request, response)
      return
    }
    if (route.method === 'GET') void answer(route, principal, '', [request, response])
    else readBody(request, body => void answer(route, principal, body, [request, response]))
  })
}

type Pair = [request: IncomingMessage, response: ServerResponse]

function hasUsualBody({ method }: QuickRoute, { headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  if (headers['transfer-encoding'] !== undefined || headers.expect !== undefined) return false
  if (method === 'GET') return length === undefined
  if (headers['content-encoding'] !== undefined || Number(length ?? Number.NaN) > BODY_BYTES_MAX) return false
  return length !== undefined && JSON_TYPE.test(headers['content-type'] ?? '')
}

/** As long as `content-length` said: the parser sees to that. */
function readBody(request: IncomingMessage, handle: (body: string) => void): void {
  let chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const [only] = chunks
    handle((chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)).toString())
    chunks = []
  })
}

function send(response: ServerResponse, { status, headers, body }: QuickAnswer): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** What has been read already goes the whole way once more. */
async function injected(
  server: FastifyInstance,
  body: string,
  { method, url, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const payload = method === 'GET' ? {} : { payload: body }
  const told = { ...headers }
  const {
    statusCode,
    headers: answered,
    rawPayload,
  } = await server.inject({
    method: method === 'GET' ? 'GET' : 'POST',
    url: url ?? '/',
    headers: told,
    ...payload,
  })
  // These are of the connection that there was not.
  const { connection: _connection, date: _date, ...kept } = answered
  response.writeHead(statusCode, kept as Record<string, string>)
  response.end(rawPayload)
}
