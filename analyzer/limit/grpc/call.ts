/**
 * One gRPC call: who calls is checked before anything of its message is kept, the message is read within bounds, the
 * method answers, and the status goes out behind it. A call that is over (answered, cancelled, late) stays over.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Logger } from 'pino'
import type { Principal } from '../../../collector/principal.ts'
import { grpcCallFailed } from '../../events.ts'
import { DoorError } from '../door-error.ts'
import { frame, HEAD_BYTES, timeoutMs, unframe } from './framing.ts'
import { GRPC, type GrpcCode, GrpcError, type GrpcMethod, type GrpcMethods } from './rpc.ts'

/** Of one message; ext_authz may carry the beginning of a body. */
const MESSAGE_BYTES_MAX = 256 * 1024
/** Of all messages that have not arrived whole yet. */
const UNDERWAY_BYTES_MAX = 64 * 2 ** 20
/** A call without a deadline, or with a later one, is over after so long. */
const CALL_MS_MAX = 10_000

const TOKEN_HEADER = 'x-quotacast-token'
const BEARER = /^bearer +(\S+)$/i
const NO_ERROR = 0

const ANSWER = [':status', '200', 'content-type', 'application/grpc', 'grpc-accept-encoding', 'identity']
const OK_TRAILERS = { 'grpc-status': String(GRPC.ok) }

export interface CallDeps {
  methods: GrpcMethods
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  logger: Logger
}

/** Serves the streams that it is given; they share one bound of memory. */
export function createCallServer(deps: CallDeps): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void {
  const underway = { bytes: 0 }
  let lastFailure = ''
  const serve = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const handle = admit(deps, headers)
    const message = await readMessage(stream, underway)
    // Nothing is spent for whoever has given up.
    if (isOver(stream)) return
    const answer = await handle(message)
    if (!isOver(stream)) succeed(stream, answer)
  }
  const fail = (stream: ServerHttp2Stream, error: unknown) => {
    if (isOver(stream)) return
    const { code, message } = statusOf(error, deps.logger)
    const failure = `${code} ${message}`
    grpcCallFailed(deps.logger, { code, reason: message }, failure !== lastFailure)
    lastFailure = failure
    stream.respond([...ANSWER, 'grpc-status', String(code), 'grpc-message', encodeURI(message)], { endStream: true })
    // What its sender still has to say is not waited for.
    stream.close(NO_ERROR)
  }
  return (stream, headers) => {
    // A peer that breaks off is none of our failures.
    stream.on('error', () => undefined)
    const deadline = setTimeout(() => fail(stream, late()), deadlineMs(headers))
    stream.on('close', () => clearTimeout(deadline))
    serve(stream, headers).catch((error: unknown) => fail(stream, error))
  }
}

const late = () => new GrpcError(GRPC.deadlineExceeded, 'The deadline has passed.')

const isOver = (stream: ServerHttp2Stream) => stream.destroyed || stream.closed || stream.headersSent

function deadlineMs(headers: IncomingHttpHeaders): number {
  const asked = headers['grpc-timeout']
  return Math.min(CALL_MS_MAX, typeof asked === 'string' ? (timeoutMs(asked) ?? CALL_MS_MAX) : CALL_MS_MAX)
}

/** The method, for a caller who may use it. Throws `GrpcError`. */
function admit(
  { methods, verify }: CallDeps,
  headers: IncomingHttpHeaders,
): (message: Uint8Array) => Promise<Uint8Array> {
  const path = headers[':path'] ?? ''
  if (headers[':method'] !== 'POST' || headers['content-type']?.startsWith('application/grpc') !== true) {
    throw new GrpcError(GRPC.internal, 'This port speaks gRPC only.')
  }
  const method = methods.get(path)
  if (method === undefined) throw new GrpcError(GRPC.unimplemented, `There is no method ${path}.`)
  if (method.access === 'open') return message => method.handle(message)
  const principal = principalOf(method, headers, verify)
  return message => method.handle(message, principal)
}

function principalOf(
  { access }: GrpcMethod & { access: 'check' },
  headers: IncomingHttpHeaders,
  verify: CallDeps['verify'],
): Principal {
  const own = headers[TOKEN_HEADER]
  const token = typeof own === 'string' ? own : BEARER.exec(headers.authorization ?? '')?.[1]
  if (token === undefined) {
    throw new GrpcError(GRPC.unauthenticated, `A token is needed, as the metadata ${TOKEN_HEADER}.`)
  }
  const principal = verify(token)
  if (principal === null) throw new GrpcError(GRPC.unauthenticated, 'The token is unknown or revoked.')
  if (principal.scopes.has(access) || principal.scopes.has('admin')) return principal
  throw new GrpcError(GRPC.permissionDenied, `The token ${principal.name} lacks the scope ${access}.`)
}

/** The message; never settles for a call that was broken off. Rejects with `GrpcError`. */
function readMessage(stream: ServerHttp2Stream, underway: { bytes: number }): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  const leave = () => {
    underway.bytes -= bytes
    bytes = 0
  }
  return new Promise((resolve, reject) => {
    const refuse = (message: string) => reject(new GrpcError(GRPC.resourceExhausted, message))
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      underway.bytes += chunk.length
      if (bytes > MESSAGE_BYTES_MAX + HEAD_BYTES) refuse(`A message is at most ${MESSAGE_BYTES_MAX} bytes long.`)
      else if (underway.bytes > UNDERWAY_BYTES_MAX) refuse('Too many bytes are under way.')
    })
    stream.on('end', () => {
      leave()
      try {
        resolve(unframe(chunks))
      } catch (error) {
        reject(error)
      }
    })
    stream.on('close', leave)
  })
}

function succeed(stream: ServerHttp2Stream, answer: Uint8Array): void {
  stream.respond(ANSWER, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(OK_TRAILERS))
  stream.end(frame(answer))
}

const CODE_BY_STATUS: Readonly<Record<DoorError['statusCode'], GrpcCode>> = {
  400: GRPC.invalidArgument,
  403: GRPC.permissionDenied,
  404: GRPC.notFound,
}

/** What the caller is told; what is our fault is told to whoever reads our log. */
function statusOf(error: unknown, logger: Logger): { code: GrpcCode; message: string } {
  if (error instanceof GrpcError) return error
  if (error instanceof DoorError) return { code: CODE_BY_STATUS[error.statusCode], message: error.message }
  logger.error({ err: error }, 'a gRPC method threw')
  return { code: GRPC.internal, message: 'This is our fault; the log of the limiter says more.' }
}
