/**
 * `POST /v1/calls`: calls as JSON, lines of JSON, or through a mapping. The answer comes when they are durable and says
 * which of them are bad; nothing is accepted and then dropped.
 */
import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest, FastifySchemaCompiler } from 'fastify'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { REJECTION_REASONS, type RejectionReason } from '../call-record.ts'
import { callsReceived, deliveryRefused } from '../events.ts'
import { type CallLog, LogError, type LogErrorCode } from '../log/call-log.ts'
import { CanonicalCall } from '../normalize/canonical.ts'
import { type Dialect, DialectError } from '../normalize/draft.ts'
import type { Normalizer } from '../normalize/normalize.ts'
import type { Delivery } from '../normalize/record.ts'
import type { PrincipalOf, Routes } from '../principal.ts'
import { type Acceptance, acceptBatch, reasonCounts } from './accept.ts'
import { type BodyShape, decompressBody, ENCODINGS, splitBody } from './body.ts'
import { fileStemOf } from './file-stem.ts'
import { createFlight, createTurns, type Flight } from './flight.ts'
import type { RawBatch } from './raw-batch.ts'
import { plainSource } from './source.ts'

const MiB = 2 ** 20
const RETRY_AFTER_SECONDS = 2
/** Bodies that are decompressed at once: until it is done, nobody knows how much memory one takes. */
const DECOMPRESSIONS_MAX = 2

/** Bounds of what arrives over HTTP; part of the config section `collector`. */
export const ReceiveOptions = Type.Object(
  {
    bodyBytesMax: Type.Integer({
      default: 16 * MiB,
      minimum: 1024,
      maximum: 256 * MiB,
      description: 'Largest body of a request, as it is sent.',
    }),
    decompressedBytesMax: Type.Integer({
      default: 64 * MiB,
      minimum: 1024,
      maximum: 256 * MiB,
      description: 'Largest body of a request after decompression.',
    }),
    requestCallsMax: Type.Integer({
      default: 100_000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Most calls of one request.',
    }),
    inFlightBytesMax: Type.Integer({
      default: 256 * MiB,
      minimum: 1024,
      description: 'Bytes of all bodies that are being received or handled; beyond, senders are told to wait (503).',
    }),
  },
  { additionalProperties: false },
)
export type ReceiveOptions = Static<typeof ReceiveOptions>

export interface CallRoutesDeps {
  log: CallLog
  normalizer: Normalizer
  principalOf: PrincipalOf
  limits: ReceiveOptions
  logger: Logger
  now: () => number
  /** Hears of every request whose calls are durable. */
  onReceived: (accepted: number, rejected: ReadonlyMap<RejectionReason, number>) => void
}

/** A request that cannot be answered with a verdict on each call. */
class CallsRequestError extends Error {
  readonly statusCode: 400 | 415
  readonly code: 'MAPPING_UNKNOWN' | 'TYPE_UNSUPPORTED' | DialectError['code']

  constructor(code: CallsRequestError['code'], message: string) {
    super(message)
    this.name = 'CallsRequestError'
    this.code = code
    this.statusCode = code === 'TYPE_UNSUPPORTED' ? 415 : 400
  }
}

/** Not now: the same request can succeed later. */
class BusyError extends Error {
  readonly statusCode = 503
  readonly code: LogErrorCode | 'BUSY'
  readonly retryAfterSeconds = RETRY_AFTER_SECONDS

  constructor(code: BusyError['code'], message: string) {
    super(message)
    this.name = 'BusyError'
    this.code = code
  }
}

const JSON_TYPES = ['application/json', 'application/x-ndjson', 'application/ndjson', 'application/jsonl']
const NDJSON = /ndjson|jsonl/
const JSON_TYPE = /^(?:application|text)\/(?:[\w.-]+\+)?(?:json|x-ndjson|ndjson|jsonl|x-jsonlines)$/

const Query = Type.Object(
  {
    mapping: Type.Optional(Type.String({ maxLength: 64, description: 'Mapping of the config that reads the body.' })),
    file: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'Name of the file that the body is, for `{fileStem}`.',
      }),
    ),
  },
  { additionalProperties: false },
)

const Verdict = Type.Object(
  {
    accepted: Type.Integer({ description: 'Calls that are durable.' }),
    rejected: Type.Array(
      Type.Object({
        index: Type.Integer({ description: 'Place in the request, from 0.' }),
        reason: Type.Enum(REJECTION_REASONS),
        message: Type.String({ description: 'Names the field and its value.' }),
      }),
      { description: 'Calls that are not; they are kept as rejections.' },
    ),
  },
  { $id: 'CallsVerdict' },
)

const body = Type.Union([CanonicalCall, Type.Array(CanonicalCall)])
const schema = {
  summary: 'Send calls',
  description:
    'One call, an array, or one JSON document a line; with `mapping`, whatever that mapping reads. Compressed with ' +
    `${ENCODINGS.join(', ')} or not. Answers when the calls would survive a crash: 200, or 400 when none was good. ` +
    'A call that is sent again is counted once.',
  tags: ['calls'],
  querystring: Query,
  body: { content: Object.fromEntries(JSON_TYPES.map(type => [type, { schema: body }])) },
  response: { 200: Verdict, 400: Verdict },
}

