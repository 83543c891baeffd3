/** How a call ended, for gateways that give no more than a status. */
import type { Outcome } from '../call-record.ts'

const CLIENT_CLOSED_REQUEST = 499
const PAYMENT_REQUIRED = 402
const TOO_MANY_REQUESTS = 429

export interface Ending {
  status: number | null
  /** The call reached an upstream: it answered with limits, or time was spent there. */
  isFromUpstream: boolean
}

/**
 * The outcome that a status stands for. A 429 from the gateway itself is `limited`, one that came from upstream is
 * `exhausted`, as is an upstream's 402. No status at all is `ok`: logs without one list what was served.
 */
export function outcomeOf({ status, isFromUpstream }: Ending): Outcome {
  if (status === null) return 'ok'
  if (status === 0 || status === CLIENT_CLOSED_REQUEST) return 'aborted'
  if (status === TOO_MANY_REQUESTS) return isFromUpstream ? 'exhausted' : 'limited'
  if (status === PAYMENT_REQUIRED && isFromUpstream) return 'exhausted'
  if (status >= 500) return 'server_error'
  return status >= 400 ? 'client_error' : 'ok'
}
