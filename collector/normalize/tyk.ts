/**
 * Tyk: the records of tyk-pump as its pumps write them (Kafka, Splunk's HEC, stdout, and whatever else has JSON), and the
 * gateway's own access log. All have milliseconds, and the end of the call.
 */
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import { countOf, durationOf, type Fields, fieldsAt, firstText, isFields, textOf } from './fields.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { hostOf } from './request-line.ts'
import { instantOfIso } from './time.ts'

export const tyk: Dialect = {
  name: 'tyk',
  framing: { kind: 'text' },
  definition: 'tyk 1',
  hasUnnamedSecrets: true,
  open: () => decode,
}

const NO_JSON =
  'Tyk wrote text: use a pump that writes JSON (the syslog pump cannot, the stdout pump with `"format": "json"`), ' +
  'and `TYK_GW_LOGFORMAT=json` for the access log.'

const decode: Decode = raw => {
  if (!isFields(raw)) return { ...refusal('unreadable', NO_JSON), isInputSecret: true }
  if (raw.prefix === 'access-log') return accessDraft(raw)
  const record = recordIn(raw)
  if (record !== null) return recordDraft(record)
  // The programs' own log, among which the stdout pump and the access log write.
  if (raw.level !== undefined && raw.msg !== undefined) return SKIP
  return recordDraft(raw)
}

/** The record itself, or what a pump has around it. */
function recordIn(raw: Fields): Fields | null {
  const inner = raw['tyk-analytics-record'] ?? raw.event
  if (isFields(inner)) return inner
  return raw.response_code === undefined ? null : raw
}

function recordDraft(raw: Fields): Draft {
  const draft = emptyDraft()
  const latency = fieldsAt(raw, 'latency')
  draft.endedAtMs = instantOfIso(raw.timestamp ?? raw.time_stamp)
  draft.latencyMs = durationOf(raw.request_time ?? raw.request_time_ms ?? latency.total, 1)
  draft.upstreamLatencyMs = durationOf(latency.upstream, 1)
  draft.method = textOf(raw.method)
  draft.host = textOf(raw.host)
  draft.route = firstText(raw.original_path, raw.raw_path, raw.path)
  draft.status = countOf(raw.response_code)
  draft.clientIp = textOf(raw.ip_address)
  draft.requestBytes = countOf(raw.content_length)
  addCaller(draft, raw)
  const tags = Array.isArray(raw.tags) ? raw.tags : []
  const trace = tags.find(tag => typeof tag === 'string' && tag.startsWith(TRACE_TAG))
  draft.requestId = typeof trace === 'string' ? trace.slice(TRACE_TAG.length) : null
  return draft
}

const TRACE_TAG = 'trace-id-'

function accessDraft(raw: Fields): Draft {
  const draft = emptyDraft()
  draft.endedAtMs = instantOfIso(raw.time)
  draft.latencyMs = durationOf(raw.latency_total, 1)
  draft.upstreamLatencyMs = durationOf(raw.upstream_latency, 1)
  draft.requestId = textOf(raw.trace_id)
  draft.method = textOf(raw.method)
  draft.host = hostOf(textOf(raw.host))
  draft.route = textOf(raw.path)
  draft.clientIp = textOf(raw.client_ip)
  const status = countOf(raw.status)
  draft.status = status
  addCaller(draft, raw)
  const flag = textOf(raw.response_flag)
  if (flag === RATE_LIMITED || flag === QUOTA_EXCEEDED) draft.outcome = 'limited'
  else if (flag === CLIENT_DISCONNECTED) draft.outcome = 'aborted'
  else if (countOf(raw.upstream_status) === status) draft.outcome = outcomeOf({ status, isFromUpstream: true })
  return draft
}

/** Flags of Tyk's errors. A quota that is used up is answered with a 403. */
const RATE_LIMITED = 'RLT'
const QUOTA_EXCEEDED = 'QEX'
const CLIENT_DISCONNECTED = 'CDC'

/** What `hash_keys` leaves of a key with its usual functions (murmur32, murmur64), or what obfuscation leaves. */
const KEY_ID = /^(?:[0-9a-f]{8}|[0-9a-f]{16}|\*{4}.{0,8})$/
/** The hash of no key at all. */
const NO_KEY = /^0+$/

function addCaller(draft: Draft, raw: Fields): void {
  draft.consumer = firstText(raw.alias, raw.oauth_id)
  const key = textOf(raw.api_key)
  if (key !== null && !NO_KEY.test(key)) {
    if (KEY_ID.test(key)) draft.credentialId = key
    else draft.credential = key
  }
  draft.service = firstText(raw.api_name, raw.api_id)
  draft.labels = presentLabels({ organisation: raw.org_id, error: raw.response_flag })
}
