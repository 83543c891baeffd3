/**
 * Entries of Envoy's gRPC access log service: `HTTPAccessLogEntry` of envoy/data/accesslog/v3/accesslog.proto in its JSON
 * names. Enumerations are numbers or names, 64-bit numbers may be text, absent messages are absent or `null`.
 */
import { putDenial } from './denial.ts'
import { type Decoded, type Draft, emptyDraft, SKIP } from './draft.ts'
import { envoyOutcome, isAnswered, putClusterService } from './envoy-fields.ts'
import { countOf, type Fields, fieldsAt, firstText, isFields, numberOf, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { putOwnFields } from './own-fields.ts'
import { hostOf, putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

/** Entries of a call that has ended; others of the same call tell of its beginning or its progress. */
const ENDED = new Set<unknown>([undefined, null, 0, 6, 'NotSet', 'DownstreamEnd'])

/** The call in an entry; entries that are not the last one of their call are skipped. */
export function alsDraft(entry: Fields): Decoded {
  const common = fieldsAt(entry, 'commonProperties')
  if (!ENDED.has(common.accessLogType)) return SKIP
  const request = fieldsAt(entry, 'request')
  const response = fieldsAt(entry, 'response')
  const header = headerReader(request.requestHeaders)
  const draft = emptyDraft()
  const startedAtMs = millisOf(common.startTime)
  draft.startedAtMs = startedAtMs === null ? null : Math.floor(startedAtMs)
  draft.latencyMs = millisOf(common.duration) ?? millisOf(common.timeToLastDownstreamTxByte)
  draft.upstreamLatencyMs = between(common.timeToFirstUpstreamTxByte, common.timeToLastUpstreamRxByte)
  draft.requestId = firstText(request.requestId, common.streamId)
  draft.method = methodOf(request.requestMethod)
  draft.host = hostOf(textOf(request.authority))
  putTarget(draft, firstText(request.originalPath, request.path), header)
  draft.clientIp = addressOf(common.downstreamRemoteAddress ?? common.downstreamDirectRemoteAddress)
  draft.requestBytes =
    sized(common.downstreamWireBytesReceived) ?? sumOfSizes(request.requestHeadersBytes, request.requestBodyBytes)
  draft.responseBytes =
    sized(common.downstreamWireBytesSent) ?? sumOfSizes(response.responseHeadersBytes, response.responseBodyBytes)
  putClusterService(draft, common.upstreamCluster)
  draft.decisionId = header('x-quotacast-decision-id')
  addAnswer(draft, common, response)
  putOwnFields(draft, dynamicMetadataOf(common))
  putOwnFields(draft, fieldsAt(common, 'customTags'))
  return draft
}

function addAnswer(draft: Draft, common: Fields, response: Fields): void {
  const flags = flagsOf(common.responseFlags)
  draft.labels = presentLabels({ gatewayRoute: common.routeName, error: flags.join(',') })
  const code = response.responseCode
  // Absent where there was no answer at all.
  const status = countOf(isFields(code) ? code.value : code) ?? 0
  draft.status = status
  const isFromUpstream = isAnswered(textOf(response.responseCodeDetails), draft.upstreamLatencyMs)
  draft.outcome = envoyOutcome({ status, flags, isFromUpstream })
  const answer = headerReader(response.responseHeaders)
  if (isFromUpstream) putUpstreamLimits(draft, answer)
  putDenial(draft, answer)
}

/** Milliseconds of a `Timestamp` or a `Duration`, to the microsecond. */
function millisOf(value: unknown): number | null {
  if (!isFields(value)) return null
  const seconds = numberOf(value.seconds ?? 0)
  const nanos = numberOf(value.nanos ?? 0)
  return seconds === null || nanos === null ? null : seconds * 1000 + Math.floor(nanos / 1000) / 1000
}

function between(from: unknown, to: unknown): number | null {
  const fromMs = millisOf(from)
  const toMs = millisOf(to)
  return fromMs === null || toMs === null || toMs < fromMs ? null : Math.round((toMs - fromMs) * 1000) / 1000
}

/** 0 where Envoy is too old to know. */
const sized = (value: unknown) => countOf(value) || null

function sumOfSizes(...sizes: readonly unknown[]): number {
  let sum = 0
  for (const size of sizes) sum += countOf(size) ?? 0
  return sum
}

const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']

function methodOf(value: unknown): string | null {
  const name = typeof value === 'number' ? METHODS[value] : textOf(value)
  return name === undefined || name === '' || name === 'METHOD_UNSPECIFIED' ? null : name
}

const addressOf = (address: unknown) => (isFields(address) ? textOf(fieldsAt(address, 'socketAddress').address) : null)

/** The short names of flags, as in text formats. */
const FLAGS: ReadonlyMap<string, string> = new Map([
  ['failedLocalHealthcheck', 'LH'],
  ['noHealthyUpstream', 'UH'],
  ['upstreamRequestTimeout', 'UT'],
  ['localReset', 'LR'],
  ['upstreamRemoteReset', 'UR'],
  ['upstreamConnectionFailure', 'UF'],
  ['upstreamConnectionTermination', 'UC'],
  ['upstreamOverflow', 'UO'],
  ['noRouteFound', 'NR'],
  ['delayInjected', 'DI'],
  ['faultInjected', 'FI'],
  ['rateLimited', 'RL'],
  ['unauthorizedDetails', 'UAEX'],
  ['rateLimitServiceError', 'RLSE'],
  ['downstreamConnectionTermination', 'DC'],
  ['upstreamRetryLimitExceeded', 'URX'],
  ['streamIdleTimeout', 'SI'],
  ['invalidEnvoyRequestHeaders', 'IH'],
  ['downstreamProtocolError', 'DPE'],
  ['upstreamMaxStreamDurationReached', 'UMSDR'],
  ['responseFromCacheFilter', 'RFCF'],
  ['noFilterConfigFound', 'NFCF'],
  ['durationTimeout', 'DT'],
  ['upstreamProtocolError', 'UPE'],
  ['noClusterFound', 'NC'],
  ['overloadManager', 'OM'],
  ['dnsResolutionFailure', 'DF'],
  ['dropOverload', 'DO'],
])

function flagsOf(flags: unknown): string[] {
  const names: string[] = []
  if (!isFields(flags)) return names
  for (const name in flags) {
    const short = FLAGS.get(name)
    if (short !== undefined && flags[name] !== false && flags[name] !== null) names.push(short)
  }
  return names
}

/** Where a check leaves who called, and where Envoy AI Gateway leaves tokens. */
const NAMESPACES = ['envoy.filters.http.ext_authz', 'envoy.filters.http.ratelimit', 'io.envoy.ai_gateway']
const AI_NAMES: ReadonlyMap<string, string> = new Map([
  ['llm_input_token', 'input_tokens'],
  ['llm_cached_input_token', 'cached_input_tokens'],
  ['llm_output_token', 'output_tokens'],
  ['llm_total_token', 'total_tokens'],
  ['model_name_override', 'model'],
])

/** Values that filters left, by the record's names. */
function dynamicMetadataOf(common: Fields): Fields {
  const byNamespace = fieldsAt(fieldsAt(common, 'metadata'), 'filterMetadata')
  const values: Record<string, unknown> = {}
  for (const namespace of NAMESPACES) {
    const struct = fieldsAt(fieldsAt(byNamespace, namespace), 'fields')
    for (const name in struct) values[AI_NAMES.get(name) ?? name] = plainOf(struct[name])
  }
  return values
}

/** Of a `google.protobuf.Value`. */
const plainOf = (value: unknown) => (isFields(value) ? (value.stringValue ?? value.numberValue ?? null) : null)
