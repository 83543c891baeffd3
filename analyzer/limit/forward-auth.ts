/**
 * The forward-auth door: a gateway asks with the headers of the call itself, and any answer but 200 refuses the call.
 * The gateway is authenticated before (`X-Quotacast-Token` or `/v1/auth/{token}`); `Authorization` is the caller's.
 */
import type { FastifyReply, FastifyRequest, HTTPMethods, RouteShorthandOptions } from 'fastify'
import Type from 'typebox'
import { TEXT_CHARACTERS_MAX } from '../../collector/call-record.ts'
import type { Identity } from '../../collector/identity.ts'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Block } from '../policy/adjustment.ts'
import type { Policy } from '../policy/policy.ts'
import type { DimensionField } from '../policy/quota.ts'
import { UNITS, type Unit } from '../usage/units.ts'
import type { DecisionIds } from './decision-id.ts'
import { DoorError } from './door-error.ts'
import { COST_MAX, noDimensions, tenantFor } from './http.ts'
import type { Ask, Cost, Decision, Limiter } from './limiter.ts'
import { rateLimitHeaders, retryAfterSeconds } from './rate-limit-headers.ts'

/** Gateways ask with the method of the call. */
const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

const DIMENSION_HEADERS: Record<string, Exclude<DimensionField, 'tenant' | 'consumer' | 'route'>> = {
  'x-quotacast-gateway': 'gateway',
  'x-quotacast-service': 'service',
  'x-quotacast-provider': 'provider',
  'x-quotacast-model': 'model',
  'x-quotacast-provider-key': 'providerKey',
}
const PROBLEM_TYPES = 'https://iana.org/assignments/http-problem-types'

export interface ForwardAuthDeps {
  limiter: Limiter
  decisionIds: DecisionIds
  identity: Identity
  policy: () => Policy
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
  principalOf: PrincipalOf
}

export function createForwardAuthRoutes(deps: ForwardAuthDeps): Routes {
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const decision = await deps.limiter.check(deps.limiter.prepare(toAsk(deps, request)))
    reply.headers(rateLimitHeaders(decision, deps.policy().byName))
    if (decision.block !== null) return refuse(reply, decision.block)
    if (!decision.isAllowed) return deny(reply, decision)
    const id = decision.reference === null ? null : deps.decisionIds.encode(decision.reference)
    if (id !== null) reply.header('x-quotacast-decision-id', id)
    return reply.code(200).send()
  }
  return server => {
    server.register(async scope => {
      // The call's own body is none of our business, whatever its type, also one that is no type at all.
      scope.addHook('onRequest', (request, _reply, done) => {
        request.headers['content-type'] = undefined
        done()
      })
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', (_request, payload, done) => {
        payload.resume()
        done(null)
      })
      scope.route({ method: METHODS, url: '/v1/auth', ...routeOptions, handler })
      scope.route({ method: METHODS, url: '/v1/auth/:token', ...routeOptions, handler })
    })
  }
}

const routeOptions = {
  schema: {
    summary: 'May the forwarded call pass?',
    description:
      'Forward-auth with any method. Who and what: `X-Quotacast-Tenant`, `X-Quotacast-Consumer` (else the credential ' +
      'in `Authorization`), `X-Quotacast-Cost` (`total_tokens=1500, requests=1`, or a number of requests), ' +
      '`X-Quotacast-Request-Id`, `X-Forwarded-Uri`, and `X-Quotacast-` with `Gateway`, `Service`, `Provider`, `Model`, ' +
      '`Provider-Key`, `Client-Ip` (else the last of `X-Forwarded-For`). 200 lets the call pass, 429 says when to come again, 403 that the caller is blocked.',
    tags: ['limits'],
    response: {
      200: Type.Null({ description: 'The call may pass; the decision id is in `X-Quotacast-Decision-Id`.' }),
      429: Type.Object(
        {
          type: Type.String(),
          title: Type.String(),
          status: Type.Integer(),
          detail: Type.String(),
          'violated-policies': Type.Optional(Type.Array(Type.String())),
        },
        { description: 'The call must not pass.' },
      ),
    },
  },
  config: { access: 'check' },
} satisfies RouteShorthandOptions

