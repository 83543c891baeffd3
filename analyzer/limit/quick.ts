/** What gateways ask most, before the framework: one check as JSON, and forward-auth. Anything unusual is left to the routes. */
import { Compile } from 'typebox/compile'
import type { Principal, QuickAnswer, QuickRoute } from '../../collector/principal.ts'
import { answerToRefusal, DECISION_ID_HEADER, type DoorAnswer } from './door-answer.ts'
import { DoorError } from './door-error.ts'
import { forwardAsk } from './forward-ask.ts'
import { AUTH_PATH, type ForwardAuthDeps, forwardAnswer, NGINX_PATH, toNginx } from './forward-auth.ts'
import { askOf, type CheckDeps, CheckRequest, toAnswer } from './http.ts'
import type { Decision, Prepared } from './limiter.ts'

const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' }
/** As the framework completes it. */
const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** Requests in which a header comes again are not usual. */
const NONE: ReadonlySet<string> = new Set()

/** `POST /v1/check` of one call. */
export function createQuickCheck(deps: CheckDeps): QuickRoute {
  const validator = Compile(CheckRequest)
  const prepared = ({ tenant }: Principal, body: string): Prepared | null => {
    const call: unknown = JSON.parse(body)
    if (!validator.Check(call)) return null
    const prepared = deps.limiter.prepare({ ...askOf(deps, tenant, call), isDryRun: call.dryRun === true })
    return prepared.excess === null ? prepared : null
  }
  return {
    method: 'POST',
    path: '/v1/check',
    access: 'check',
    answer(principal, _headers, body) {
      const asked = unlessWrong(() => prepared(principal, body))
      if (asked === null) return null
      return withDecision(deps.limiter.check(asked), decision => {
        const answer = toAnswer(decision, deps.decisionIds)
        return { status: 200, headers: JSON_HEADERS, body: JSON.stringify(answer) }
      })
    },
  }
}

/** `GET /v1/auth` and that of nginx. */
export function createQuickForwardAuth(deps: ForwardAuthDeps): QuickRoute[] {
  return [AUTH_PATH, NGINX_PATH].map(path => {
    const render = (meant: DoorAnswer): QuickAnswer => {
      const { status, headers, decisionId, body } = path === NGINX_PATH ? toNginx(meant) : meant
      if (decisionId !== null) headers[DECISION_ID_HEADER] = decisionId
      if (body !== '') headers['content-type'] = PROBLEM_TYPE
      return { status, headers, body }
    }
    return {
      method: 'GET',
      path,
      access: 'check',
      answer({ tenant }, headers) {
        const ask = unlessWrong(() => forwardAsk(deps, { headers, repeated: NONE, uri: null }, tenant))
        if (ask === null || ask === 'other_tenant') return null
        if (ask === 'unknown_key') return render(answerToRefusal(ask))
        const asked = deps.limiter.check(deps.limiter.prepare(ask))
        return withDecision(asked, decision => render(forwardAnswer(decision, ask, deps)))
      },
    }
  })
}

/** At once where the decision is made at once. */
const withDecision = (decision: Decision | Promise<Decision>, render: (decision: Decision) => QuickAnswer) =>
  decision instanceof Promise ? decision.then(render) : render(decision)

/** What the route itself refuses, and says why. */
function unlessWrong<T>(make: () => T): T | null {
  try {
    return make()
  } catch (error) {
    if (error instanceof DoorError || error instanceof SyntaxError) return null
    throw error
  }
}
