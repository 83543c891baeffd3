/**
 * Caddy's access log: JSON, written when the call has ended, and whatever `log_append` adds to it.
 * https://caddyserver.com/docs/caddyfile/directives/log
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import {
  countOf,
  durationOf,
  type Fields,
  firstText,
  goDurationMs,
  instantOf,
  isFields,
  numberOf,
  textOf,
} from './fields.ts'
import { headerReader } from './headers.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { hostOf, putTarget } from './request-line.ts'
import { parseIso } from './time.ts'
import { upstreamLimitsOf } from './upstream-limits.ts'

const MS_PER_SECOND = 1000
const ACCESS_LOGGER = 'http.log.access'
/** Of a header that the limiter's answer lacks, `copy_headers` of older versions copies the name of the value. */
const NOT_COPIED = '{http.reverse_proxy.header.'

export const caddy: Dialect = {
  name: 'caddy',
  framing: { kind: 'text' },
  definition: 'caddy',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw)) {
    const isAccess = typeof raw === 'string' && (raw.includes(ACCESS_LOGGER) || raw.startsWith('{'))
    return isAccess ? refusal('unreadable', 'This is not JSON: set `format json`, or a filter that wraps it.') : SKIP
  }
  // Other loggers show requests too, those of errors and of upstreams among them.
  const isAccess = typeof raw.logger !== 'string' || raw.logger.startsWith(ACCESS_LOGGER)
  return isAccess && isFields(raw.request) ? draftOf(raw, raw.request) : SKIP
}

function draftOf(entry: Fields, request: Fields): Draft {
  const draft = emptyDraft()
  const status = numberOf(entry.status)
  const endedAtMs = endedAtMsOf(entry.ts)
  const upstreamLatencyMs = durationOf(entry.upstream_latency_ms, 1)
  const answer = headerReader(entry.resp_headers)
  const limits = endedAtMs === null ? null : upstreamLimitsOf(answer, endedAtMs)
  // As newer versions write it of an answer that was broken off.
  const isTorn = entry.duration === 0
  // A limit of Caddy's own answers `Retry-After` as well, but nothing of what is left.
  const isFromUpstream = upstreamLatencyMs !== null || (limits !== null && Object.keys(limits.units).length > 0)
  // The placeholder adds the second by itself, wherever it is used.
  draft.requestId = firstText(entry.request_id, entry.uuid)
  draft.endedAtMs = endedAtMs
  draft.consumer = textOf(entry.user_id)
  draft.method = textOf(request.method)
  draft.host = hostOf(request.host)
  putTarget(draft, textOf(request.uri), headerReader(request.headers))
  draft.status = status
  draft.outcome = isTorn ? 'aborted' : outcomeOf({ status, isFromUpstream })
  draft.latencyMs = isTorn ? null : (durationOf(entry.duration, MS_PER_SECOND) ?? goDurationMs(entry.duration))
  draft.upstreamLatencyMs = upstreamLatencyMs
  draft.requestBytes = countOf(entry.bytes_read)
  draft.responseBytes = countOf(entry.size)
  draft.upstreamLimits = isFromUpstream ? limits : null
  draft.clientIp = firstText(request.client_ip, request.remote_ip)
  putOwnFields(draft, entry)
  draft.decisionId = copied(answer('x-quotacast-decision-id'))
  draft.consumer ??= copied(answer('x-quotacast-consumer'))
  putDenial(draft, answer)
  return draft
}

const copied = (text: string | null) => (text?.startsWith(NOT_COPIED) ? null : text)

/** Seconds, unless `time_format` makes it text. */
const endedAtMsOf = (ts: unknown) => instantOf(ts, MS_PER_SECOND) ?? (typeof ts === 'string' ? parseIso(ts) : null)