function toAsk(deps: ForwardAuthDeps, request: FastifyRequest): Ask {
  const header = (name: string) => headerOf(request, name)
  const dims = noDimensions()
  for (const name in DIMENSION_HEADERS) {
    const field = DIMENSION_HEADERS[name]
    if (field !== undefined) dims[field] = header(name)
  }
  const uri = request.headers['x-forwarded-uri']
  if (typeof uri === 'string' && uri !== '') dims.route = deps.routeOf(uri).slice(0, TEXT_CHARACTERS_MAX)
  const tenant = tenantFor(deps.principalOf(request).tenant, header('x-quotacast-tenant'))
  const consumer = header('x-quotacast-consumer')
  const { authorization = '' } = request.headers
  const credential = consumer === null && authorization !== '' ? authorization : null
  Object.assign(dims, deps.identity.identify({ credential, consumer, tenant }))
  return {
    dims,
    cost: parseCost(header('x-quotacast-cost')),
    clientIp: header('x-quotacast-client-ip') ?? lastHop(header('x-forwarded-for')),
    requestId: header('x-quotacast-request-id'),
    isDryRun: false,
  }
}

/** One header's value, null when it is absent or empty. Throws `DoorError` when it is too long. */
function headerOf(request: FastifyRequest, name: string): string | null {
  const value = request.headers[name]
  if (typeof value !== 'string' || value === '') return null
  if (value.length > TEXT_CHARACTERS_MAX) {
    throw new DoorError(400, 'header_invalid', `${name} is longer than ${TEXT_CHARACTERS_MAX} characters`)
  }
  return value
}

/** `unit=amount` joined by commas, or a number of requests. */
function parseCost(text: string | null): Cost {
  if (text === null) return {}
  if (/^\d+$/.test(text)) return { requests: amountOf(text) }
  const cost: Cost = {}
  for (const part of text.split(',')) {
    const [name, amount = '', ...rest] = part.split('=').map(word => word.trim())
    const unit = UNITS.find(known => known === name)
    if (unit === undefined || rest.length > 0) throw costError(part)
    cost[unit satisfies Unit] = amountOf(amount)
  }
  return cost
}

function amountOf(text: string): number {
  const amount = Number(text)
  if (!/^\d+$/.test(text) || amount > COST_MAX) throw costError(text)
  return amount
}

const costError = (part: string) =>
  new DoorError(400, 'header_invalid', `x-quotacast-cost: expected unit=amount, got ${JSON.stringify(part.trim())}`)

/** The address that the gateway itself saw: what stands before it in the list is the client's own word. */
const lastHop = (list: string | null) => list?.split(',').at(-1)?.trim() || null

function refuse(reply: FastifyReply, { what, untilMs }: Block): FastifyReply {
  const until = untilMs === null ? 'until somebody lifts the block' : `until ${new Date(untilMs).toISOString()}`
  const title = 'Blocked'
  const problem = { type: 'about:blank', title, status: 403, detail: `This ${what} is blocked ${until}.` }
  return reply.code(403).type('application/problem+json').send(JSON.stringify(problem))
}

function deny(reply: FastifyReply, decision: Decision): FastifyReply {
  const seconds = retryAfterSeconds(decision)
  if (seconds !== null) reply.header('retry-after', seconds)
  const wait = seconds === null ? 'waiting does not help' : `try again in ${seconds} s`
  const problem = decision.isDegraded
    ? {
        type: `${PROBLEM_TYPES}#temporary-reduced-capacity`,
        title: 'Quotas cannot be counted now',
        detail: `The limit store is away, and ${decision.binding} denies without it; ${wait}.`,
      }
    : {
        type: `${PROBLEM_TYPES}#quota-exceeded`,
        title: 'Quota exceeded',
        detail: `The quota ${decision.binding} is used up; ${wait}.`,
      }
  const body = { ...problem, status: 429, 'violated-policies': decision.violated }
  // As text: a compiled serializer is made for one content type only.
  return reply.code(429).type('application/problem+json').send(JSON.stringify(body))
}
