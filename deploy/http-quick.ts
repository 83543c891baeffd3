/**
 * A shorter way for requests that come thousands of times a second: their bytes are read and answered right where they
 * arrive. Callers are authenticated by the same rules, requests are bounded, answers are measured. Whatever is not as
 * usual (another route, an unknown caller, a body that is wrong, two requests at once) goes to the framework, so that
 * there is one place where errors are told.
 */
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Principal, QuickAnswer, QuickRoute } from '../collector/principal.ts'
import { authenticate } from './http-access.ts'
import { type Handled, lookFirst } from './http-connections.ts'
import { toProblem } from './http-problems.ts'
import type { RecordRequest } from './http-telemetry.ts'
import { createAnswerWriter, createRequestReader, REQUEST_BYTES_MAX } from './http-wire.ts'

export interface QuickDeps {
  routes: readonly QuickRoute[]
  verify: (token: string) => Principal | null
  record: RecordRequest
  log: Logger
  /** Time after which a connection without a request is closed. */
  keepAliveMs: number
}

/** Puts the routes before those of a server that does not listen yet. */
export function serveQuickly(server: FastifyInstance, { verify, record, log, keepAliveMs, ...deps }: QuickDeps): void {
  const routes = new Map(deps.routes.map(route => [`${route.method} ${route.path} HTTP/1.1`, route]))
  const read = createRequestReader(routes)
  const write = createAnswerWriter(keepAliveMs)
  const handle = (bytes: Buffer): Handled => {
    const beganMs = performance.now()
    const request = read(bytes)
    if (typeof request === 'string') return request
    const { route, fields, body } = request
    const { method, path } = route
    const finish = (answer: QuickAnswer) => {
      record(method, path, answer.status, performance.now() - beganMs)
      return write(answer)
    }
    const fail = (error: unknown) => finish(toProblem(error as Error, { method, route: path }, log))
    const principal = authenticate(fields, route, verify)
    if (principal === null) return 'unusual'
    try {
      const answered = route.answer(principal, fields, body)
      if (answered === null) return 'unusual'
      return answered instanceof Promise ? answered.then(finish).catch(fail) : finish(answered)
    } catch (error) {
      return fail(error)
    }
  }
  const close = lookFirst(server.server, { handle, heldBytesMax: REQUEST_BYTES_MAX, keepAliveMs })
  server.addHook('preClose', done => {
    close()
    done()
  })
}
