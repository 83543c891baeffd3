/**
 * APIPark and Apinto, the gateway in it: entries of the outputs (http, kafka, nsq, file, syslog) in JSON, whose fields are
 * variables under their own names or under those that APIPark gives them. Older gateways write the second in which the call
 * ended into `msec`, newer ones the millisecond of its start: the number tells, and the rest goes with it.
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, instantOf, isFields, numberOf, textOf } from './fields.ts'
import { type HeaderReader, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { providerName } from './provider-name.ts'
import { hostOf, putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const apipark: Dialect = {
  name: 'apipark',
  framing: { kind: 'text' },
  definition: 'apipark 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const NO_JSON = 'An entry of Apinto is a JSON object: set the type of the output to `json`.'

const decode: Decode = raw => {
  if (!isFields(raw)) return { ...refusal('unreadable', NO_JSON), isInputSecret: true }
  const draft = emptyDraft()
  draft.requestId = textOf(raw.request_id)
  draft.method = textOf(raw.request_method)
  draft.host = hostOf(firstText(raw.request_host, raw.host))
  draft.clientIp = firstText(raw.src_ip, raw.remote_addr)
  draft.requestBytes = countOf(raw.request_length ?? raw.content_length)
  draft.responseBytes = countOf(raw.response_length)
  draft.service = textOf(raw.service)
  draft.consumer = firstText(raw.application, raw.app)
  draft.credentialId = textOf(raw.authorization)
  const header = headerReader(headersOf(raw.request_header ?? raw.request_headers ?? raw.header ?? raw.headers))
  putTarget(draft, firstText(raw.request_uri, raw.url, raw.uri), header)
  draft.decisionId = firstText(raw.decision_id, header('x-quotacast-decision-id'))
  draft.provider = providerName(firstText(raw.ai_provider, raw.provider))
  draft.model = textOf(raw.ai_model)
  draft.inputTokens = countOf(raw.ai_model_input_token)
  draft.outputTokens = countOf(raw.ai_model_output_token)
  draft.totalTokens = countOf(raw.ai_model_total_token)
  draft.labels = presentLabels({
    gatewayRoute: raw.api ?? raw.api_id,
    cluster: raw.cluster,
    strategy: raw.strategy ?? raw.block_name,
  })
  addTimes(draft, raw)
  const answer = headerReader(headersOf(raw.response_headers ?? raw.response_header))
  addAnswer(draft, raw, answer)
  putDenial(draft, answer)
  return draft
}

/** Below it are seconds: as milliseconds they would be in March 1973. */
const MILLISECONDS_MIN = 1e11
const NANOSECOND_MS = 1e-6

function addTimes(draft: Draft, raw: Fields): void {
  draft.latencyMs = durationOf(raw.request_time, 1)
  const stamp = numberOf(raw.msec)
  const isOld = stamp !== null && stamp < MILLISECONDS_MIN
  if (isOld) draft.endedAtMs = instantOf(stamp, 1000)
  else
    draft.startedAtMs =
      stamp === null ? (instantOf(raw.timestamp, 1000) ?? instantOfIso(raw.time_iso8601)) : instantOf(stamp, 1)
  draft.upstreamLatencyMs = durationOf(raw.proxy_time, 1) ?? durationOf(raw.response_time, isOld ? 1 : NANOSECOND_MS)
}

function addAnswer(draft: Draft, raw: Fields, answer: HeaderReader): void {
  const status = statusOf(raw.status)
  draft.status = status
  const upstreamStatus = statusOf(raw.proxy_status)
  const body = raw.proxy_response_body ?? raw.response_body
  // A call that was answered here has a status of 0, and a time of 0, where the upstream's would be.
  if (upstreamStatus === null && !draft.upstreamLatencyMs) {
    draft.upstreamLatencyMs = null
    if (typeof body === 'string' && KEYS_EXHAUSTED.test(body.slice(0, ERROR_CHARACTERS_MAX)))
      draft.outcome = 'exhausted'
    return
  }
  draft.outcome = outcomeOf({ status, isFromUpstream: upstreamStatus === null || upstreamStatus === status })
  putUpstreamLimits(draft, answer)
  addProviderAnswer(draft, body)
}

/** What APIPark itself answers when a provider has refused all of its keys. */
const KEYS_EXHAUSTED = /keys temporarily exhausted/i
const ERROR_CHARACTERS_MAX = 4096

/** Older gateways write `200 OK`; 0 is none. */
const statusOf = (value: unknown) => countOf(typeof value === 'string' ? value.split(' ', 1)[0] : value) || null

const HEADERS_MAX = 256

/** Headers as an object, or percent-encoded as in a form. */
function headersOf(value: unknown): unknown {
  if (typeof value !== 'string') return value
  const headers: Record<string, string> = {}
  let left = HEADERS_MAX
  for (const [name, text] of new URLSearchParams(value)) {
    if (--left < 0) break
    headers[name] = text
  }
  return headers
}
