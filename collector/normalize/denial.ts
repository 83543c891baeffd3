/** Denials of Quotacast's own doors, as gateways log them that show the answers of their forward-auth. */
import type { Draft } from './draft.ts'
import type { HeaderReader } from './headers.ts'

/** What the doors put into every denial, whatever its value. */
const DENIED = 'x-quotacast-denied'

/**
 * Makes a call `limited` where the headers of its answer are those of a denial. What else they say of limits is ours, and
 * the time that a gateway takes for the upstream's was spent with us.
 */
export function putDenial(draft: Draft, answer: HeaderReader): void {
  if (answer(DENIED) === null) return
  draft.outcome = 'limited'
  draft.upstreamLimits = null
  draft.upstreamLatencyMs = null
}
