/** Bodies of JSON. The framework would keep every piece of one apart, and of a MiB there may be a million. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BodyError } from '../collector/receive/body.ts'
import { collectBody } from '../collector/receive/collect.ts'
import { createFlight, leaveAtEnd } from '../collector/receive/flight.ts'
import { BusyError, CROWDED } from '../collector/receive/request-body.ts'

/** Of all bodies that are being received or handled; beyond, senders are told to come again. */
const IN_FLIGHT_BYTES_MAX = 32 * 2 ** 20
/** What is smaller always has room, or a few who send slowly could keep a gateway's checks out. */
const SMALL_BYTES = 16 * 1024
const FORBIDDEN_NAME =
  'The body has the name `__proto__`, or `prototype` within `constructor`, which is never read: leave it out.'

/** For all routes whose scope reads no bodies of its own. */
export function readJson(server: FastifyInstance): void {
  const flight = createFlight(IN_FLIGHT_BYTES_MAX)
  const parse = server.getDefaultJsonParser('error', 'error')
  const collect = async (request: FastifyRequest): Promise<string> => {
    let bytes = 0
    flight.enter(request, 0)
    const admit = (pieceBytes: number) => {
      bytes += pieceBytes
      if (!flight.grow(request, pieceBytes) && bytes > SMALL_BYTES) throw new BusyError('BUSY', CROWDED)
    }
    try {
      return (await collectBody(request.raw, request.routeOptions.bodyLimit, admit)).toString('utf8')
    } catch (error) {
      const isTold = error instanceof BodyError || error instanceof BusyError
      throw isTold ? error : new BodyError('BODY_UNREADABLE', 'The body breaks off.')
    }
  }
  leaveAtEnd(server, flight)
  server.removeContentTypeParser('application/json')
  server.addContentTypeParser('application/json', (request, _payload, done) => {
    const parseText = (text: string) =>
      parse(request, text, (error, value) => {
        // The framework says of both that they are no JSON.
        if (error !== null && isJson(text)) done(new BodyError('BODY_UNREADABLE', FORBIDDEN_NAME))
        else done(error, value)
      })
    collect(request).then(parseText, done)
  })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
