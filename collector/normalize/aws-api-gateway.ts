/**
 * Amazon API Gateway's access log, which is a line of whatever `$context` variables somebody chose: the names of our own
 * format, and AWS's JSON and CLF examples for REST and HTTP APIs. `-` is no value, and every value is text.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
 */
import { clfInstant, isAccessLike, parseAccessLine } from './access-line.ts'
import { draftOfLine } from './clf.ts'
import { type Decode, type Decoded, type Dialect, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, instantOf, isFields, lastOf, textOf } from './fields.ts'
import { handMadeFields } from './hand-made-json.ts'
import { innerFields } from './inner-json.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { putTarget } from './request-line.ts'

export const awsApiGateway: Dialect = {
  name: 'aws-api-gateway',
  framing: { kind: 'text' },
  definition: 'aws-api-gateway 1',
  hasUnnamedSecrets: true,
  unwrap: linesOf,
  open: () => decode,
}

/** Lines come alone, in lists, or in what a subscription of CloudWatch Logs has around them. */
function linesOf(document: unknown): readonly unknown[] {
  if (Array.isArray(document)) return document.flatMap(item => (Array.isArray(item) ? [item] : linesOf(item)))
  if (!isFields(document) || !Array.isArray(document.logEvents)) return [document]
  return document.messageType === 'CONTROL_MESSAGE' ? [] : document.logEvents.map(messageOf)
}

function messageOf(event: unknown): unknown {
  const message = isFields(event) ? event.message : event
  return typeof message === 'string' && message.startsWith('{') ? (innerFields(message) ?? message) : message
}

const decode: Decode = raw => {
  const fields = handMadeFields(raw)
  if (fields !== null) return draftOf(fields)
  if (typeof raw === 'string' && isAccessLike(raw)) return clfDraft(raw)
  const message = 'This is neither JSON nor the Common Log Format: use the access log format of the guide.'
  return { ...refusal('unreadable', message), isInputSecret: true }
}

/** AWS's own example has no space behind the time. */
const UNSPACED = /(\[\d\d\/[^\]]{0,32}\])"/

/** AWS's own example ends with the id of the request and, by now, with the one that no client can choose. */
const LAST_ID = /" \S+ \S+ (?:[^\s"]+ )?([^\s"]+)$/

function clfDraft(text: string): Decoded {
  const line = parseAccessLine(text.replace(UNSPACED, '$1 "'))
  if (line === null) return { ...refusal('unreadable', 'The line is cut off or broken.'), isInputSecret: true }
  const draft = draftOfLine(line)
  draft.requestId = textOf(LAST_ID.exec(text)?.[1])
  return draft
}

const OWN_LIMITS = new Set(['THROTTLED', 'QUOTA_EXCEEDED'])

function draftOf(fields: Fields): Decoded {
  const draft = emptyDraft()
  const requestTime = textOf(fields.requestTime)
  // A client can choose `requestId` by a header, and so name two calls alike.
  draft.requestId = firstText(fields.extId, fields.extendedRequestId, fields.requestId)
  draft.startedAtMs =
    instantOf(fields.ts ?? fields.requestTimeEpoch, 1) ?? (requestTime === null ? null : clfInstant(requestTime))
  draft.latencyMs = durationOf(fields.lat ?? fields.responseLatency, 1)
  draft.upstreamLatencyMs = durationOf(fields.up ?? fields.integrationLatency, 1)
  draft.consumer = firstText(fields.principal, fields.caller)
  draft.credentialId = firstText(fields.keyId, fields.apiKeyId)
  draft.credential = firstText(fields.apiKey)
  draft.method = firstText(fields.method, fields.httpMethod)
  draft.host = firstText(fields.host, fields.domainName)
  const route = routeOf(firstText(fields.route, fields.resourcePath, fields.routeKey))
  putTarget(draft, route ?? textOf(fields.path))
  draft.service = firstText(fields.api, fields.apiId)
  draft.responseBytes = countOf(fields.bytes_out ?? fields.responseLength)
  draft.clientIp = firstText(fields.ip, fields.sourceIp)
  const error = firstText(fields.err, fields.errorResponseType)
  const status = countOf(fields.status)
  const upstreamStatus = lastOf(fields.up_status ?? fields.integrationStatus)
  draft.status = status
  draft.outcome =
    error !== null && OWN_LIMITS.has(error)
      ? 'limited'
      : outcomeOf({ status, isFromUpstream: upstreamStatus !== null && upstreamStatus === status })
  draft.labels = presentLabels({ stage: fields.stage, error })
  putOwnFields(draft, { ...fields, route: undefined })
  return draft
}

/** `POST /v1/chat` of an HTTP API without its method; `$default` says nothing. */
const routeOf = (route: string | null) => {
  const path = route?.replace(/^[A-Z]+ /, '') ?? null
  return path === '$default' ? null : path
}
