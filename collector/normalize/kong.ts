/**
 * Kong Gateway: the object that its logging plugins (http-log, file-log, tcp-log, syslog, kafka-log …) make of a call, as
 * `kong.log.serialize` documents it. All of its durations are milliseconds; -1 is a phase that was never reached.
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import {
  countOf,
  durationOf,
  type Fields,
  fieldsAt,
  firstText,
  instantOf,
  isFields,
  lastOf,
  microsOf,
  positiveOf,
  textOf,
} from './fields.ts'
import { type HeaderReader, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { providerName } from './provider-name.ts'
import { hostOf, putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const kong: Dialect = {
  name: 'kong',
  framing: { kind: 'text' },
  definition: 'kong 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'An entry of a Kong log is a JSON object.')
  // A TCP or TLS stream is no call.
  if (raw.request === undefined && isFields(raw.session)) return SKIP
  const request = fieldsAt(raw, 'request')
  const header = headerReader(request.headers)
  const draft = emptyDraft()
  draft.startedAtMs = instantOf(raw.started_at, 1)
  draft.requestId = textOf(request.id)
  draft.method = textOf(request.method)
  draft.host = hostOf(header('host'))
  draft.clientIp = textOf(raw.client_ip)
  draft.requestBytes = countOf(request.size)
  putTarget(draft, textOf(request.uri), header)
  draft.decisionId = header('x-quotacast-decision-id')
  const consumer = fieldsAt(raw, 'consumer')
  draft.consumer = firstText(consumer.username, consumer.custom_id, consumer.id)
  draft.credentialId = textOf(fieldsAt(raw, 'authenticated_entity').id)
  const service = fieldsAt(raw, 'service')
  draft.service = firstText(service.name, service.host, service.id)
  const answer = headerReader(fieldsAt(raw, 'response').headers)
  addAnswer(draft, raw, answer)
  putDenial(draft, answer)
  const usage = aiSectionOf(raw.ai)
  if (usage !== null) addUsage(draft, usage)
  const route = fieldsAt(raw, 'route')
  draft.labels = presentLabels({
    gatewayRoute: firstText(route.name, route.id),
    workspace: raw.workspace_name ?? raw.workspace,
    cache: usage === null ? null : textOf(fieldsAt(usage, 'cache').cache_status)?.toLowerCase(),
  })
  return draft
}

function addAnswer(draft: Draft, raw: Fields, answer: HeaderReader): void {
  const response = fieldsAt(raw, 'response')
  const latencies = fieldsAt(raw, 'latencies')
  const status = countOf(response.status)
  draft.status = status
  draft.responseBytes = countOf(response.size)
  draft.latencyMs = durationOf(latencies.request, 1)
  const waitedMs = durationOf(latencies.proxy, 1)
  // `proxy` ends with the first byte of the upstream's answer, `receive` is the rest of it.
  draft.upstreamLatencyMs = waitedMs === null ? null : waitedMs + (durationOf(latencies.receive, 1) ?? 0)
  const upstreamStatus = lastOf(raw.upstream_status)
  if (waitedMs === null && upstreamStatus === null) return
  draft.outcome = outcomeOf({ status, isFromUpstream: upstreamStatus === null || upstreamStatus === status })
  putUpstreamLimits(draft, upstreamHeader(answer, fieldsAt(response, 'headers')))
}

/** A window of Kong's own limits, by its name or in seconds. */
const OWN_WINDOW = /^x-ratelimit-limit-(?:second|minute|hour|day|month|year|\d+)$/i

/** Kong's own rate-limiting plugins put their limits into every answer, in one header a window and in IETF's. */
function upstreamHeader(answer: HeaderReader, headers: Fields): HeaderReader {
  const isOwn = answer('ratelimit-limit') !== null && Object.keys(headers).some(name => OWN_WINDOW.test(name))
  return isOwn ? name => (name.startsWith('ratelimit') ? null : answer(name)) : answer
}

/** What the plugin logged that sent the call to the provider: other AI plugins make calls of their own. */
function aiSectionOf(ai: unknown): Fields | null {
  if (!isFields(ai)) return null
  const section = ai.proxy ?? ai['ai-proxy'] ?? ai['ai-proxy-advanced']
  return isFields(section) ? section : null
}

/** Counts that Kong does not know are 0, names `UNSPECIFIED`. */
function addUsage(draft: Draft, section: Fields): void {
  const meta = fieldsAt(section, 'meta')
  const usage = fieldsAt(section, 'usage')
  draft.provider = providerName(textOf(meta.provider_name))
  draft.model = specified(meta.response_model) ?? specified(meta.request_model)
  draft.inputTokens = positiveOf(usage.prompt_tokens ?? usage.prompt_token ?? usage.input_tokens)
  draft.outputTokens = positiveOf(usage.completion_tokens ?? usage.completion_token ?? usage.output_tokens)
  draft.totalTokens = positiveOf(usage.total_tokens)
  draft.costMicros = microsOf(positiveOf(usage.cost))
}

const specified = (value: unknown) => {
  const text = textOf(value)
  return text === 'UNSPECIFIED' ? null : text
}
