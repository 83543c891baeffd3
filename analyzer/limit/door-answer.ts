/**
 * A decision as a door tells it over HTTP, whatever carries the answer: status, header fields, a problem document
 * (RFC 9457) where the call must not pass.
 */
import type { Block } from '../policy/adjustment.ts'
import type { Policy } from '../policy/policy.ts'
import type { Refusal } from './caller.ts'
import type { DecisionIds } from './decision-id.ts'
import type { Decision } from './limiter.ts'
import { legacyRateLimitHeaders, rateLimitHeaders, retryAfterSeconds } from './rate-limit-headers.ts'

export const DECISION_ID_HEADER = 'x-quotacast-decision-id'
/** On denials, so that whoever logs the answer can tell them from the upstream's. */
const DENIED_HEADER = 'x-quotacast-denied'
/** On answers that were given without the limit store. */
const DEGRADED_HEADER = 'x-quotacast-degraded'
const PROBLEM_TYPES = 'https://iana.org/assignments/http-problem-types'

export interface DoorAnswer {
  /** 200 lets the call pass. */
  status: 200 | 401 | 403 | 429
  /** For whoever called the gateway. */
  headers: Record<string, string>
  /** For the call record; null when nothing was spent. */
  decisionId: string | null
  /** A problem document, or an empty text. */
  body: string
}

export interface DoorAnswerDeps {
  decisionIds: DecisionIds
  /** What header fields say of the quotas, whether or not the call may pass. */
  quotaHeaders: QuotaHeaders
}

export type QuotaHeaders = (decision: Decision) => Record<string, string>

/** The standard fields and, if wanted, `X-RateLimit-*` beside them. */
export function createQuotaHeaders(policy: () => Policy, hasLegacy: boolean): QuotaHeaders {
  return decision => ({
    ...rateLimitHeaders(decision, policy().byName),
    ...(hasLegacy ? legacyRateLimitHeaders(decision) : {}),
  })
}

export function answerTo(decision: Decision, { decisionIds, quotaHeaders }: DoorAnswerDeps): DoorAnswer {
  const { block, isAllowed, isDegraded, reference } = decision
  const headers = quotaHeaders(decision)
  if (isDegraded) headers[DEGRADED_HEADER] = 'true'
  if (block !== null) return refused(403, blockProblem(block), headers)
  if (!isAllowed) {
    const seconds = retryAfterSeconds(decision)
    if (seconds !== null) headers['retry-after'] = String(seconds)
    return refused(429, denialProblem(decision, seconds), headers)
  }
  const decisionId = reference === null ? null : decisionIds.encode(reference)
  return { status: 200, headers, decisionId, body: '' }
}

/** What is answered to a caller of whom no quota is asked. */
export function answerToRefusal(refusal: Refusal): DoorAnswer {
  switch (refusal) {
    case 'unknown_key': {
      const detail = 'The credential is missing or unknown here.'
      return refused(401, { type: 'about:blank', title: 'Unauthorized', detail }, { 'www-authenticate': 'Bearer' })
    }
    case 'other_tenant': {
      const detail = 'The token of this gateway is for another tenant.'
      return refused(403, { type: 'about:blank', title: 'Forbidden', detail }, {})
    }
  }
}

interface Problem {
  type: string
  title: string
  detail: string
  'violated-policies'?: readonly string[]
}

function refused(
  status: 401 | 403 | 429,
  { type, title, ...rest }: Problem,
  headers: Record<string, string>,
): DoorAnswer {
  const body = JSON.stringify({ type, title, status, ...rest })
  const own = { [DENIED_HEADER]: String(status), 'content-type': 'application/problem+json' }
  return { status, headers: { ...headers, ...own }, decisionId: null, body }
}

function blockProblem({ what, untilMs }: Block): Problem {
  const until = untilMs === null ? 'until somebody lifts the block' : `until ${new Date(untilMs).toISOString()}`
  return { type: 'about:blank', title: 'Blocked', detail: `This ${what} is blocked ${until}.` }
}

function denialProblem({ isDegraded, binding, violated }: Decision, seconds: number | null): Problem {
  const wait = seconds === null ? 'waiting does not help' : `try again in ${seconds} s`
  const problem = isDegraded
    ? {
        type: `${PROBLEM_TYPES}#temporary-reduced-capacity`,
        title: 'Quotas cannot be counted now',
        detail: `The limit store is away, and ${binding} lets nothing more pass without it; ${wait}.`,
      }
    : {
        type: `${PROBLEM_TYPES}#quota-exceeded`,
        title: 'Quota exceeded',
        detail: `The quota ${binding} is used up; ${wait}.`,
      }
  return { ...problem, 'violated-policies': violated }
}
