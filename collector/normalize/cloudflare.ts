/**
 * Cloudflare's Logpush of the dataset `http_requests`: one JSON object a line, with the fields and the format of instants that
 * somebody chose for the job (RFC 3339, or Unix seconds or nanoseconds).
 * https://developers.cloudflare.com/logs/logpush/logpush-job/datasets/zone/http_requests/
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, isFields, positiveOf, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { logpushInstant } from './logpush-instant.ts'
import { outcomeOf } from './outcome.ts'
import { putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const cloudflare: Dialect = {
  name: 'cloudflare',
  framing: { kind: 'json' },
  definition: 'cloudflare 1',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const MS_PER_NANOSECOND = 1e-6

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'A line of Logpush is a JSON object.')
  // What a new job sends to see whether anybody is there; and what a Worker fetched while it served another call.
  if (raw.content === 'tests' || raw.WorkerSubrequest === true) return SKIP
  const draft = emptyDraft()
  draft.requestId = textOf(raw.RayID)
  draft.startedAtMs = logpushInstant(raw.EdgeStartTimestamp)
  const endedAtMs = logpushInstant(raw.EdgeEndTimestamp)
  draft.latencyMs =
    typeof draft.startedAtMs === 'number' && typeof endedAtMs === 'number'
      ? durationOf(endedAtMs - draft.startedAtMs, 1)
      : null
  draft.method = textOf(raw.ClientRequestMethod)
  draft.host = textOf(raw.ClientRequestHost)
  const headers = headerReader(raw.RequestHeaders)
  putTarget(draft, firstText(raw.ClientRequestURI, raw.ClientRequestPath), headers)
  draft.consumer = headers('x-consumer-id')
  draft.decisionId = headers('x-quotacast-decision-id')
  draft.requestBytes = countOf(raw.ClientRequestBytes)
  draft.responseBytes = countOf(raw.EdgeResponseBytes)
  draft.clientIp = textOf(raw.ClientIP)
  draft.service = textOf(raw.ZoneName)
  addEnding(draft, raw)
  return draft
}

/** An origin's status is 0 where it was not asked. */
function addEnding(draft: Draft, raw: Fields): void {
  const status = countOf(raw.EdgeResponseStatus)
  const originStatus = positiveOf(raw.OriginResponseStatus)
  const answer = headerReader(raw.ResponseHeaders)
  const isFromUpstream = originStatus !== null && originStatus === status
  draft.status = status
  draft.outcome = isRateLimited(raw) ? 'limited' : outcomeOf({ status, isFromUpstream })
  if (originStatus !== null) {
    draft.upstreamLatencyMs =
      durationOf(raw.OriginResponseDurationMs, 1) ?? durationOf(raw.OriginResponseTime, MS_PER_NANOSECOND)
    putUpstreamLimits(draft, answer)
  }
  putDenial(draft, answer)
  draft.labels = presentLabels({ cache: raw.CacheCacheStatus, colo: raw.EdgeColoCode, error: raw.SecurityAction })
}

const isRateLimited = ({ SecuritySource: source, SecuritySources: sources, SecurityActions: actions }: Fields) => {
  const list = Array.isArray(sources) ? sources : [source]
  const at = list.findIndex(item => typeof item === 'string' && item.toLowerCase() === 'ratelimit')
  // A rule may only watch.
  return at >= 0 && !(Array.isArray(actions) && actions[at] === 'log')
}
