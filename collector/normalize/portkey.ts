/**
 * Portkey's export of logs: a JSON object a line, with milliseconds, and money in cents.
 * https://portkey.ai/docs/product/observability/logs-export
 */
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, fieldsAt, firstText, isFields, numberOf, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { providerName } from './provider-name.ts'
import { putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const MICROS_PER_CENT = 1e4

export const portkey: Dialect = {
  name: 'portkey',
  framing: { kind: 'json' },
  definition: 'portkey 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'A line of a Portkey export is a JSON object.')
  const request = fieldsAt(raw, 'request')
  const draft = emptyDraft()
  draft.requestId = firstText(raw.id, raw.trace_id)
  draft.startedAtMs = instantOfIso(raw.created_at)
  draft.latencyMs = durationOf(raw.response_time, 1)
  const metadata = metadataOf(raw)
  draft.tenant = firstText(metadata.tenant, metadata._organisation, raw.workspace_slug, raw.organisation_id)
  draft.consumer = firstText(metadata.consumer, metadata._user)
  draft.method = firstText(raw.request_method, request.method)
  const url = firstText(raw.request_url, request.url)
  putTarget(draft, url, headerReader(request.headers))
  draft.provider = providerName(textOf(raw.ai_org))
  draft.model = textOf(raw.ai_model)
  draft.providerKey = textOf(raw.virtual_key)
  draft.inputTokens = countOf(raw.req_units)
  draft.outputTokens = countOf(raw.res_units)
  draft.totalTokens = countOf(raw.total_units)
  const cents = countOf(raw.cost)
  draft.costMicros = cents === null ? null : Math.round(cents * MICROS_PER_CENT)
  addEnding(draft, raw, url !== null)
  const cache = textOf(raw.cache_status)
  draft.labels = presentLabels({
    cache: cache?.includes('HIT') === true ? 'hit' : null,
    // Its id. Written out instead, it may hold keys of providers.
    config: textOf(raw.config)?.trimStart().startsWith('{') ? null : raw.config,
    stream: raw.stream_mode === true || raw.stream_mode === 'TRUE' || raw.stream_mode === 1 ? 'true' : null,
  })
  return draft
}

/** `isSent`: the URL of a provider is there, so one was asked; Portkey's own refusals name none. */
function addEnding(draft: Draft, raw: Fields, isSent: boolean): void {
  const status =
    countOf(raw.response_status_code) ?? (raw.is_success === true || numberOf(raw.is_success) === 1 ? 200 : null)
  const response = fieldsAt(raw, 'response')
  draft.status = status
  draft.upstreamLatencyMs = isSent ? draft.latencyMs : null
  draft.outcome =
    status === null && raw.is_success !== undefined ? 'server_error' : outcomeOf({ status, isFromUpstream: isSent })
  if (status === BUDGET_GONE) draft.outcome = 'limited'
  if (!isSent) return
  putUpstreamLimits(draft, headerReader(response.headers))
  if (status !== null && status >= 400) addProviderAnswer(draft, raw['response.body'] ?? response.body ?? raw.response)
}

/** What Portkey answers when the budget of one of its keys is spent. */
const BUDGET_GONE = 412

/** An object, or the two columns of keys and values. */
function metadataOf(raw: Fields): Fields {
  if (isFields(raw.metadata) && raw.metadata.key === undefined) return raw.metadata
  const { key: keys = raw['metadata.key'], value: values = raw['metadata.value'] } = fieldsAt(raw, 'metadata')
  const metadata: Record<string, unknown> = {}
  if (!Array.isArray(keys) || !Array.isArray(values)) return metadata
  keys.forEach((name, index) => {
    if (typeof name === 'string' && name !== '__proto__') metadata[name] = values[index]
  })
  return metadata
}
