/**
 * The forward-auth doors: a gateway asks with the headers of the call itself, and any answer but 200 refuses the call.
 * The gateway is authenticated before (`X-Quotacast-Token`, or the last segment of the path where it is free);
 * `Authorization` is the caller's. Three profiles, as gateways differ in what they make of an answer:
 *
 * - `/v1/auth`: answers as it means it, for gateways that hand the answer on (Traefik, Caddy, APISIX, Higress, HAProxy)
 * - `/v1/auth/nginx`: nginx makes 500 of anything but 401 and 403, so a denial is 403 with the status in a header
 * - `/v1/auth/envoy/*`: Envoy appends the path of the call, and asks with any method
 */
import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods, RouteShorthandOptions } from 'fastify'
import Type from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { answerTo, answerToRefusal, DECISION_ID_HEADER, type DoorAnswer, type DoorAnswerDeps } from './door-answer.ts'
import { DoorError } from './door-error.ts'
import { type ForwardAskDeps, forwardAsk } from './forward-ask.ts'
import type { Ask, Decision, Limiter } from './limiter.ts'

/** Gateways that hand the call's method on use these. */
const COMMON_METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
export const AUTH_PATH = '/v1/auth'
export const NGINX_PATH = '/v1/auth/nginx'
const ENVOY_PATH = '/v1/auth/envoy'
/** Who was asked about: a gateway that logs it has records that spend where their questions did. */
const CONSUMER_HEADER = 'x-quotacast-consumer'
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/
/** Bodies are ignored; the framework wants one of a QUERY all the same. */
const ANY_TYPE = 'application/octet-stream'
/** What the answer would have been, had nginx let it through. */
const STATUS_HEADER = 'x-quotacast-status'

export interface ForwardAuthDeps extends ForwardAskDeps, DoorAnswerDeps {
  limiter: Limiter
  principalOf: PrincipalOf
}

export function createForwardAuthRoutes(deps: ForwardAuthDeps): Routes {
  const answer = async (request: FastifyRequest, uri: string | null): Promise<DoorAnswer> => {
    const { headers, raw } = request
    const forwarded = { headers, repeated: repeatedNames(raw.rawHeaders), uri }
    const ask = forwardAsk(deps, forwarded, deps.principalOf(request).tenant)
    if (ask === 'other_tenant') throw new DoorError(403, 'tenant_forbidden', 'this token is for another tenant')
    if (ask === 'unknown_key') return answerToRefusal(ask)
    return forwardAnswer(await deps.limiter.check(deps.limiter.prepare(ask)), ask, deps)
  }
  const plain = async (request: FastifyRequest, reply: FastifyReply) => send(reply, await answer(request, null))
  const nginx = async (request: FastifyRequest, reply: FastifyReply) =>
    send(reply, toNginx(await answer(request, null).catch(error => refuseToNginx(reply, error))))
  const envoy = async (request: FastifyRequest, reply: FastifyReply) =>
    send(reply, await answer(request, request.originalUrl.slice(ENVOY_PATH.length)))
  return server => {
    server.register(async scope => {
      ignoreBodies(scope)
      const rare = { method: addRareMethods(scope), schema: { hide: true }, config: { access: 'check' } } as const
      const add = (url: string, handler: typeof plain, options: ReturnType<typeof routeOptions>) => {
        scope.route({ method: COMMON_METHODS, url, ...options, handler })
        scope.route({ ...rare, url, handler })
      }
      add(AUTH_PATH, plain, routeOptions())
      add('/v1/auth/:token', plain, routeOptions(TOKEN, []))
      add(NGINX_PATH, nginx, routeOptions(NGINX))
      add(`${ENVOY_PATH}/*`, envoy, routeOptions(ENVOY))
    })
  }
}

