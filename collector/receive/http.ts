/**
 * `POST /v1/calls`: calls as JSON, lines of JSON, or through a mapping. The answer comes when they are durable and says
 * which of them are bad; nothing is accepted and then dropped.
 */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { REJECTION_REASONS } from '../call-record.ts'
import { CanonicalCall } from '../normalize/canonical.ts'
import type { Dialect } from '../normalize/draft.ts'
import type { Normalizer } from '../normalize/normalize.ts'
import type { Routes } from '../principal.ts'
import { ENCODINGS } from './body.ts'
import { fileStemOf } from './file-stem.ts'
import { allButBody, ReceiveError, type RequestBodies } from './request-body.ts'
import { plainSource } from './source.ts'
import { mediaTypeOf } from './source-request.ts'

export interface CallRoutesDeps {
  bodies: RequestBodies
  normalizer: Pick<Normalizer, 'dialect'>
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

const Call = Type.Ref('Call#')
const body = Type.Union([Call, Type.Array(Call)])
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
  return server => {
    deps.bodies.guard(server)
    server.addSchema(CanonicalCall)
    server.route<{ Querystring: Static<typeof Query> }>({
      method: 'POST',
      url: '/v1/calls',
      config: { access: 'ingest' },
      schema,
      validatorCompiler: allButBody(server),
      handler: async (request, reply) => {
        const verdict = await receive(request, deps)
        reply.code(verdict.accepted > 0 || verdict.rejected.length === 0 ? 200 : 400)
        return verdict
      },
    })
  }
}

async function receive(
  request: FastifyRequest<{ Querystring: Static<typeof Query> }>,
  { bodies, normalizer }: CallRoutesDeps,
): Promise<Static<typeof Verdict>> {
  const { mapping, file } = request.query
  const type = mediaTypeOf(request)
  const source = plainSource(dialectOf(normalizer, mapping, type))
  const fileStem = file === undefined ? null : fileStemOf(file)
  return bodies.handle(request, async bytes => {
    const batch = bodies.split(bytes, { source, fileStem, isNdjson: NDJSON.test(type) })
    const { accepted, rejected } = await bodies.take(request, { source, batch, bytes, place: 'http' })
    return { accepted, rejected }
  })
}

function dialectOf(normalizer: Pick<Normalizer, 'dialect'>, mapping: string | undefined, type: string): Dialect {
  const name = mapping ?? 'canonical'
  const dialect = normalizer.dialect(name)
  if (dialect === undefined) throw new ReceiveError('MAPPING_UNKNOWN', `There is no mapping ${JSON.stringify(name)}.`)
  // A mapping says itself what it reads, so that senders which cannot set a type can use one.
  if (mapping === undefined && type !== '' && !JSON_TYPE.test(type)) {
    throw new ReceiveError(
      'TYPE_UNSUPPORTED',
      `Content-Type is one of ${JSON_TYPES.join(', ')}; others need a mapping.`,
    )
  }
  return dialect
}
