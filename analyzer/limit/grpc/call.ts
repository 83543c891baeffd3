/**
 * One gRPC call: who calls is checked before anything of its message is kept, or as soon as it is read where the message
 * says so; it is read within bounds, the method answers, and the status goes out behind it. A call that is over (answered,
 * cancelled, late) stays over.
 */
import type { Logger } from 'pino'
import type { BeginCall, MeasuredCall, Principal } from '../../../collector/principal.ts'
import { grpcCallFailed } from '../../events.ts'
import { DoorError } from '../door-error.ts'
import type { Connection } from './connection.ts'
import type { StreamHandler } from './connection-state.ts'
import { frame, HEAD_BYTES, timeoutMs, unframe } from './framing.ts'
import { encodeFields } from './hpack.ts'
import type { RequestHeaders } from './request-headers.ts'
import {
  type Answering,
  type CheckMethod,
  GRPC,
  type GrpcCode,
  GrpcError,
  type GrpcMethods,
  TOKEN_NAME,
} from './rpc.ts'
import type { Stream } from './streams.ts'

/** Of one message; ext_authz may carry the beginning of a body. */
const MESSAGE_BYTES_MAX = 256 * 1024
export const CONTENT_BYTES_MAX = HEAD_BYTES + MESSAGE_BYTES_MAX
/** Of all calls whose messages have not arrived whole yet; those without a token have a room of their own. */
const UNDERWAY_BYTES_MAX = { trusted: 64 * 2 ** 20, open: 2 ** 20 } as const
/** What keeping a call takes, and a part of its message beside its bytes. */
const CALL_BYTES = 512
const PART_BYTES = 256
/** Of what is told of a failure: it may quote what was asked, and has to fit into one frame. */
const REASON_CHARACTERS_MAX = 1_000
/** A call without a deadline, or with a later one, is over after so long. */
const CALL_MS_MAX = 10_000

/** Callers whose failures take turns would have every one of them logged. */
const LOG_MS = 1_000

const BEARER = /^bearer +(\S+)$/i

/** `:status 200` is the eighth field of HPACK's static table. */
const STATUS_200 = Buffer.from([0x80 | 8])
const HEAD_FIELDS = [
  ['content-type', 'application/grpc'],
  ['grpc-accept-encoding', 'identity'],
] as const
const HEAD = Buffer.concat([STATUS_200, encodeFields(HEAD_FIELDS)])
const OK_TRAILERS = encodeFields([['grpc-status', String(GRPC.ok)]])

export interface CallDeps {
  methods: GrpcMethods
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
  logger: Logger
}

/** What is kept of a call while it is under way. */
export interface Call extends Admitted {
  readonly connection: Connection<Call>
  /** On the clock of `nowMs`. */
  readonly deadlineMs: number
  /** What of the message is there, where it comes in parts. */
  parts: Buffer[]
  bytes: number
  /** What it takes of the room for all calls under way. */
  roomBytes: number
  /** To be told when it is over. */
  readonly measured: MeasuredCall | undefined
}

interface Admitted {
  readonly room: keyof typeof UNDERWAY_BYTES_MAX
  readonly handle: (message: Uint8Array) => Answering
}

interface CallHandler extends StreamHandler<Call> {
  /** Whether a call came with a token that may. */
  isTrusted(): boolean
}

export interface Calls {
  /** Serves the streams of one connection; all of them share one bound of memory. */
  handlerOf(connection: () => Connection<Call>): CallHandler
  /** Ends the calls whose deadline has passed. */
  endLate(connection: Connection<Call>, nowMs: number): void
}

export function createCalls(deps: CallDeps & { nowMs: () => number }): Calls {
  const { take, keep, leave } = createRoom()
  const tell = createTelling(deps)
  const fail = (
    connection: Connection<Call>,
    stream: Stream<Call>,
    error: unknown,
    measured = stream.own?.measured,
  ) => {
    leave(stream.own)
    if (stream.isOver) return
    const { code, message } = within(measured, () => tell(error))
    measured?.end(code)
    connection.refuse(stream, failureBlock(code, message))
  }
  const succeed = (connection: Connection<Call>, stream: Stream<Call>, answer: Uint8Array) => {
    stream.own?.measured?.end(GRPC.ok)
    connection.answer(stream, { head: HEAD, content: frame(answer), trailers: OK_TRAILERS })
  }
  const make = (stream: Stream<Call>, { connection, handle, measured }: Call, body: Buffer) => {
    const answer = within(measured, () => handle(unframe(body)))
    if (!(answer instanceof Promise)) return succeed(connection, stream, answer)
    answer.then(
      bytes => succeed(connection, stream, bytes),
      (error: unknown) => fail(connection, stream, error),
    )
  }
  const handlerOf = (connection: () => Connection<Call>): CallHandler => {
    const peer = { isTrusted: false }
    return {
      isTrusted: () => peer.isTrusted,
      opened(stream, headers) {
        const measured = begin(deps, headers)
        try {
          const deadlineMs = deps.nowMs() + callMs(headers)
          const call = { ...admit(deps, headers, peer), connection: connection(), deadlineMs, measured }
          stream.own = { ...call, parts: [], bytes: 0, roomBytes: 0 }
          take(stream.own, CALL_BYTES)
        } catch (error) {
          fail(connection(), stream, error, measured)
        }
      },
      received(stream, part, isLast) {
        const call = stream.own
        if (call === null) return
        try {
          if (!isLast || call.bytes > 0) keep(call, part)
          if (!isLast) return
          const body = call.bytes > 0 ? Buffer.concat(call.parts) : part
          leave(call)
          make(stream, call, body)
        } catch (error) {
          fail(call.connection, stream, error)
        }
      },
      lost(stream) {
        leave(stream.own)
        stream.own?.measured?.end(GRPC.cancelled)
      },
    }
  }
  return {
    handlerOf,
    endLate(connection, nowMs) {
      for (const stream of connection.streams.values()) {
        if (stream.own === null || stream.own.deadlineMs > nowMs) continue
        // An answer that is not taken is late, too.
        if (stream.unsent !== null) connection.cancel(stream)
        else fail(connection, stream, new GrpcError(GRPC.deadlineExceeded, 'The deadline has passed.'))
      }
    },
  }
}

