/** What to do about a field that a log does not tell, whatever gateway wrote it. */
import type { CallRecord } from '../../collector/call-record.ts'

const TOKENS = 'AI calls: log the tokens that the answer counts.'

export const FIELD_HINTS: Readonly<Partial<Record<keyof CallRecord, string>>> = {
  requestId: 'Log the id of the request: a call that comes again is known by it, and so is the check that let it pass.',
  tenant: 'Say whose the callers are: `tenant` of the source, or of the entries of `keys`.',
  consumer:
    'Log who called: the name of the consumer, or the header with the key, of which only a fingerprint is kept.',
  method: 'Log the method.',
  host: 'Log the host that was called.',
  route: 'Log the route, or the path.',
  service: 'Log the name of the upstream or the service.',
  provider: 'AI calls: log the provider.',
  model: 'AI calls: log the model that answered.',
  status: 'Log the status that the client saw.',
  latencyMs: 'Log how long the call took.',
  upstreamLatencyMs: 'Log how long the upstream took: it tells a limit of the provider from one of the gateway.',
  requestBytes: 'Log how many bytes came from the client.',
  responseBytes: 'Log how many bytes went to the client.',
  inputTokens: TOKENS,
  cachedInputTokens: TOKENS,
  outputTokens: TOKENS,
  totalTokens: TOKENS,
  costMicros: 'Give the model a price: `prices` in the config.',
  upstreamLimits: 'Log the rate-limit headers of the upstream (`x-ratelimit-…`, `retry-after`).',
  clientIp: 'Log the address of the client.',
}
