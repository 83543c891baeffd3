import { isSeenBy } from '../policy/narrowing.ts'
import type { Quota } from '../policy/quota.ts'

/** A request that cannot be answered as it is; the server renders it as problem+json. */
export class RequestError extends Error {
  readonly statusCode: 400 | 403 | 404 | 409
  readonly code:
    | 'PARAMETER_INVALID'
    | 'CURSOR_INVALID'
    | 'TOO_MANY_POINTS'
    | 'TENANT_FORBIDDEN'
    | 'VALUE_INVALID'
    | 'NOT_FOUND'
    | 'TOO_MANY'
    | 'CONFIGURED'
    | 'QUOTA_UNKNOWN'
    | 'SUBJECT_UNKNOWN'

  constructor(statusCode: RequestError['statusCode'], code: RequestError['code'], message: string) {
    super(message)
    this.name = 'RequestError'
    this.statusCode = statusCode
    this.code = code
  }
}

/**
 * The tenant that a request is about: the only one its caller may see, else the one it names, else `undefined` for all.
 * Throws `RequestError` (403) when it names another than its own.
 */
export function tenantAsked(own: string | null, named: string | undefined): string | undefined {
  if (own === null) return named
  if (named !== undefined && named !== own) {
    throw new RequestError(403, 'TENANT_FORBIDDEN', 'This token may see its own tenant only.')
  }
  return own
}

/** For what concerns all tenants. Throws `RequestError` (403) to who may see one only. */
export function allTenantsAsked(own: string | null): void {
  if (own !== null) tenantAsked(own, '')
}

/** What a quota that is asked about must be, in words. */
const ASKED = {
  forecast: 'that is forecast: `quotas` of GET /v1/forecasts/next names those that are; calls under way never are',
  resetting:
    'whose window resets: `resetting` of GET /v1/forecasts/next names those; of sliding windows, rates and calls under ' +
    'way this is not told',
} as const

/** The quota of that name. Throws `RequestError` (404) when there is none that its caller may see. */
export function quotaAsked<Q extends Quota>(
  quotas: readonly Q[],
  asked: { name: string; own: string | null; which: keyof typeof ASKED },
): Q {
  const { name, own, which } = asked
  const quota = quotas.find(one => one.name === name && isSeenBy(own, one))
  if (!quota) throw new RequestError(404, 'QUOTA_UNKNOWN', `There is no quota ${name} ${ASKED[which]}.`)
  return quota
}
