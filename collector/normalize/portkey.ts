/**
 * The rows of Portkey's analytics, one for each provider that a call asked, with milliseconds, and money in cents: as its
 * export has them, a JSON object a line, or as the attributes of the spans that a self-hosted gateway pushes.
 * https://portkey.ai/docs/product/observability/logs-export
 * https://portkey.ai/docs/product/enterprise-offering/otel/analytics
 */
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import {
  countOf,
  durationOf,
  type Fields,
  fieldsAt,
  firstText,
  isFields,
  numberOf,
  positiveOf,
  textOf,
} from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { providerName } from './provider-name.ts'
import { putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const MICROS_PER_CENT = 1e4
const TOO_MANY_REQUESTS = 429

export const portkey: Dialect = {
  name: 'portkey',
  framing: { kind: 'json' },
  definition: 'portkey 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

/** True for the attributes of a span that are such a row. */
export const isPortkeyRow = (attributes: Fields): boolean =>
  attributes.ai_org !== undefined && attributes.req_units !== undefined

/** True for those of a guardrail that looked at a call: its row is another one. */
export const isPortkeyGuardrail = (attributes: Fields): boolean =>
  attributes.hook_id !== undefined && attributes.generation_id !== undefined

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'A line of a Portkey export is a JSON object.')
  const request = fieldsAt(raw, 'request')
  const draft = emptyDraft()
  draft.requestId = firstText(raw.id, raw.trace_id)
  draft.startedAtMs = instantOfIso(raw.created_at)
  // Of a stream the one is until its first token, the other until its last.
  draft.latencyMs = durationOf(Math.max(countOf(raw.response_time) ?? -1, countOf(raw.ttlt) ?? -1), 1)
  const metadata = metadataOf(raw)
  draft.tenant = firstText(metadata.tenant, metadata._organisation, raw.workspace_slug, raw.organisation_id)
  draft.consumer = firstText(metadata.consumer, metadata._user)
  draft.credentialId = textOf(raw.api_key_id)
  draft.method = firstText(raw.request_method, request.method)
  putTarget(draft, firstText(raw.request_url, request.url), headerReader(request.headers))
  draft.provider = providerName(textOf(raw.ai_org))
  draft.model = textOf(raw.ai_model)
  draft.providerKey = textOf(raw.virtual_key)
  const isCached = textOf(raw.cache_status)?.includes('HIT') === true
  putUsage(draft, raw, isCached)
  addEnding(draft, raw, isCached)
  draft.labels = presentLabels({
    cache: isCached ? 'hit' : null,
    // Its id. Written out instead, it may hold keys of providers.
    config: textOf(raw.config)?.trimStart().startsWith('{') ? null : raw.config,
    retries: positiveOf(raw.retry_success_count),
    stream: raw.stream_mode === true || raw.stream_mode === 'TRUE' || numberOf(raw.stream_mode) === 1 ? 'true' : null,
  })
  return draft
}

/** Of an answer from the cache a row says what it saved: its own budgets spend nothing for it either. */
function putUsage(draft: Draft, raw: Fields, isCached: boolean): void {
  draft.inputTokens = isCached ? 0 : countOf(raw.req_units)
  draft.outputTokens = isCached ? 0 : countOf(raw.res_units)
  draft.totalTokens = isCached ? 0 : countOf(raw.total_units)
  // Without a price it is 0.
  const cents = isCached ? 0 : positiveOf(raw.cost)
  draft.costMicros = cents === null ? null : Math.round(cents * MICROS_PER_CENT)
}

/** What Portkey answers when the budget of one of its keys is spent, and when a guardrail refuses. */
const BUDGET_GONE = 412
const GUARDED = 446
/** What its own token limits say, as `virtual_key_rate_limit_error`; OpenAI's is `rate_limit_error`. */
const OWN_LIMIT = /^[a-z_]+_rate_limit_error$/

function addEnding(draft: Draft, raw: Fields, isCached: boolean): void {
  const status =
    countOf(raw.response_status_code) ?? (raw.is_success === true || numberOf(raw.is_success) === 1 ? 200 : null)
  const response = fieldsAt(raw, 'response')
  const body = raw['response.body'] ?? response.body ?? raw.response
  const isOwnLimit = status === BUDGET_GONE || (status === TOO_MANY_REQUESTS && isOwnRefusal(body))
  // The URL of the provider is there although none was asked.
  const isSent = draft.host !== null && !isCached && !isOwnLimit && status !== GUARDED
  draft.status = status
  draft.upstreamLatencyMs = isSent ? (positiveOf(raw.upstream_response_time) ?? draft.latencyMs) : null
  if (isOwnLimit) draft.outcome = 'limited'
  else if (status === null && raw.is_success !== undefined) draft.outcome = 'server_error'
  else draft.outcome = outcomeOf({ status, isFromUpstream: isSent })
  if (!isSent) return
  putUpstreamLimits(draft, headerReader(response.headers))
  if (status !== null && status >= 400) addProviderAnswer(draft, body)
}

const isOwnRefusal = (body: unknown) => isFields(body) && OWN_LIMIT.test(textOf(fieldsAt(body, 'error').type) ?? '')

const METADATA = 'metadata.'

/** An object, the two columns of keys and values, or an attribute each. */
function metadataOf(raw: Fields): Fields {
  if (isFields(raw.metadata) && raw.metadata.key === undefined) return raw.metadata
  const { key: keys = raw['metadata.key'], value: values = raw['metadata.value'] } = fieldsAt(raw, 'metadata')
  const metadata: Record<string, unknown> = {}
  if (Array.isArray(keys) && Array.isArray(values)) {
    keys.forEach((name, index) => {
      if (typeof name === 'string' && name !== '__proto__') metadata[name] = values[index]
    })
    return metadata
  }
  for (const name in raw) if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] = raw[name]
  return metadata
}
