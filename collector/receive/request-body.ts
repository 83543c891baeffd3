/**
 * Bodies of requests with calls: read as bytes, decompressed, and handled, all of them together within the memory that is
 * set aside for them. Whoever cannot be served now is told to come again; nothing is accepted and then dropped.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest, FastifySchemaCompiler } from 'fastify'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { deliveryRefused, type Receiver } from '../events.ts'
import { type CallLog, LogError, type LogErrorCode } from '../log/call-log.ts'
import { DialectError } from '../normalize/draft.ts'
import type { PrincipalOf } from '../principal.ts'
import type { Acceptance } from './accept.ts'
import { BodyError, type BodyShape, decompressBody, splitBody } from './body.ts'
import { collectBody } from './collect.ts'
import { type Flight, LARGE_BYTES, leaveAtEnd, type Turns } from './flight.ts'
import type { Intake } from './intake.ts'
import { ProtobufError } from './protobuf.ts'
import type { RawBatch } from './raw-batch.ts'
import type { CallSource } from './source.ts'

const MiB = 2 ** 20
const RETRY_AFTER_SECONDS = 2
export const CROWDED = 'too many bytes are under way'
/** What a request takes beside its body, from its first header to its answer. */
const REQUEST_BYTES = 16 * 1024

/** Bounds of what arrives over HTTP and gRPC; part of the config section `collector`. */
export const ReceiveOptions = Type.Object(
  {
    bodyBytesMax: Type.Integer({
      default: 8 * MiB,
      minimum: 1024,
      maximum: 256 * MiB,
      description: 'Largest body of a request, as it is sent.',
    }),
    decompressedBytesMax: Type.Integer({
      default: 8 * MiB,
      minimum: 1024,
      maximum: 256 * MiB,
      description: 'Largest body of a request after decompression. It takes many times its size in memory.',
    }),
    requestCallsMax: Type.Integer({
      default: 100_000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Most calls of one request.',
    }),
    inFlightBytesMax: Type.Integer({
      default: 32 * MiB,
      minimum: 1024,
      maximum: 16 * 1024 * MiB,
      description:
        'Bytes of all bodies that are being received or handled, and 16 KiB for each of their requests; beyond, senders ' +
        'are told to wait (503). Messages of gRPC that have not arrived whole may take as much once more.',
    }),
  },
  { additionalProperties: false },
)
export type ReceiveOptions = Static<typeof ReceiveOptions>

type ReceiveErrorCode =
  | 'MAPPING_UNKNOWN'
  | 'SOURCE_UNKNOWN'
  | 'TYPE_UNSUPPORTED'
  | 'BODY_UNREADABLE'
  | ProtobufError['code']
  | DialectError['code']
const STATUSES: Partial<Record<ReceiveErrorCode, 404 | 413 | 415>> = {
  SOURCE_UNKNOWN: 404,
  MESSAGE_TOO_LARGE: 413,
  TYPE_UNSUPPORTED: 415,
}

/** What an error handler is given: of an error without a status nobody but us is at fault. */
export interface FailedRequest extends Error {
  statusCode?: number
  retryAfterSeconds?: number
}

/** A request that cannot be answered with a verdict on each call. */
export class ReceiveError extends Error {
  readonly statusCode: 400 | 404 | 413 | 415
  readonly code: ReceiveErrorCode

  constructor(code: ReceiveErrorCode, message: string) {
    super(message)
    this.name = 'ReceiveError'
    this.code = code
    this.statusCode = STATUSES[code] ?? 400
  }
}

/** Not now: the same request can succeed later. */
export class BusyError extends Error {
  readonly statusCode = 503
  readonly code: LogErrorCode | 'BUSY'
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS

  constructor(code: BusyError['code'], message: string) {
    super(message)
    this.name = 'BusyError'
    this.code = code
  }
}

export interface RequestBodies {
  /** Makes all bodies of this scope bytes, admitted as long as there is room and the log takes calls. */
  guard(scope: FastifyInstance): void
  /**
   * What `handle` answers of the body, decompressed. A large one takes many times its size while it is handled, so large
   * ones are handled one after the other. Throws `BodyError`, `BusyError`, and what `handle` throws.
   */
  handle<T>(request: FastifyRequest, handle: (bytes: Buffer) => Promise<T>): Promise<T>
  /** Throws `ReceiveError` for what the dialect cannot read as a whole, `BodyError`. */
  split(bytes: Buffer, shape: Omit<BodyShape, 'recordsMax'>): RawBatch
  /** Resolves when the batch is durable. Throws `BusyError`. */
  take(request: FastifyRequest, body: TakenBody): Promise<Acceptance>
}

