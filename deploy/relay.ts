/**
 * Routes that another role answers, under this one's address: a browser may speak with its own origin only. Requests go on
 * with the caller's own token, so that the other role decides what they may see, and in the caller's trace.
 */
import { context, propagation } from '@opentelemetry/api'
import type { FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Routes } from '../collector/principal.ts'
import type { Role } from './addresses.ts'
import { tokenOf } from './http-access.ts'

/** Requests under way; further ones are told to come back. */
const RELAYED_MAX = 32
const TIMEOUT_MS = 20_000
/** A page of rejections holds inputs of up to 64 KiB. */
const BODY_BYTES_MAX = 16 * 2 ** 20

/** The other role is away, too slow or too busy. */
class RelayError extends Error {
  readonly statusCode = 503
  readonly code = 'ROLE_UNAVAILABLE'
}

/** The caller can ask for less. */
class LongAnswerError extends Error {
  readonly statusCode = 400
  readonly code = 'ANSWER_TOO_LONG'
}

export interface RelayOptions {
  role: Role
  /** Of the role, without a slash at its end. */
  url: string
  routes: readonly RelayedRoute[]
}

/** A `GET` route of the role, as it describes it itself. */
interface RelayedRoute {
  path: string
  schema: FastifySchema & { description: string }
}

export function createRelayRoutes({ role, url, routes }: RelayOptions): Routes {
  let underWay = 0
  const relay = async (request: FastifyRequest, reply: FastifyReply) => {
    if (underWay >= RELAYED_MAX) throw new RelayError(`${RELAYED_MAX} requests wait for the ${role} already`)
    underWay++
    try {
      const { status, type, body } = await ask(`${url}${request.routeOptions.url}${queryOf(request)}`, tokenOf(request))
      return reply.code(status).type(type).send(body)
    } catch (cause) {
      if (cause instanceof LongAnswerError) throw cause
      throw new RelayError(`the ${role} does not answer`, { cause })
    } finally {
      underWay--
    }
  }
  const failures = `The ${role} answers: 503 with \`ROLE_UNAVAILABLE\` while it is away, 400 with \`ANSWER_TOO_LONG\` beyond ${BODY_BYTES_MAX / 2 ** 20} MiB.`
  return server => {
    for (const { path, schema: own } of routes) {
      const schema = { ...own, description: `${own.description} ${failures}`, tags: ['relayed'] }
      // What was asked wrongly is refused by the role, which may be of another version.
      server.get(path, { config: { access: 'read' }, schema, attachValidation: true }, relay)
    }
  }
}

function queryOf({ raw: { url = '' } }: FastifyRequest): string {
  const begin = url.indexOf('?')
  return begin < 0 ? '' : url.slice(begin)
}

async function ask(url: string, token: string) {
  const headers = { 'x-quotacast-token': token }
  propagation.inject(context.active(), headers)
  const response = await fetch(url, {
    headers,
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    if (bytes > BODY_BYTES_MAX)
      throw new LongAnswerError(
        `the answer of ${new URL(url).pathname} is longer than ${BODY_BYTES_MAX} bytes: ask for less`,
      )
    parts.push(part)
  }
  return {
    status: response.status,
    type: response.headers.get('content-type') ?? 'application/octet-stream',
    body: Buffer.concat(parts),
  }
}
