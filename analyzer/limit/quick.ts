/** What gateways ask most, before the framework: one check as JSON, and forward-auth. Anything unusual is left to the routes. */
import type { IncomingHttpHeaders } from 'node:http'
import { Compile } from 'typebox/compile'
import type { Principal, QuickAnswer, QuickRoute } from '../../collector/principal.ts'
import { answerTo, DECISION_ID_HEADER } from './door-answer.ts'
import { DoorError } from './door-error.ts'
import { forwardAsk } from './forward-ask.ts'
import { AUTH_PATH, type ForwardAuthDeps, NGINX_PATH, toNginx } from './forward-auth.ts'
import { askOf, type CheckDeps, CheckRequest, toAnswer } from './http.ts'
import type { Ask, Prepared } from './limiter.ts'

const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' }
/** As the framework completes it. */
const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

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
    async answer(principal, _headers, body) {
      const asked = unlessWrong(() => prepared(principal, body))
      if (asked === null) return null
      const answer = toAnswer(await deps.limiter.check(asked), deps.decisionIds)
      return { status: 200, headers: JSON_HEADERS, body: JSON.stringify(answer) }
    },
  }
}

/** `GET /v1/auth` and that of nginx. */
export function createQuickForwardAuth(deps: ForwardAuthDeps): QuickRoute[] {
  const ask = ({ tenant }: Principal, headers: IncomingHttpHeaders): Ask | null => {
    const asked = forwardAsk(deps, { headers, uri: null }, tenant)
    return typeof asked === 'string' ? null : asked
  }
  const answer = async (principal: Principal, headers: IncomingHttpHeaders) => {
    const asked = unlessWrong(() => ask(principal, headers))
    return asked === null ? null : answerTo(await deps.limiter.check(deps.limiter.prepare(asked)), deps)
  }
  return [AUTH_PATH, NGINX_PATH].map(path => ({
    method: 'GET',
    path,
    access: 'check',
    async answer(principal, headers): Promise<QuickAnswer | null> {
      const meant = await answer(principal, headers)
      if (meant === null) return null
      const { status, headers: own, decisionId, body } = path === NGINX_PATH ? toNginx(meant) : meant
      if (decisionId !== null) own[DECISION_ID_HEADER] = decisionId
      if (body !== '') own['content-type'] = PROBLEM_TYPE
      return { status, headers: own, body }
    },
  }))
}

/** What the route itself refuses, and says why. */
function unlessWrong<T>(make: () => T): T | null {
  try {
    return make()
  } catch (error) {
    if (error instanceof DoorError || error instanceof SyntaxError) return null
    throw error
  }
}
