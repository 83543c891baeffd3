/** `/v1/session`: a token becomes a session of the console, and a session tells whose it is, and ends. */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { type Principal, type PrincipalOf, type Routes, SCOPES } from '../collector/principal.ts'
import { AccessError, isSameOrigin, mayDo } from './http-access.ts'
import { type Sessions, sessionCookie, sessionIdOf } from './sessions.ts'

const TOKEN_CHARACTERS_MAX = 512
/**
 * Tokens are far too long to be guessed: this keeps noise out of the way. Whoever has one gets in all the same, as many
 * users share an address behind a proxy, and one of them, or a stranger, must not lock out the others.
 */
const FAILURES_PER_MINUTE_MAX = 30
const ADDRESSES_MAX = 10_000
const MINUTE_MS = 60_000

const Login = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: TOKEN_CHARACTERS_MAX, description: 'A token of the scope `read`.' }),
  },
  { additionalProperties: false },
)

const SessionAnswer = Type.Object({
  name: Type.String({ description: 'Name of the token.' }),
  scopes: Type.Array(Type.Enum(SCOPES)),
  tenant: Type.Union([Type.String(), Type.Null()], { description: 'The only tenant that is seen; null: all.' }),
})
type SessionAnswer = Static<typeof SessionAnswer>

/** Too many tokens from one address that are none. */
class AttemptsError extends Error {
  readonly statusCode = 429
  readonly code = 'TOO_MANY_ATTEMPTS'
  readonly retryAfterSeconds = MINUTE_MS / 1000
}

export interface SessionRoutesDeps {
  sessions: Sessions
  verify: (token: string) => Principal | null
  principalOf: PrincipalOf
  now?: () => number
}

export function createSessionRoutes(deps: SessionRoutesDeps): Routes {
  const { sessions, principalOf } = deps
  const logIn = createLogin(deps)
  const end = ({ headers }: FastifyRequest) => {
    const id = sessionIdOf(headers.cookie)
    if (id !== null) sessions.close(id)
  }
  const tags = ['itself']
  return server => {
    server.post<{ Body: Static<typeof Login> }>(
      '/v1/session',
      {
        config: { access: 'open' },
        schema: {
          summary: 'Log in to the console',
          description: 'Answers whose token it is, and sets a cookie that stands for it until the session ends.',
          ...{ tags, security: [], body: Login, response: { 200: SessionAnswer } },
        },
      },
      (request, reply) => {
        const principal = logIn(request)
        end(request)
        reply.header('set-cookie', sessionCookie(sessions.open(request.body.token), isOverTls(request)))
        return toAnswer(principal)
      },
    )
    server.get(
      '/v1/session',
      {
        config: { access: 'read' },
        schema: { summary: 'Whose token this is', tags, response: { 200: SessionAnswer } },
      },
      request => toAnswer(principalOf(request)),
    )
    server.delete(
      '/v1/session',
      {
        config: { access: 'read' },
        schema: { summary: 'Log out of the console', tags, response: { 204: Type.Null() } },
      },
      (request, reply) => {
        end(request)
        return reply
          .code(204)
          .header('set-cookie', sessionCookie('', isOverTls(request)))
          .send()
      },
    )
  }
}

/** Answers who logs in. Throws `AccessError` and `AttemptsError`. */
function createLogin({ verify, now = Date.now }: SessionRoutesDeps) {
  const failures = new Map<string, number>()
  let sinceMs = now()
  return (request: FastifyRequest<{ Body: Static<typeof Login> }>): Principal => {
    if (!isSameOrigin(request)) throw new AccessError('ORIGIN_FOREIGN', 'the request comes from another site')
    if (now() - sinceMs >= MINUTE_MS) {
      failures.clear()
      sinceMs = now()
    }
    const principal = verify(request.body.token)
    if (principal === null) {
      const failed = failures.get(request.ip) ?? 0
      if (failed >= FAILURES_PER_MINUTE_MAX || failures.size >= ADDRESSES_MAX) {
        throw new AttemptsError('too many tokens that are none: try again in a minute')
      }
      failures.set(request.ip, failed + 1)
      throw new AccessError('TOKEN_INVALID', 'the token is unknown or revoked')
    }
    if (!mayDo(principal, 'read')) {
      throw new AccessError('SCOPE_MISSING', `the token ${principal.name} lacks the scope read`)
    }
    return principal
  }
}

/** What the browser sees, also where a proxy ends the encryption: it states its page's origin with every such request. */
const isOverTls = ({ headers }: FastifyRequest): boolean => headers.origin?.startsWith('https:') === true

const toAnswer = ({ name, scopes, tenant }: Principal): SessionAnswer => ({ name, scopes: [...scopes], tenant })
