/**
 * Splunk's HTTP Event Collector, for senders that know nothing else: tyk-pump sets the path itself, so that only the query
 * can name the source. https://docs.splunk.com/Documentation/Splunk/latest/Data/HECExamples
 */
import Type, { type Static } from 'typebox'
import { isFields } from '../normalize/fields.ts'
import { splitJson } from '../normalize/split-json.ts'
import type { PrincipalOf, Routes } from '../principal.ts'
import { parseBody } from './body.ts'
import { lineOf } from './lines.ts'
import { allButBody, type RequestBodies } from './request-body.ts'
import { sourceOf } from './source-request.ts'
import type { Sources } from './sources.ts'

const PATHS = ['/services/collector', '/services/collector/event', '/services/collector/event/1.0']

export interface SplunkRoutesDeps {
  bodies: RequestBodies
  sources: Sources
  principalOf: PrincipalOf
}

const Query = Type.Object({
  source: Type.String({ default: 'tyk', maxLength: 64, description: 'Name of the source.' }),
})
type Query = Static<typeof Query>

const schema = {
  summary: 'Send events as to Splunk',
  description:
    'JSON documents one after the other, each with a call of the source as its `event`, as `POST /v1/sources/{source}` ' +
    "takes them. The token may come as `Authorization: Splunk TOKEN`. Answers as Splunk's HTTP Event Collector does.",
  tags: ['calls'],
  querystring: Query,
  body: { content: { '*/*': { schema: Type.Unknown() } } },
  response: { 200: Type.Object({ text: Type.String(), code: Type.Integer() }) },
}

/** The routes of the event collector; they read bodies in a way of their own, so they need a scope of their own. */
export function createSplunkRoutes({ bodies, sources, principalOf }: SplunkRoutesDeps): Routes {
  return server => {
    bodies.guard(server)
    for (const url of PATHS) {
      server.route<{ Querystring: Query }>({
        method: 'POST',
        url,
        config: { access: 'ingest' },
        schema,
        validatorCompiler: allButBody(server),
        handler: async request => {
          const source = sourceOf(sources, request.query.source, principalOf(request))
          await bodies.handle(request, bytes => {
            const batch = bodies.split(eventLines(bytes), { source, fileStem: null, isNdjson: true })
            return bodies.take(request, { source, batch, bytes, place: `source ${source.name}` })
          })
          return { text: 'Success', code: 0 }
        },
      })
    }
  }
}

function eventLines(bytes: Buffer): Buffer {
  const { text, parsed } = parseBody(bytes)
  const documents = parsed.kind === 'value' ? [parsed.value].flat() : splitJson(text)
  return Buffer.from(
    documents.map(document => lineOf(isFields(document) ? (document.event ?? document) : document)).join('\n'),
  )
}
