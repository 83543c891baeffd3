/** Bodies of JSON. The framework would keep every piece of one apart, and of a MiB there may be a million. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BodyError } from '../collector/receive/body.ts'
import { collectBody } from '../collector/receive/collect.ts'

/** For all routes whose scope reads no bodies of its own. */
export function readJson(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error')
  const collect = async (request: FastifyRequest): Promise<string> => {
    try {
      return (await collectBody(request.raw, request.routeOptions.bodyLimit)).toString('utf8')
    } catch (error) {
      throw error instanceof BodyError ? error : new BodyError('BODY_UNREADABLE', 'The body breaks off.')
    }
  }
  server.removeContentTypeParser('application/json')
  server.addContentTypeParser('application/json', (request, _payload, done) => {
    collect(request).then(text => parse(request, text, done), done)
  })
}
