/**
 * Asks before each request of a server in Node: for Express and whatever has its middleware, and as a hook of Fastify. What
 * joins the record of a request to its question is then in the header `x-quotacast-decision-id` of the request.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Call, CheckAnswer, LimiterClient, QuotaState } from './client.ts'

export interface LimitOptions<Request> {
  client: Pick<LimiterClient, 'check'>
  /** Who calls what, at which cost; `null` is not limited. */
  callOf: (request: Request) => Call | null
}

type Next = (error?: unknown) => void

/** `app.use(limitRequests({ client, callOf }))`. What the client throws goes to `next`, and what `next` itself throws. */
export function limitRequests<Request extends IncomingMessage>({ client, callOf }: LimitOptions<Request>) {
  return (request: Request, response: ServerResponse, next: Next): void => {
    const call = joinable(request, callOf)
    if (call === null) {
      next()
      return
    }
    client
      .check(call)
      .then(answer => {
        // Whoever limits how long requests may take has answered meanwhile.
        if (response.headersSent) return
        join(request, answer)
        const { status, headers, body } = responseTo(answer)
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
        if (status === 200) next()
        else response.writeHead(status).end(body)
      })
      .catch(next)
  }
}

/** What the hook needs of a request of Fastify. */
interface HookRequest {
  url: string
  headers: IncomingHttpHeaders
}

/** What the hook needs of a reply of Fastify. */
interface Reply {
  headers(values: Record<string, string>): unknown
  code(status: number): { send(body: string): unknown }
}

/** `app.addHook('preHandler', limitHook({ client, callOf }))`. Rejects with what the client throws. */
export function limitHook<Request extends HookRequest>({ client, callOf }: LimitOptions<Request>) {
  return async (request: Request, reply: Reply): Promise<unknown> => {
    const call = joinable(request, callOf)
    if (call === null) return undefined
    const answer = await client.check(call)
    join(request, answer)
    const { status, headers, body } = responseTo(answer)
    reply.headers(headers)
    return status === 200 ? undefined : reply.code(status).send(body)
  }
}

const DECISION_ID = 'x-quotacast-decision-id'

/** The call of a request, without what its client says it was asked with. */
function joinable<Request extends { headers: IncomingHttpHeaders }>(
  request: Request,
  callOf: (request: Request) => Call | null,
): Call | null {
  delete request.headers[DECISION_ID]
  return callOf(request)
}

function join({ headers }: { headers: IncomingHttpHeaders }, { decisionId }: CheckAnswer): void {
  if (decisionId !== null) headers[DECISION_ID] = decisionId
}

const PROBLEM = 'https://iana.org/assignments/http-problem-types#quota-exceeded'

/** Status, header fields and body that tell an answer of the limiter; 200 lets the request pass. */
export function responseTo({ allowed, isAway, binding, blocked, retryAfterMs, nowMs = Date.now(), quotas }: Answer) {
  const headers: Record<string, string> = {}
  const limits = quotas.flatMap(quota => rateLimitOf(quota, nowMs))
  if (limits.length > 0) headers.ratelimit = limits.join(', ')
  if (allowed) return { status: 200, headers, body: '' }
  const status = isAway ? 503 : blocked === null ? 429 : 403
  headers['content-type'] = 'application/problem+json'
  headers['x-quotacast-denied'] = String(status)
  if (retryAfterMs !== null) headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000))
  const problem = isAway
    ? { type: 'about:blank', title: 'The limiter is away' }
    : blocked === null
      ? { type: PROBLEM, title: 'Quota exceeded', 'violated-policies': [binding] }
      : { type: 'about:blank', title: 'Blocked' }
  return { status, headers, body: JSON.stringify({ ...problem, status }) }
}

/** An item of the field `RateLimit` (draft-ietf-httpapi-ratelimit-headers); none of what denies nothing. */
function rateLimitOf({ quota, remaining, resetAtMs, enforcement }: QuotaState, nowMs: number): string[] {
  if (remaining === null || enforcement === 'shadow') return []
  const seconds = Math.max(0, Math.ceil((resetAtMs - nowMs) / 1000))
  return [`${JSON.stringify(quota)};r=${Math.max(0, Math.floor(remaining))};t=${seconds}`]
}
