/**
 * Usage events in the CloudEvents format, as OpenMeter and its SDKs define them: the subject is whose usage it is, and `data`
 * says what was used, under names of the record (`input_tokens`), OpenTelemetry's, or those of OpenMeter's examples.
 * https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md
 */
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, isFields, textOf } from './fields.ts'
import { addGenAi, genAiOf } from './gen-ai.ts'
import { innerFields } from './inner-json.ts'
import { presentLabels } from './labels.ts'
import { putOwnFields } from './own-fields.ts'
import { providerName } from './provider-name.ts'
import { putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { tokenUsageOf } from './token-usage.ts'

export const openmeter: Dialect = {
  name: 'openmeter',
  framing: { kind: 'json' },
  definition: 'openmeter 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw) || raw.specversion === undefined) {
    return refusal('unreadable', 'This is no CloudEvent: it has no `specversion`.')
  }
  const fields = dataOf(raw)
  const draft = emptyDraft()
  draft.requestId = textOf(raw.id)
  draft.startedAtMs = instantOfIso(raw.time)
  draft.gateway = textOf(raw.source)
  draft.tenant = textOf(raw.subject)
  draft.consumer = firstText(fields.user_id, fields.user, fields.api_key_id)
  draft.latencyMs = latencyOf(fields)
  draft.upstreamLatencyMs = durationOf(fields.upstream_latency_ms, 1)
  draft.method = textOf(fields.method)
  draft.host = textOf(fields.host)
  putTarget(draft, firstText(fields.route, fields.path, fields.url))
  draft.status = countOf(fields.status ?? fields.status_code)
  draft.requestBytes = countOf(fields.request_bytes)
  draft.responseBytes = countOf(fields.response_bytes ?? fields.bytes)
  draft.clientIp = firstText(fields.ip, fields.client_ip)
  addTokens(draft, fields)
  draft.labels = presentLabels({ event: raw.type, region: fields.region })
  putOwnFields(draft, { ...fields, route: undefined })
  draft.consumer ??= draft.tenant
  return draft
}

function dataOf(event: Fields): Fields {
  if (isFields(event.data)) return event.data
  const text = typeof event.data_base64 === 'string' ? Buffer.from(event.data_base64, 'base64').toString() : event.data
  return (typeof text === 'string' ? innerFields(text) : null) ?? {}
}

/** The unit is in the name, or it is not known. */
const latencyOf = ({ duration_ms: ms, durationMs, latency_ms: latencyMs, duration_seconds: seconds }: Fields) =>
  durationOf(ms ?? durationMs ?? latencyMs, 1) ?? durationOf(seconds, 1000)

/** OpenMeter's own collectors send an event for each kind of tokens, which `type` names. */
function addTokens(draft: Draft, fields: Fields): void {
  const genAi = genAiOf(fields)
  if (genAi !== null) addGenAi(draft, genAi)
  draft.model ??= textOf(fields.model)
  draft.provider ??= providerName(textOf(fields.provider))
  const usage = tokenUsageOf(fields)
  draft.inputTokens ??= usage.inputTokens
  draft.cachedInputTokens ??= usage.cachedInputTokens
  draft.outputTokens ??= usage.outputTokens
  draft.totalTokens ??= usage.totalTokens
  const tokens = countOf(fields.tokens)
  if (tokens === null) return
  if (fields.type === 'input' || fields.type === 'prompt') draft.inputTokens ??= tokens
  else if (fields.type === 'output' || fields.type === 'completion') draft.outputTokens ??= tokens
  else draft.totalTokens ??= tokens
}