/** Of failures: to whoever reads our log not more than once a second, to the caller by what is answered. */
function createTelling({ logger, nowMs }: Pick<CallDeps, 'logger'> & { nowMs: () => number }) {
  let logged = { failure: '', atMs: Number.NEGATIVE_INFINITY }
  return (error: unknown): { code: GrpcCode; message: string } => {
    const { code, message: whole } = statusOf(error, logger)
    const message = whole.slice(0, REASON_CHARACTERS_MAX).toWellFormed()
    const failure = `${code} ${message}`
    const atMs = nowMs()
    const isNew = failure !== logged.failure && atMs - logged.atMs >= LOG_MS
    if (isNew) logged = { failure, atMs }
    grpcCallFailed(logger, { code, reason: message }, isNew)
    return { code, message }
  }
}

function begin({ methods, beginCall }: CallDeps, headers: RequestHeaders): MeasuredCall | undefined {
  const path = headers.get(':path') ?? ''
  return beginCall?.(methods.has(path) ? path : null, headers)
}

const within = <T>(measured: MeasuredCall | undefined, act: () => T): T =>
  measured === undefined ? act() : measured.within(act)

/** What calls under way keep until their messages are whole. Throws `GrpcError` where there is no more room. */
function createRoom() {
  const takenBytes = { trusted: 0, open: 0 }
  const take = (call: Call, bytes: number) => {
    call.roomBytes += bytes
    takenBytes[call.room] += bytes
    if (takenBytes[call.room] > UNDERWAY_BYTES_MAX[call.room]) throw tooMuch('Too many bytes are under way.')
  }
  return {
    take,
    keep(call: Call, part: Buffer) {
      // A copy, so that what came with it goes.
      call.parts.push(Buffer.from(part))
      call.bytes += part.length
      if (call.bytes > CONTENT_BYTES_MAX) throw tooMuch(`A message is at most ${MESSAGE_BYTES_MAX} bytes long.`)
      take(call, part.length + PART_BYTES)
    },
    leave(call: Call | null) {
      if (call === null) return
      takenBytes[call.room] -= call.roomBytes
      call.roomBytes = 0
      call.parts = []
    },
  }
}

const tooMuch = (message: string) => new GrpcError(GRPC.resourceExhausted, message)

function callMs(headers: RequestHeaders): number {
  const asked = headers.get('grpc-timeout')
  return asked === undefined ? CALL_MS_MAX : Math.min(CALL_MS_MAX, timeoutMs(asked) ?? CALL_MS_MAX)
}

/** The method, for a caller who may use it, as far as can be known before its message. Throws `GrpcError`. */
function admit({ methods, verify }: CallDeps, headers: RequestHeaders, peer: { isTrusted: boolean }): Admitted {
  const path = headers.get(':path') ?? ''
  if (headers.get(':method') !== 'POST' || headers.get('content-type')?.startsWith('application/grpc') !== true) {
    throw new GrpcError(GRPC.internal, 'This port speaks gRPC only.')
  }
  const method = methods.get(path)
  if (method === undefined) throw new GrpcError(GRPC.unimplemented, `There is no method ${path}.`)
  if (method.access === 'open') return { room: 'open', handle: message => method.handle(message) }
  const trust = (token: string | undefined) => {
    const principal = principalOf(method, token, verify)
    peer.isTrusted = true
    return principal
  }
  const token = headers.get(TOKEN_NAME) ?? BEARER.exec(headers.get('authorization') ?? '')?.[1]
  const { tokenIn } = method
  if (token === undefined && tokenIn !== undefined) {
    const room = peer.isTrusted ? 'trusted' : 'open'
    return { room, handle: message => method.handle(message, trust(tokenIn(message))) }
  }
  const principal = trust(token)
  return { room: 'trusted', handle: message => method.handle(message, principal) }
}

function principalOf(
  { access, tokenIn }: CheckMethod,
  token: string | undefined,
  verify: CallDeps['verify'],
): Principal {
  if (token === undefined) {
    const where = tokenIn === undefined ? 'the metadata' : 'the metadata or the context extension'
    throw new GrpcError(GRPC.unauthenticated, `A token is needed, as ${where} ${TOKEN_NAME}.`)
  }
  const principal = verify(token)
  if (principal === null) throw new GrpcError(GRPC.unauthenticated, 'The token is unknown or revoked.')
  if (principal.scopes.has(access) || principal.scopes.has('admin')) return principal
  throw new GrpcError(GRPC.permissionDenied, `The token ${principal.name} lacks the scope ${access}.`)
}

function failureBlock(code: GrpcCode, message: string): Buffer {
  const fields = encodeFields([...HEAD_FIELDS, ['grpc-status', String(code)], ['grpc-message', encodeURI(message)]])
  return Buffer.concat([STATUS_200, fields])
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
