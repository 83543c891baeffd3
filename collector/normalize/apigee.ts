/**
 * Apigee, by the message that our `MessageLogging` policy writes: every value is text, instants are Unix milliseconds, and a
 * variable that has no value is empty. Other templates are read as far as they use the same names.
 * https://cloud.google.com/apigee/docs/api-platform/reference/variables-reference
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, instantOf, isFields, numberOf, textOf } from './fields.ts'
import { handMadeFields } from './hand-made-json.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const apigee: Dialect = {
  name: 'apigee',
  framing: { kind: 'text' },
  definition: 'apigee 1',
  hasUnnamedSecrets: true,
  open: () => decode,
}

const NO_JSON = 'This is no JSON object: use the message of the guide in the MessageLogging policy.'
/** Faults of the policies Quota and SpikeArrest. */
const OWN_LIMIT = /(?:QuotaViolation|SpikeArrestViolation)$/
/** What Apigee makes of a target's 4xx and 5xx, unless `success.codes` has them. */
const TARGET_ANSWER = /(?:^|\.)ErrorResponseCode$/

const decode: Decode = raw => {
  const fields = handMadeFields(unlogged(raw))
  if (fields === null) return { ...refusal('unreadable', NO_JSON), isInputSecret: true }
  const draft = emptyDraft()
  draft.requestId = textOf(fields.id)
  draft.startedAtMs = instantOf(fields.ts, 1)
  draft.latencyMs = between(fields.ts, fields.end)
  draft.upstreamLatencyMs = between(fields.t_start, fields.t_end)
  draft.consumer = textOf(fields.app)
  draft.credentialId = textOf(fields.app_id)
  draft.credential = textOf(fields.client_id)
  draft.tenant = textOf(fields.developer)
  draft.method = firstText(fields.verb, fields.method)
  draft.host = textOf(fields.host)
  putTarget(draft, pathOf(fields))
  draft.service = firstText(fields.target, fields.proxy)
  draft.requestBytes = countOf(fields.bytes_in)
  draft.responseBytes = countOf(fields.bytes_out)
  draft.clientIp = textOf(fields.ip)
  const status = countOf(fields.status)
  const targetStatus = countOf(fields.t_status)
  const fault = textOf(fields.fault)
  draft.status = status
  const isFromUpstream = targetStatus === null ? draft.upstreamLatencyMs !== null : targetStatus === status
  draft.outcome =
    fault !== null && OWN_LIMIT.test(fault)
      ? 'limited'
      : outcomeOf({ status, isFromUpstream: isFromUpstream && (fault === null || TARGET_ANSWER.test(fault)) })
  const answer = headerReader(fields)
  if (isFromUpstream) putUpstreamLimits(draft, answer)
  putDenial(draft, answer)
  draft.labels = presentLabels({ proxy: fields.proxy, product: fields.product, error: fault })
  putOwnFields(draft, fields)
  return draft
}

/** Cloud Logging has the message around it. */
const unlogged = (raw: unknown) => (isFields(raw) ? (raw.jsonPayload ?? raw.textPayload ?? raw) : raw)

/** Milliseconds between two instants, `null` where one of them was never reached. */
function between(start: unknown, end: unknown): number | null {
  const from = numberOf(start)
  const to = numberOf(end)
  return from === null || to === null ? null : durationOf(to - from, 1)
}

/** The base path of the proxy and what follows it. */
const pathOf = (fields: Fields) => {
  const suffix = firstText(fields.path, fields.suffix)
  const base = textOf(fields.base)
  return base === null ? suffix : `${base}${suffix ?? ''}`
}
