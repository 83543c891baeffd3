/**
 * Who may call a route. Every route states its `access`; callers are authenticated before their body is read. A token
 * comes in `X-Quotacast-Token` or as a bearer token; senders of calls that cannot do either may use what they have. On
 * forward-auth routes `Authorization` is the credential of the gateway's own caller, so there it is ignored, and the last
 * path segment may be the token. A browser that logged in to the console sends a cookie instead, which stands for a token;
 * what changes something must then come from a page of this very server.
 */
import { strict as assert } from 'node:assert'
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  type MayStay,
  type Principal,
  type PrincipalOf,
  type QuickRoute,
  SCOPES,
  type Scope,
} from '../collector/principal.ts'
import { type Sessions, sessionIdOf } from './sessions.ts'

const FORWARD_AUTH_PATH = '/v1/auth'
const TOKEN_HEADER = 'x-quotacast-token'
/** Amazon Data Firehose knows no other header. */
const FIREHOSE_HEADER = 'x-amz-firehose-access-key'
const SOURCES_PATH = '/v1/sources/'
/** Splunk's scheme, for senders that know its event collector only. */
const BEARER = /^(?:bearer|splunk) +(\S+)$/i
const SAFE_METHODS: readonly string[] = ['GET', 'HEAD']
const CALLER = Symbol('caller')

interface Caller {
  principal: Principal
  token: string
}

interface AuthenticatedRequest extends FastifyRequest {
  [CALLER]: Caller | null
}

type AccessCode = 'TOKEN_INVALID' | 'SCOPE_MISSING' | 'ORIGIN_FOREIGN'

/** A caller who is nobody (401) or may not do this (403). */
export class AccessError extends Error {
  readonly statusCode: 401 | 403
  readonly code: AccessCode

  constructor(code: AccessCode, message: string) {
    super(message)
    this.name = 'AccessError'
    this.code = code
    this.statusCode = code === 'TOKEN_INVALID' ? 401 : 403
  }
}

/** Answers who sent a request of a route whose `access` is not `open`; of others it is a bug to ask. */
export const principalOf: PrincipalOf = request => callerOf(request).principal

/** The token with which such a request came, to be handed on to another role and nowhere else. */
export const tokenOf = (request: FastifyRequest): string => callerOf(request).token

function callerOf(request: FastifyRequest): Caller {
  const caller = (request as AuthenticatedRequest)[CALLER]
  assert(caller, 'a route that asks for its caller has an access scope')
  return caller
}

export interface GuardDeps {
  /** Answers whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  /** Where browsers may log in. */
  sessions?: Sessions
}

/** Guards every route that is registered on `server` from now on. */
export function guardRoutes(server: FastifyInstance, { verify, sessions }: GuardDeps): void {
  server.decorateRequest(CALLER, null)
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
    const stated = statedToken(request)
    const token = stated ?? sessionToken(request, sessions)
    const principal = token === null ? null : verify(token)
    if (token === null || principal === null) {
      reply.header('www-authenticate', 'Bearer realm="quotacast"')
      return done(
        new AccessError('TOKEN_INVALID', token === null ? noToken(request) : 'the token is unknown or revoked'),
      )
    }
    if (access !== undefined && !mayDo(principal, access)) {
      return done(new AccessError('SCOPE_MISSING', `the token ${principal.name} lacks the scope ${access}`))
    }
    if (stated === null) {
      if (!SAFE_METHODS.includes(request.method) && !isSameOrigin(request)) {
        return done(new AccessError('ORIGIN_FOREIGN', 'the request comes from another site'))
      }
      // Also where the route writes its answer itself.
      reply.raw.setHeaders(
        new Map([
          ['cache-control', 'no-store'],
          ['x-content-type-options', 'nosniff'],
        ]),
      )
    }
    ;(request as AuthenticatedRequest)[CALLER] = { principal, token }
    done()
  })
}

/** Told by the same guard, later. */
export const createMayStay =
  ({ verify, sessions }: GuardDeps): MayStay =>
  request => {
    const token = statedToken(request) ?? sessionToken(request, sessions)
    return token !== null && verify(token) !== null
  }

const noToken = ({ routeOptions }: FastifyRequest) =>
  isForwardAuth(routeOptions.url)
    ? 'a token is needed in X-Quotacast-Token: Authorization is that of the call'
    : 'a token is needed, as Authorization: Bearer TOKEN or in X-Quotacast-Token'

/** Who may use a route that is served before the framework; `null` for everybody else, whom the framework refuses. */
export function authenticate(
  headers: IncomingHttpHeaders,
  { path, access }: Pick<QuickRoute, 'path' | 'access'>,
  verify: (token: string) => Principal | null,
): Principal | null {
  const own = ownToken(headers)
  const token = own ?? (isForwardAuth(path) ? null : bearerOf(headers))
  const principal = token === null ? null : verify(token)
  return principal !== null && mayDo(principal, access) ? principal : null
}

function sessionToken(request: FastifyRequest, sessions: Sessions | undefined): string | null {
  const id = sessions === undefined ? null : sessionIdOf(request.headers.cookie)
  return id === null ? null : (sessions?.tokenOf(id) ?? null)
}

/**
 * True for requests of this server's own pages. Browsers say so in `Sec-Fetch-Site`, and where they do not (no TLS, no
 * loopback) in `Origin`.
 */
export function isSameOrigin({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin'
  const { origin, host } = headers
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === host
}

export const mayDo = (principal: Principal, scope: Scope) =>
  principal.scopes.has(scope) || principal.scopes.has('admin')

/** The token that the request itself states, or `null`. */
function statedToken(request: FastifyRequest): string | null {
  const own = ownToken(request.headers)
  if (own !== null) return own
  const { url } = request.routeOptions
  if (isForwardAuth(url)) {
    const { token } = request.params as { token?: string }
    return token ?? null
  }
  const firehose = request.headers[FIREHOSE_HEADER]
  if (url?.startsWith(SOURCES_PATH) && typeof firehose === 'string') return firehose
  return bearerOf(request.headers)
}

const isForwardAuth = (url: string | undefined) =>
  url === FORWARD_AUTH_PATH || url?.startsWith(`${FORWARD_AUTH_PATH}/`) === true

function ownToken(headers: IncomingHttpHeaders): string | null {
  const own = headers[TOKEN_HEADER]
  return typeof own === 'string' && own !== '' ? own : null
}

const bearerOf = ({ authorization = '' }: IncomingHttpHeaders): string | null => BEARER.exec(authorization)?.[1] ?? null
