/**
 * Who may call a route. Every route states its `access`; callers are authenticated before their body is read. A token
 * comes in `X-Quotacast-Token` or as a bearer token; senders of calls that cannot do either may use what they have. On
 * forward-auth routes `Authorization` is the credential of the gateway's own caller, so there it is ignored, and the last
 * path segment may be the token.
 */
import { strict as assert } from 'node:assert'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Principal, type PrincipalOf, SCOPES, type Scope } from '../collector/principal.ts'

const FORWARD_AUTH_PATH = '/v1/auth'
const TOKEN_HEADER = 'x-quotacast-token'
/** Amazon Data Firehose knows no other header. */
const FIREHOSE_HEADER = 'x-amz-firehose-access-key'
const SOURCES_PATH = '/v1/sources/'
/** Splunk's scheme, for senders that know its event collector only. */
const BEARER = /^(?:bearer|splunk) +(\S+)$/i
const PRINCIPAL = Symbol('principal')

interface AuthenticatedRequest extends FastifyRequest {
  [PRINCIPAL]: Principal | null
}

/** A caller who is nobody (401) or may not do this (403). */
class AccessError extends Error {
  readonly statusCode: 401 | 403
  readonly code: 'TOKEN_INVALID' | 'SCOPE_MISSING'

  constructor(statusCode: 401 | 403, message: string) {
    super(message)
    this.name = 'AccessError'
    this.statusCode = statusCode
    this.code = statusCode === 401 ? 'TOKEN_INVALID' : 'SCOPE_MISSING'
  }
}

/** Answers who sent a request of a route whose `access` is not `open`; of others it is a bug to ask. */
export const principalOf: PrincipalOf = request => {
  const principal = (request as AuthenticatedRequest)[PRINCIPAL]
  assert(principal, 'a route that asks for its principal has an access scope')
  return principal
}

/** Guards every route that is registered on `server` from now on. `verify` answers whose token it is, or `null`. */
export function guardRoutes(server: FastifyInstance, verify: (token: string) => Principal | null): void {
  server.decorateRequest(PRINCIPAL, null)
  server.addHook('onRoute', route => {
    const access = route.config?.access
    assert(
      access === 'open' || SCOPES.some(scope => scope === access),
      `route ${route.method} ${route.url} states no access`,
    )
  })
  server.addHook('onRequest', (request, reply, done) => {
    const { access } = request.routeOptions.config
    if (access === 'open' || request.is404) return done()
    const token = tokenOf(request)
    const principal = token === null ? null : verify(token)
    if (principal === null) {
      reply.header('www-authenticate', 'Bearer realm="quotacast"')
      return done(new AccessError(401, token === null ? 'a token is needed' : 'the token is unknown or revoked'))
    }
    if (access !== undefined && !mayDo(principal, access)) {
      return done(new AccessError(403, `the token ${principal.name} lacks the scope ${access}`))
    }
    ;(request as AuthenticatedRequest)[PRINCIPAL] = principal
    done()
  })
}

const mayDo = (principal: Principal, scope: Scope) => principal.scopes.has(scope) || principal.scopes.has('admin')

function tokenOf(request: FastifyRequest): string | null {
  const own = request.headers[TOKEN_HEADER]
  if (typeof own === 'string' && own !== '') return own
  const { url } = request.routeOptions
  if (url === FORWARD_AUTH_PATH || url?.startsWith(`${FORWARD_AUTH_PATH}/`)) {
    const { token } = request.params as { token?: string }
    return token ?? null
  }
  const firehose = request.headers[FIREHOSE_HEADER]
  if (url?.startsWith(SOURCES_PATH) && typeof firehose === 'string') return firehose
  return BEARER.exec(request.headers.authorization ?? '')?.[1] ?? null
}