export interface TakenBody {
  source: CallSource
  batch: RawBatch
  /** Decompressed: what is the same when the body is sent again. */
  bytes: Buffer
  /** Names where the body was sent, and the delivery where it has an id: equal bodies of two places are two deliveries. */
  place: string
}

export interface RequestBodiesDeps {
  log: CallLog
  intake: Intake
  principalOf: PrincipalOf
  limits: ReceiveOptions
  /** Of all ways in that hold what they receive in memory. */
  flight: Flight
  /** Of large bodies that are handled. */
  handlingLarge: Turns
  logger: Logger
}

export function createRequestBodies(deps: RequestBodiesDeps, receiver: Receiver): RequestBodies {
  const { log, intake, principalOf, limits, flight, logger } = deps
  const busy = (code: BusyError['code'], reason: string): BusyError => {
    deliveryRefused(logger, { receiver, reason })
    return new BusyError(code, reason)
  }
  const collect = (request: FastifyRequest, payload: IncomingMessage): Promise<Buffer> =>
    collectBody(payload, limits.bodyBytesMax, pieceBytes => {
      if (!flight.grow(request, pieceBytes)) throw busy('BUSY', CROWDED)
    })
  return {
    guard(scope) {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', collect)
      scope.addHook('onRequest', (request, _reply, done) => {
        if (request.method !== 'POST' || request.is404) return done()
        const reason = log.unavailable('calls')
        if (reason !== null) return done(busy('LOG_UNAVAILABLE', reason))
        // Whoever is slow holds no more than what has come of the body.
        if (!flight.enter(request, REQUEST_BYTES)) return done(busy('BUSY', CROWDED))
        done()
      })
      leaveAtEnd(scope, flight)
    },
    async handle(request, handle) {
      const sent = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const encoding = request.headers['content-encoding'] ?? ''
      const decompress = async (bytesMax: number) => {
        const bytes = await decompressBody(sent, encoding, bytesMax)
        if (bytes !== sent && !flight.grow(request, bytes.length)) throw busy('BUSY', CROWDED)
        return bytes
      }
      const small = await unlessLarge(() => decompress(Math.min(LARGE_BYTES, limits.decompressedBytesMax)))
      // A large body that waits for its turn takes no more than what was sent.
      return small === null
        ? deps.handlingLarge(async () => handle(await decompress(limits.decompressedBytesMax)))
        : handle(small)
    },
    split: (bytes, shape) => fitting(() => splitBody(bytes, { ...shape, recordsMax: limits.requestCallsMax })),
    async take(request, { source, batch, bytes, place }) {
      let bodyHash: string | null = null
      const keyAt = (position: number) => {
        bodyHash ??= hash('sha256', bytes, 'hex')
        return `${place} ${bodyHash} ${position}`
      }
      try {
        return await intake.take(source, batch, { receiver, restriction: principalOf(request).tenant, keyAt })
      } catch (error) {
        throw error instanceof LogError && error.retryable ? busy(error.code, error.message) : error
      }
    },
  }
}

async function unlessLarge(decompress: () => Promise<Buffer>): Promise<Buffer | null> {
  try {
    return await decompress()
  } catch (error) {
    if (error instanceof BodyError && error.code === 'BODY_TOO_LARGE') return null
    throw error
  }
}

/** What `read` answers. Throws `ReceiveError` for what cannot be read as a whole. */
export function fitting<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    const isOurs = error instanceof DialectError || error instanceof ProtobufError
    throw isOurs ? new ReceiveError(error.code, error.message) : error
  }
}

/** Bodies are bytes here: calls are checked one by one. The schema of a body is documentation. */
export function allButBody(server: FastifyInstance): FastifySchemaCompiler<unknown> {
  return definition => {
    const compile = server.validatorCompiler
    return definition.httpPart === 'body' || compile === undefined ? () => true : compile(definition)
  }
}
