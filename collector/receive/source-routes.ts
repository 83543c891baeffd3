/**
 * `POST /v1/sources/{source}`: whatever a gateway, a cloud or a shipper sends, in the dialect of the source, with the
 * answer that its sender understands as success. What could not be read is kept as a rejection, so sending it again would
 * change nothing: it is a success too.
 */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { REJECTION_REASONS } from '../call-record.ts'
import type { PrincipalOf, Routes } from '../principal.ts'
import { type Acceptance, reasonCounts } from './accept.ts'
import { ENCODINGS, parseBody } from './body.ts'
import { binaryEventId, eventLines, isBinaryEvent, isCloudEvents, structuredEvent } from './cloud-events.ts'
import { firehoseAnswer, firehoseId, openFirehose } from './firehose.ts'
import {
  allButBody,
  type FailedRequest,
  ReceiveError,
  type ReceiveOptions,
  type RequestBodies,
  type TakenBody,
} from './request-body.ts'
import type { CallSource } from './source.ts'
import { mediaTypeOf, SourceParams, sourceOf } from './source-request.ts'
import type { Sources } from './sources.ts'

/** Rejections that an answer shows; all of them are kept. */
const SHOWN_MAX = 10
const NDJSON = /ndjson|jsonl/
/** What Cloudflare's Logpush uploads to see whether somebody is there. */
const TEST_UPLOAD = '{"content":"tests"}'
/** The dialect that reads CloudEvents as they are; all others read what is in them. */
const EVENT_DIALECT = 'openmeter'

export interface SourceRoutesDeps {
  bodies: RequestBodies
  sources: Sources
  principalOf: PrincipalOf
  limits: Pick<ReceiveOptions, 'decompressedBytesMax'>
  now: () => number
}

const SourceVerdict = Type.Object(
  {
    accepted: Type.Integer({ description: 'Calls that are durable.' }),
    skipped: Type.Integer({ description: 'What is no call and need not be one, such as a test upload.' }),
    rejected: Type.Record(Type.String(), Type.Integer(), {
      description: 'Calls that could not be normalized, by reason; they are kept as rejections.',
    }),
    examples: Type.Array(
      Type.Object({
        index: Type.Integer({ description: 'Place in the request, from 0.' }),
        reason: Type.Enum(REJECTION_REASONS),
        message: Type.String({ description: 'Names the field and its value.' }),
      }),
      { description: `The first ${SHOWN_MAX} of them.` },
    ),
  },
  { $id: 'SourceVerdict' },
)
type SourceVerdict = Static<typeof SourceVerdict>

const FirehoseAnswer = Type.Object(
  { requestId: Type.String(), timestamp: Type.Integer(), errorMessage: Type.Optional(Type.String()) },
  { $id: 'FirehoseAnswer', description: 'What Amazon Data Firehose is answered, as it wants it.' },
)

const schema = {
  summary: 'Send what a gateway logs',
  description:
    'JSON (one document, an array, one a line or one after the other), lines of text or CSV, as the dialect of the ' +
    'source has them; also deliveries of Amazon Data Firehose (CloudWatch subscriptions included) and CloudEvents ' +
    `(structured, binary, batches). Compressed with ${ENCODINGS.join(', ')} or not; the type does not matter. ` +
    'Answers 200 when the calls would survive a crash, also where some could not be read: those are kept as rejections. ' +
    'A call that is sent again is counted once. 404 names the sources that there are, but for those of other tenants.',
  tags: ['calls'],
  params: SourceParams,
  body: { content: { '*/*': { schema: Type.Unknown() } } },
  response: { 200: Type.Union([SourceVerdict, FirehoseAnswer]) },
}

/** The route for named sources; it reads bodies in a way of its own, so it needs a scope of its own. */
export function createSourceRoutes(deps: SourceRoutesDeps): Routes {
  const { bodies, sources, principalOf, now } = deps
  return server => {
    bodies.guard(server)
    server.setErrorHandler((error: FailedRequest, request, reply) => {
      const id = firehoseId(request.headers)
      if (id === null) throw error
      const { statusCode = 500 } = error
      // Firehose drops for ever what is answered with a 413, and keeps for later what anything else is answered with.
      const status = statusCode === 413 ? 503 : statusCode
      if (status === 500) throw error
      return reply.code(status).send(firehoseAnswer(id, now(), error.message))
    })
    server.route<{ Params: SourceParams }>({
      method: 'POST',
      url: '/v1/sources/:source',
      config: { access: 'ingest' },
      schema,
      validatorCompiler: allButBody(server),
      handler: async request => {
        const source = sourceOf(sources, request.params.source, principalOf(request))
        const acceptance = await receive(request, source, deps)
        const id = firehoseId(request.headers)
        return id === null ? verdictOf(acceptance) : firehoseAnswer(id, now())
      },
    })
  }
}

const receive = (request: FastifyRequest, source: CallSource, deps: SourceRoutesDeps): Promise<Acceptance> =>
  deps.bodies.handle(request, async bytes => {
    if (bytes.length < 2 * TEST_UPLOAD.length && bytes.toString().trim() === TEST_UPLOAD) return TEST_ACCEPTANCE
    return deps.bodies.take(request, { source, ...(await openBody(request, source, bytes, deps)) })
  })

const TEST_ACCEPTANCE: Acceptance = { accepted: 0, skipped: 1, rejected: [] }

/** The calls of a body, taken out of whatever its sender wraps them in. */
async function openBody(
  request: FastifyRequest,
  source: CallSource,
  bytes: Buffer,
  { bodies, limits }: Pick<SourceRoutesDeps, 'bodies' | 'limits'>,
): Promise<Omit<TakenBody, 'source'>> {
  const type = mediaTypeOf(request)
  const place = `source ${source.name}`
  const plain = { source, fileStem: null, isNdjson: NDJSON.test(type) }
  const id = firehoseId(request.headers)
  if (id !== null) {
    const lines = await openFirehose(bytes, limits.decompressedBytesMax)
    if (lines === null) throw new ReceiveError('BODY_UNREADABLE', 'This is no delivery of Amazon Data Firehose.')
    // A further attempt has the same id and records, but another time may stand around them.
    return { batch: bodies.split(lines, { ...plain, isNdjson: true }), bytes: lines, place: `${place} ${id}` }
  }
  const readsEvents = source.dialect.name === EVENT_DIALECT
  if (isBinaryEvent(request.headers)) {
    const event = readsEvents ? structuredEvent(bytes, request.headers, type) : bytes
    return { batch: bodies.split(event, plain), bytes, place: `${place} ${binaryEventId(request.headers)}` }
  }
  if (!readsEvents && isCloudEvents(type)) {
    const { parsed } = parseBody(bytes)
    if (parsed.kind === 'value') {
      return { batch: bodies.split(eventLines(parsed.value), { ...plain, isNdjson: true }), bytes, place }
    }
  }
  return { batch: bodies.split(bytes, plain), bytes, place }
}

function verdictOf({ accepted, skipped, rejected }: Acceptance): SourceVerdict {
  return {
    accepted,
    skipped,
    rejected: Object.fromEntries(reasonCounts(rejected)),
    examples: rejected.slice(0, SHOWN_MAX),
  }
}