/** The route of `POST /v1/calls`; it reads bodies in a way of its own, so it needs a scope of its own. */
export function createCallRoutes(deps: CallRoutesDeps): Routes {
  const { limits, log, logger } = deps
  return server => {
    const flight = createFlight(limits.inFlightBytesMax)
    const inTurn = createTurns(DECOMPRESSIONS_MAX)
    server.removeAllContentTypeParsers()
    server.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: limits.bodyBytesMax }, (_request, read, done) =>
      done(null, read),
    )
    server.addHook('onRequest', (request, _reply, done) => {
      const reason = log.unavailable('calls')
      if (reason !== null) return done(refused(logger, 'LOG_UNAVAILABLE', reason))
      const bytes = Number(request.headers['content-length'] ?? limits.bodyBytesMax)
      if (!flight.enter(request, bytes)) return done(refused(logger, 'BUSY', 'too many bytes are under way'))
      done()
    })
    server.addHook('onResponse', (request, _reply, done) => {
      flight.leave(request)
      done()
    })
    // A sender that goes away before its body is whole gets no response.
    server.addHook('onRequestAbort', (request, done) => {
      flight.leave(request)
      done()
    })
    server.route<{ Querystring: Static<typeof Query> }>({
      method: 'POST',
      url: '/v1/calls',
      config: { access: 'ingest' },
      schema,
      bodyLimit: limits.bodyBytesMax,
      validatorCompiler: onlyQuery(server),
      handler: async (request, reply) => {
        const bytes = await readBody(request, deps, { flight, inTurn })
        const verdict = await receive(request, bytes, deps)
        reply.code(verdict.accepted > 0 || verdict.rejected.length === 0 ? 200 : 400)
        return verdict
      },
    })
  }
}

function refused(logger: Logger, code: BusyError['code'], reason: string): BusyError {
  deliveryRefused(logger, { receiver: 'http', reason })
  return new BusyError(code, reason)
}

/** Bodies are bytes here: calls are checked one by one. The schema of the body is documentation. */
function onlyQuery(server: FastifyInstance): FastifySchemaCompiler<unknown> {
  return definition => {
    const compile = server.validatorCompiler
    return definition.httpPart === 'body' || compile === undefined ? () => true : compile(definition)
  }
}

/** The body, decompressed where it is not plain, within the memory that is set aside for bodies. */
async function readBody(
  request: FastifyRequest,
  { limits, logger }: CallRoutesDeps,
  { flight, inTurn }: { flight: Flight; inTurn: ReturnType<typeof createTurns> },
): Promise<Buffer> {
  const sent = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  const encoding = request.headers['content-encoding'] ?? ''
  return inTurn(async () => {
    const bytes = await decompressBody(sent, encoding, limits.decompressedBytesMax)
    if (bytes !== sent && !flight.grow(request, bytes.length)) {
      throw refused(logger, 'BUSY', 'too many bytes are under way')
    }
    return bytes
  })
}

async function receive(
  request: FastifyRequest<{ Querystring: Static<typeof Query> }>,
  bytes: Buffer,
  deps: CallRoutesDeps,
): Promise<Static<typeof Verdict>> {
  const { normalizer, limits, logger, now } = deps
  const { mapping, file } = request.query
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const dialect = dialectOf(normalizer, mapping, type)
  const shape = {
    source: plainSource(dialect),
    fileStem: file === undefined ? null : fileStemOf(file),
    isNdjson: NDJSON.test(type),
    recordsMax: limits.requestCallsMax,
  }
  const batch = splitOrRefuse(bytes, shape)
  let bodyHash: string | null = null
  const { accepted, rejected } = await acceptOrRefuse(deps, batch, {
    dialect: dialect.name,
    arrivedAtMs: now(),
    gateway: null,
    tenant: null,
    restriction: deps.principalOf(request).tenant,
    shiftMs: 0,
    keyAt(position) {
      bodyHash ??= hash('sha256', bytes, 'hex')
      return `http ${bodyHash} ${position}`
    },
  })
  const reasons = reasonCounts(rejected)
  callsReceived(logger, { receiver: 'http', dialect: dialect.name, accepted, rejected: reasons })
  deps.onReceived(accepted, reasons)
  return {
    accepted,
    rejected: rejected.map(({ index, rejection: { reason, message } }) => ({ index, reason, message })),
  }
}

function dialectOf(normalizer: Normalizer, mapping: string | undefined, type: string): Dialect {
  const name = mapping ?? 'canonical'
  const dialect = normalizer.dialect(name)
  if (dialect === undefined)
    throw new CallsRequestError('MAPPING_UNKNOWN', `There is no mapping ${JSON.stringify(name)}.`)
  // A mapping says itself what it reads, so that senders which cannot set a type can use one.
  if (mapping === undefined && type !== '' && !JSON_TYPE.test(type)) {
    throw new CallsRequestError(
      'TYPE_UNSUPPORTED',
      `Content-Type is one of ${JSON_TYPES.join(', ')}; others need a mapping.`,
    )
  }
  return dialect
}

function splitOrRefuse(bytes: Buffer, shape: BodyShape): RawBatch {
  try {
    return splitBody(bytes, shape)
  } catch (error) {
    throw error instanceof DialectError ? new CallsRequestError(error.code, error.message) : error
  }
}

async function acceptOrRefuse(
  deps: CallRoutesDeps,
  batch: RawBatch,
  origin: Omit<Delivery, 'inputAt'>,
): Promise<Acceptance> {
  try {
    return await acceptBatch(deps, batch, origin)
  } catch (error) {
    throw error instanceof LogError && error.retryable ? refused(deps.logger, error.code, error.message) : error
  }
}
