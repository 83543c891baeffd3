/**
 * OTLP over HTTP: log records and spans of exporters and collectors, in protobuf or JSON. `/v1/logs` and `/v1/traces` belong
 * to the source that a header names; below a source's own path they belong to that one, so that its path is a whole endpoint.
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static, type TSchema } from 'typebox'
import type { PrincipalOf, Routes } from '../principal.ts'
import type { Rejected } from './accept.ts'
import { ENCODINGS, parseBody } from './body.ts'
import { exportAnswer, exportBatches, METRICS_ANSWER, OTLP_SOURCE } from './otlp.ts'
import {
  type CallSignal,
  decodeExport,
  type Encoding,
  type ExportAnswer,
  encodeAnswer,
  encodeStatus,
} from './otlp-messages.ts'
import { allButBody, type FailedRequest, fitting, ReceiveError, type RequestBodies } from './request-body.ts'
import { rpcCodeOf } from './rpc.ts'
import { mediaTypeOf, SOURCE_HEADER, SourceParams, sourceOf } from './source-request.ts'
import type { Sources } from './sources.ts'

const PROTOBUF = 'application/x-protobuf'
const ENCODING_OF: ReadonlyMap<string, Encoding> = new Map([
  [PROTOBUF, 'protobuf'],
  ['application/protobuf', 'protobuf'],
  ['application/json', 'json'],
])
const TYPE_OF: Readonly<Record<Encoding, string>> = { protobuf: PROTOBUF, json: 'application/json' }

export interface OtlpRoutesDeps {
  bodies: RequestBodies
  sources: Sources
  principalOf: PrincipalOf
}

const Headers = Type.Object({
  [SOURCE_HEADER]: Type.String({ default: OTLP_SOURCE, maxLength: 64, description: 'Name of the source.' }),
})
type Headers = Static<typeof Headers>

const Binary = Type.String({ format: 'binary' })
const oneOf = (schema: TSchema) => ({
  description: 'As OTLP has it.',
  content: { [TYPE_OF.json]: { schema }, [TYPE_OF.protobuf]: { schema: Binary } },
})
const Answer = Type.Object({
  partialSuccess: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'How many were not kept, and why.' }),
  ),
})
const Status = Type.Object({ code: Type.Integer(), message: Type.String() }, { description: '`google.rpc.Status`.' })
/** Bodies and answers are encoded here: this is documentation. */
const exchange = {
  body: oneOf(Type.Object({})),
  response: { 200: oneOf(Answer), '4xx': oneOf(Status), '5xx': oneOf(Status) },
}

/** OTLP's routes; they read bodies in a way of their own, so they need a scope of their own. */
export function createOtlpRoutes(deps: OtlpRoutesDeps): Routes {
  return server => {
    deps.bodies.guard(server)
    server.setErrorHandler(answerFailure)
    for (const signal of ['logs', 'traces'] as const) {
      addRoute(server, deps, signal, `/v1/${signal}`)
      addRoute(server, deps, signal, `/v1/sources/:source/v1/${signal}`)
    }
    addMetricsRoute(server)
  }
}

function addRoute(server: FastifyInstance, deps: OtlpRoutesDeps, signal: CallSignal, url: string): void {
  const isNamed = url.includes(':source')
  server.route({
    method: 'POST',
    url,
    config: { access: 'ingest' },
    schema: {
      summary: `Send ${signal} of OpenTelemetry`,
      description:
        `An \`Export${signal === 'logs' ? 'Logs' : 'Trace'}ServiceRequest\` of OTLP in protobuf or JSON, compressed with ` +
        `${ENCODINGS.join(', ')} or not. Spans and log records that are no calls are passed over. Answers when the calls ` +
        'would survive a crash; those that could not be read are kept as rejections and told of in `partialSuccess`.',
      tags: ['calls'],
      ...exchange,
      ...(isNamed ? { params: SourceParams } : { headers: Headers }),
    },
    validatorCompiler: allButBody(server),
    handler: async (request, reply) => {
      const name = isNamed ? (request.params as SourceParams).source : (request.headers as Headers)[SOURCE_HEADER]
      const encoding = encodingOf(request)
      const answer = await receive(request, { signal, encoding, name }, deps)
      return send(reply, encoding, encodeAnswer(signal, answer, encoding))
    },
  })
}

/** Exporters send all signals to one endpoint: that one is of no use here is a warning in their log, and no failure. */
function addMetricsRoute(server: FastifyInstance): void {
  server.route({
    method: 'POST',
    url: '/v1/metrics',
    config: { access: 'ingest' },
    schema: {
      summary: 'Send metrics of OpenTelemetry, in vain',
      description: 'Answers OTLP that metrics are not kept: calls are counted from logs and spans.',
      tags: ['calls'],
      ...exchange,
    },
    validatorCompiler: allButBody(server),
    handler: (request, reply) => {
      const encoding = encodingOf(request)
      return send(reply, encoding, encodeAnswer('metrics', METRICS_ANSWER, encoding))
    },
  })
}

function encodingOf(request: FastifyRequest): Encoding {
  const encoding = ENCODING_OF.get(mediaTypeOf(request))
  if (encoding !== undefined) return encoding
  throw new ReceiveError('TYPE_UNSUPPORTED', `Content-Type is one of ${[...ENCODING_OF.keys()].join(', ')}.`)
}

const send = (reply: FastifyReply, encoding: Encoding, body: Buffer) => reply.type(TYPE_OF[encoding]).send(body)

async function receive(
  request: FastifyRequest,
  { signal, encoding, name }: { signal: CallSignal; encoding: Encoding; name: string },
  { bodies, sources, principalOf }: OtlpRoutesDeps,
): Promise<ExportAnswer> {
  const source = sourceOf(sources, name, principalOf(request))
  return bodies.handle(request, async bytes => {
    const batches = fitting(() => {
      const document = encoding === 'protobuf' ? decodeExport(signal, bytes) : jsonDocument(bytes)
      return exportBatches(document, source)
    })
    const rejected: Rejected[] = []
    for (const [index, part] of batches.entries()) {
      const place = `otlp ${source.name} ${index}`
      rejected.push(...(await bodies.take(request, { ...part, bytes, place })).rejected)
    }
    return exportAnswer(rejected)
  })
}

function jsonDocument(bytes: Buffer): unknown {
  const { parsed } = parseBody(bytes)
  if (parsed.kind === 'value') return parsed.value
  throw new ReceiveError('BODY_UNREADABLE', parsed.message)
}

/** OTLP has failures in its own words; what is our fault is left to whoever writes it into the log. */
function answerFailure(error: FailedRequest, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode = 500, retryAfterSeconds } = error
  const encoding = ENCODING_OF.get(mediaTypeOf(request))
  if (statusCode === 500 || encoding === undefined) throw error
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
  return send(reply.code(statusCode), encoding, encodeStatus(rpcCodeOf(statusCode), error.message, encoding))
}
