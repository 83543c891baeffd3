/**
 * LiteLLM's `StandardLoggingPayload`, as its callbacks `generic_api`, `s3` and `gcs_bucket` write it: seconds, and the end of a
 * call in a field of its own. Prompts and answers, which it sends unless told otherwise, are not looked at.
 * https://docs.litellm.ai/docs/proxy/logging_spec
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, type Fields, fieldsAt, firstText, instantOf, isFields, microsOf, numberOf, textOf } from './fields.ts'
import { type HeaderReader, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { providerName } from './provider-name.ts'
import { isQuotaGone } from './quota-gone.ts'
import { instantOfIso } from './time.ts'
import { tokenUsageOf } from './token-usage.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const litellm: Dialect = {
  name: 'litellm',
  framing: { kind: 'json' },
  definition: 'litellm 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'A payload of LiteLLM is a JSON object.')
  const metadata = fieldsAt(raw, 'metadata')
  const hidden = fieldsAt(raw, 'hidden_params')
  const draft = emptyDraft()
  // A cached answer has the `id` of the call that was answered first, and each attempt of one call its `trace_id`.
  draft.requestId = firstText(raw.litellm_call_id, raw.call_id, raw.id, raw.trace_id)
  draft.startedAtMs = instantOfSeconds(raw.startTime)
  draft.latencyMs = latencyOf(draft.startedAtMs, instantOfSeconds(raw.endTime))
  draft.tenant = firstText(metadata.user_api_key_team_id, metadata.user_api_key_org_id)
  draft.consumer = firstText(metadata.user_api_key_alias)
  draft.credentialId = textOf(metadata.user_api_key_hash)
  draft.route = firstText(metadata.user_api_key_request_route, raw.call_type)
  draft.service = textOf(raw.model_group)
  draft.provider = providerName(textOf(raw.custom_llm_provider))
  draft.model = withoutProvider(textOf(raw.model), textOf(raw.custom_llm_provider))
  draft.providerKey = textOf(raw.model_id)
  draft.clientIp = firstText(raw.requester_ip_address, metadata.requester_ip_address)
  draft.costMicros = microsOf(raw.response_cost)
  const isCached = raw.cache_hit === true || raw.cache_hit === 'True'
  if (!isCached) draft.upstreamLatencyMs = upstreamLatencyOf(draft.latencyMs, hidden.litellm_overhead_time_ms)
  addEnding(draft, raw)
  const answer = providerHeader(fieldsAt(hidden, 'additional_headers'))
  // A cached answer has the headers of the call that was answered first.
  if (draft.outcome !== 'limited' && !isCached) putUpstreamLimits(draft, answer)
  putDenial(draft, answer)
  draft.labels = presentLabels({
    ...fieldsAt(draft, 'labels'),
    cache: isCached ? 'hit' : null,
    stream: raw.stream === true || raw.stream === 'True' ? 'true' : null,
    team: metadata.user_api_key_team_alias,
  })
  return draft
}

/** Seconds, or the date that the first versions write. */
const instantOfSeconds = (value: unknown) => instantOf(value, 1000) ?? instantOfIso(value)

const latencyOf = (startedAtMs: unknown, endedAtMs: unknown) =>
  typeof startedAtMs === 'number' && typeof endedAtMs === 'number' ? Math.max(0, endedAtMs - startedAtMs) : null

function upstreamLatencyOf(latencyMs: unknown, overhead: unknown): number | null {
  const overheadMs = countOf(overhead)
  return typeof latencyMs !== 'number' || overheadMs === null ? null : Math.max(0, latencyMs - overheadMs)
}

/** Some versions write `openai/gpt-5`. */
const withoutProvider = (model: string | null, provider: string | null) =>
  model?.startsWith(`${provider}/`) === true ? model.slice((provider ?? '').length + 1) : model

const PROVIDER_PREFIX = 'llm_provider-'

/** `x_ratelimit_remaining_tokens`, and the provider's own headers behind a prefix. */
function providerHeader(headers: Fields): HeaderReader {
  const plain: Record<string, unknown> = {}
  for (const name in headers) {
    const bare = name.startsWith(PROVIDER_PREFIX) ? name.slice(PROVIDER_PREFIX.length) : name
    plain[bare.replaceAll('_', '-')] = headers[name]
  }
  return headerReader(plain)
}

/** Refusals of the proxy itself; all other classes are those of answers that a provider gave. */
const OWN_LIMITS = new Set(['BudgetExceededError', 'ProxyRateLimitError', 'HTTPException', 'ProxyException'])
/** All deployments are resting after what their providers answered. */
const ALL_RESTING = 'RouterRateLimitError'

function addEnding(draft: Draft, raw: Fields): void {
  if (raw.status !== 'failure') {
    draft.status = 200
    addUsage(draft, raw)
    return
  }
  const error = fieldsAt(raw, 'error_information')
  const errorClass = textOf(error.error_class)
  const status = statusOf(error.error_code)
  draft.status = status
  draft.labels = presentLabels({ error: errorClass })
  const isOwn = errorClass !== null && OWN_LIMITS.has(errorClass) && textOf(error.llm_provider) === null
  if (isOwn && (status === 429 || errorClass === 'BudgetExceededError')) draft.outcome = 'limited'
  else if (
    errorClass === ALL_RESTING ||
    (!isOwn && isQuotaGone(errorClass, firstText(error.error_message, raw.error_str)))
  ) {
    draft.outcome = 'exhausted'
  } else draft.outcome = status === null ? 'server_error' : outcomeOf({ status, isFromUpstream: !isOwn })
}

const statusOf = (code: unknown) => {
  const status = numberOf(code)
  return status !== null && status >= 100 && status <= 999 ? status : null
}

/** A failed call has counts of 0, which are none. */
function addUsage(draft: Draft, raw: Fields): void {
  draft.inputTokens = countOf(raw.prompt_tokens)
  draft.outputTokens = countOf(raw.completion_tokens)
  draft.totalTokens = countOf(raw.total_tokens)
  const { cachedInputTokens } = tokenUsageOf(fieldsAt(fieldsAt(raw, 'metadata'), 'usage_object'))
  const isPart = cachedInputTokens !== null && cachedInputTokens <= Number(draft.inputTokens ?? -1)
  draft.cachedInputTokens = isPart ? cachedInputTokens : null
}
