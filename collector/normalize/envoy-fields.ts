/**
 * What Envoy says of a call under whatever names a log format gives it: Envoy Gateway's and Istio's JSON, Contour's, and the
 * ones that the snippets of Quotacast use. Durations are milliseconds, `start_time` is the start; headers stand under names
 * of their own, as text.
 */
import type { Outcome } from '../call-record.ts'
import { putDenial } from './denial.ts'
import { type Draft, emptyDraft } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { hostOf, putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

/** The draft of an entry in JSON. */
export function envoyDraft(raw: Fields): Draft {
  const draft = emptyDraft()
  draft.startedAtMs = instantOfIso(raw.start_time ?? raw['@timestamp'])
  draft.latencyMs = durationOf(raw.duration, 1)
  draft.upstreamLatencyMs = durationOf(raw.upstream_service_time ?? raw['x-envoy-upstream-service-time'], 1)
  draft.requestId = firstText(raw.request_id, raw['x-request-id'])
  draft.method = firstText(raw.method, raw[':method'])
  const path = firstText(raw.path, raw['x-envoy-origin-path'], raw['x-envoy-original-path'], raw[':path'])
  draft.host = hostOf(firstText(raw.authority, raw[':authority']))
  draft.clientIp = firstText(raw.downstream_remote_address, raw.x_forwarded_for, raw['x-forwarded-for'])
  draft.requestBytes = countOf(raw.bytes_received)
  draft.responseBytes = countOf(raw.bytes_sent)
  putClusterService(draft, raw.upstream_cluster)
  draft.consumer = firstText(raw['x-consumer-id'], raw['x-consumer-username'])
  draft.decisionId = textOf(raw['x-quotacast-decision-id'])
  const header = headerReader(raw)
  putTarget(draft, path, header)
  const flags = textOf(raw.response_flags)
  draft.labels = presentLabels({ gatewayRoute: raw.route_name, error: flags })
  const status = countOf(raw.response_code)
  draft.status = status
  const isFromUpstream = isAnswered(textOf(raw.response_code_details), draft.upstreamLatencyMs)
  draft.outcome = envoyOutcome({ status, flags: flags?.split(',') ?? [], isFromUpstream })
  if (isFromUpstream) putUpstreamLimits(draft, header)
  putDenial(draft, header)
  putOwnFields(draft, raw)
  return draft
}

/** True when an upstream gave the answer, by `%RESPONSE_CODE_DETAILS%` where it is known. */
export const isAnswered = (details: string | null, upstreamLatencyMs: unknown): boolean =>
  details === null ? upstreamLatencyMs !== null : details === 'via_upstream'

/** The service of a cluster: the host that Istio's and Higress' names (`outbound|443||api.openai.com`) end with, or all of it. */
export function putClusterService(draft: Draft, cluster: unknown): void {
  const name = textOf(cluster)
  const bar = name?.lastIndexOf('|') ?? -1
  draft.service = (bar < 0 ? null : name?.slice(bar + 1)) || name
}

/** The client went away before the answer was complete. */
const GONE = 'DC'
/** A rate-limit filter refused the call. */
const LIMITED = 'RL'

/** How a call ended by its status and `%RESPONSE_FLAGS%`. A code of 0 is no answer at all. */
export function envoyOutcome(ending: {
  status: number | null
  flags: readonly string[]
  isFromUpstream: boolean
}): Outcome {
  const { status, flags, isFromUpstream } = ending
  if (flags.includes(LIMITED)) return 'limited'
  if (flags.includes(GONE) && (status === null || status < 400)) return 'aborted'
  return outcomeOf({ status, isFromUpstream })
}