/** Of calls that pass it tells the consumer: other answers go to whoever called. Headers cannot hold every name. */
export function forwardAnswer(decision: Decision, { dims: { consumer } }: Ask, deps: DoorAnswerDeps): DoorAnswer {
  const answer = answerTo(decision, deps)
  if (answer.status !== 200 || consumer === null || !PRINTABLE_ASCII.test(consumer)) return answer
  return { ...answer, headers: { ...answer.headers, [CONSUMER_HEADER]: consumer } }
}

/** nginx makes 500 of anything but 401 and 403. */
export const toNginx = ({ status, headers, ...rest }: DoorAnswer): DoorAnswer => ({
  ...rest,
  status: status === 429 ? 403 : status,
  headers: { ...headers, [STATUS_HEADER]: String(status) },
})

/** Of what makes no sense, too: whoever lets calls pass without an answer would let it pass. */
function refuseToNginx(reply: FastifyReply, error: unknown): never {
  if (!(error instanceof DoorError)) throw error
  reply.header(STATUS_HEADER, String(error.statusCode))
  throw new DoorError(403, error.code, error.message)
}

/** Node joins the values of some headers, and drops all but the first of others. */
function repeatedNames(rawHeaders: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>()
  const repeated = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (names.has(name)) repeated.add(name)
    names.add(name)
  }
  return repeated
}

/** All that are not common, but that of tunnels, which is no method of a call. */
function addRareMethods(scope: FastifyInstance): HTTPMethods[] {
  const rare = METHODS.filter(method => method !== 'CONNECT' && !COMMON_METHODS.includes(method as HTTPMethods))
  for (const method of rare)
    if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true })
  return rare as HTTPMethods[]
}

/** The call's own body is none of our business, whatever its type, also one that is no type at all. */
function ignoreBodies(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, _reply, done) => {
    request.headers['content-type'] = ANY_TYPE
    done()
  })
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
}

function send(reply: FastifyReply, { status, headers, decisionId, body }: DoorAnswer): FastifyReply {
  reply.code(status).headers(headers)
  if (decisionId !== null) reply.header(DECISION_ID_HEADER, decisionId)
  // As text: a compiled serializer is made for one content type only.
  return body === '' ? reply.send() : reply.send(body)
}

const TOKEN = ' The last segment of the path is the token of the gateway.'
const NGINX = ' For nginx, a denial is 403, and `X-Quotacast-Status` says which status it stands for.'
const ENVOY = " For Envoy's ext_authz over HTTP, the path of the call follows the prefix, and its method may be any."

const Denial = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  'violated-policies': Type.Optional(Type.Array(Type.String())),
})

/** No bearer token: `Authorization` is that of the call. */
const routeOptions = (profile = '', security: { token: string[] }[] = [{ token: [] }]) =>
  ({
    schema: {
      summary: 'May the forwarded call pass?',
      description:
        'Forward-auth with any method. Who and what, unless configured otherwise: `X-Quotacast-Tenant`, ' +
        '`X-Quotacast-Consumer` (else the credential in `Authorization` or `X-Api-Key`), `X-Quotacast-Cost` ' +
        '(`total_tokens=1500, requests=1`, or a number of requests), `X-Quotacast-Request-Id`, `X-Forwarded-Uri`, and ' +
        '`X-Quotacast-` with `Gateway`, `Service`, `Provider`, `Model`, `Provider-Key`, `Client-Ip` (else the last of ' +
        '`X-Forwarded-For`). 200 lets the call pass, 429 says when to come again, 403 that the caller is blocked, 401 ' +
        `that its key is unknown.${profile}`,
      tags: ['limits'],
      security,
      response: {
        200: Type.Null({
          description:
            'The call may pass; the decision id is in `X-Quotacast-Decision-Id`, who calls in `X-Quotacast-Consumer`.',
        }),
        [profile === NGINX ? 403 : 429]: {
          description: 'The call must not pass.',
          content: { 'application/problem+json': { schema: Denial } },
        },
      },
    },
    config: { access: 'check' },
  }) satisfies RouteShorthandOptions
