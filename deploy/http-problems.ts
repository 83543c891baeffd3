/** Errors as problem documents (RFC 9457): what the caller can mend is said, what only we can mend is logged and hidden. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import Type from 'typebox'
import type { QuickAnswer } from '../collector/principal.ts'

/** Most validation errors that an answer lists. */
export const PROBLEMS_MAX = 10
const RETRY_AFTER_SECONDS = 1
/** Somebody whom we asked for the caller did not do it, who is the caller's to mend: a channel of alerts. */
const REFUSED_ELSEWHERE = 502
/** What the network says of a store that is away, or broke off: log and limits name what failed by codes of their own. */
const STORE_AWAY: readonly (string | undefined)[] =
  'ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOTFOUND EAI_AGAIN'.split(' ')

/** What ClickHouse says of a query that takes more time, or more memory, than it may. */
const STORE_GAVE_UP: readonly (string | undefined)[] = ['159', '241']
const ASK_FOR_LESS =
  'The store gave up: this takes more time or memory than it may. Ask for less (a shorter time, longer steps, fewer ' +
  'dimensions, one tenant), or again when the store is less busy.'

/** Of a connection that ends because more requests wait on it than may. */
export const TOO_MANY_WAITING = 'TOO_MANY_WAITING'
/** What the framework, or a code, says too briefly. */
const IN_MORE_WORDS: Readonly<Record<string, string>> = {
  [TOO_MANY_WAITING]:
    'More requests wait on this connection than may, so it ends: read answers before you send more, or use more connections.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the Content-Type is none that is read here; /openapi.json says which ones are',
}
/** What Node says of bytes that are no request; all else is 400. */
const STATUS_OF_BROKEN: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  [TOO_MANY_WAITING]: 503,
}

/** One place in a request that is wrong. */
export interface RequestProblem {
  /** JSON pointer into the part that was checked. */
  path: string
  message: string
}

/** The body of every answer that is not a success. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'URI of the kind of problem.' }),
    title: Type.String({ description: "The status' own text." }),
    status: Type.Integer(),
    detail: Type.String({ description: 'What happened, for people.' }),
    code: Type.Optional(Type.String({ description: 'What happened, for programs.' })),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
        maxItems: PROBLEMS_MAX,
        description: 'Each place of the request that is wrong.',
      }),
    ),
  },
  { $id: 'Problem' },
)

/** A request that does not fulfil its route's schema. */
export class RequestError extends Error {
  readonly statusCode = 400
  readonly code = 'REQUEST_INVALID'
  readonly errors: readonly RequestProblem[]

  /** `errors` are at most `PROBLEMS_MAX`. */
  constructor(part: string, errors: readonly RequestProblem[]) {
    super(`the ${part} of the request is wrong`)
    this.name = 'RequestError'
    this.errors = errors
  }
}

/** What parts put on the errors that their handlers throw; all of it is optional. */
interface HttpError extends Error {
  statusCode?: number
  code?: string
  retryable?: boolean
  retryAfterSeconds?: number
  errors?: readonly RequestProblem[]
}

function statusOf(error: HttpError): number {
  const { statusCode } = error
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 600) return statusCode
  return error.retryable === true || STORE_AWAY.includes(error.code) || STORE_GAVE_UP.includes(error.code) ? 503 : 500
}

function codeOf({ code }: HttpError): string | undefined {
  if (STORE_AWAY.includes(code)) return 'STORE_UNAVAILABLE'
  return STORE_GAVE_UP.includes(code) ? 'STORE_OVERLOADED' : code
}

/** Of failures that the caller cannot mend. */
function hiddenDetail(status: number, code: string | undefined): string {
  if (code === 'STORE_OVERLOADED') return ASK_FOR_LESS
  return status === 503 ? 'Not now: try again.' : 'This is our fault; the log of the role says more.'
}

/** Renders any error that a handler, a hook or the framework threw. */
export function sendProblem(error: HttpError, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const { method, routeOptions } = request
  const { status, headers, body } = toProblem(error, { method, route: routeOptions.url }, log)
  // As text: a route's response schemas describe its own answers, not this one.
  return reply.code(status).headers(headers).send(body)
}

/** The answer to a request that failed; what only we can mend is logged. */
export function toProblem(
  error: HttpError,
  request: { method: string | undefined; route: string | undefined },
  log: Logger,
): QuickAnswer {
  const status = statusOf(error)
  const isOurs = status >= 500 && status !== REFUSED_ELSEWHERE
  if (status === 500) log.error({ err: error, ...request }, 'a request failed')
  const retryAfterSeconds = error.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : undefined)
  const code = codeOf(error)
  const problem = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: IN_MORE_WORDS[error.code ?? ''] ?? (isOurs ? hiddenDetail(status, code) : error.message),
    ...(code === undefined ? {} : { code }),
    ...(error.errors === undefined || isOurs ? {} : { errors: error.errors }),
  }
  const wait = retryAfterSeconds === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterSeconds)) }
  const headers = { ...wait, 'content-type': 'application/problem+json; charset=utf-8' }
  return { status, headers, body: JSON.stringify(problem) }
}

/** The same to bytes that are no request, whose connection ends with it. */
export function sendBroken(error: Error & { code: string }, socket: Socket, log: Logger): void {
  if (socket.writable && error.code !== 'ECONNRESET') {
    const { name, message, code } = error
    const statusCode = STATUS_OF_BROKEN[code] ?? 400
    const request = { method: undefined, route: undefined }
    const { status, headers, body } = toProblem({ name, message, code, statusCode }, request, log)
    const fields = { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' }
    const lines = Object.entries(fields).map(([field, value]) => `${field}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  }
  socket.destroy(error)
}
