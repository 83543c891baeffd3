/**
 * nginx and its kin (OpenResty, Angie, Tengine): JSON that is named for nginx's variables, which say what their values
 * mean and in which unit, and the format `combined`. nginx logs a call when it ends.
 */
import { clfInstant, parseAccessLine } from './access-line.ts'
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { escapedJsonFields } from './escaped-json.ts'
import {
  countOf,
  durationOf,
  type Fields,
  firstText,
  instantOf,
  isFields,
  lastOf,
  numberOf,
  sumOf,
  textOf,
} from './fields.ts'
import { credentialOf, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { putRequestLine, putTarget } from './request-line.ts'
import { parseIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const MS_PER_SECOND = 1000
const UPSTREAM_HEADER = 'upstream_http_'
const ANSWER_HEADER = 'sent_http_'

export const nginx: Dialect = {
  name: 'nginx',
  framing: { kind: 'text' },
  definition: 'nginx',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const decode: Decode = raw => {
  const variables = isFields(raw) ? raw : typeof raw === 'string' ? variablesOfLine(raw) : null
  return variables === null
    ? refusal('unreadable', 'This is neither JSON nor `combined`.')
    : draftOfVariables(variables)
}

/** Of `combined`, and of JSON whose `log_format` lacks `escape=json`. */
function variablesOfLine(text: string): Fields | null {
  if (text.startsWith('{')) return escapedJsonFields(text)
  const line = parseAccessLine(text)
  if (line === null) return null
  const [status, bytes] = line.words
  return {
    ...line.pairs,
    ...{ msec: line.atMs / MS_PER_SECOND, remote_addr: line.address, remote_user: line.user },
    ...{ host: line.host, request: line.request, status, body_bytes_sent: bytes },
  }
}

/** The draft of nginx's variables by their names, and of those that ingress-nginx adds. */
export function draftOfVariables(variables: Fields): Draft {
  const draft = emptyDraft()
  const status = numberOf(variables.status)
  draft.requestId = firstText(variables.request_id, variables.req_id)
  draft.endedAtMs = endedAtMsOf(variables)
  draft.consumer = textOf(variables.remote_user)
  draft.method = textOf(variables.request_method)
  draft.host = textOf(variables.host)
  putRequest(draft, variables)
  draft.service = firstText(variables.service_name, variables.proxy_upstream_name, variables.proxy_host)
  draft.status = status
  draft.latencyMs = durationOf(variables.request_time, MS_PER_SECOND)
  draft.upstreamLatencyMs = durationOf(sumOf(variables.upstream_response_time), MS_PER_SECOND)
  draft.requestBytes = countOf(variables.request_length)
  draft.responseBytes = countOf(variables.bytes_sent) ?? countOf(variables.body_bytes_sent)
  putLimits(draft, variables)
  draft.outcome = outcomeOfVariables(variables, status)
  putDenial(draft, name => textOf(variables[ANSWER_HEADER + name.replaceAll('-', '_')]))
  draft.clientIp = textOf(variables.remote_addr)
  // What the cache answered, no limit of the upstream counted.
  draft.labels = presentLabels({
    ...{ cache: variables.upstream_cache_status, namespace: variables.namespace, ingress: variables.ingress_name },
  })
  putOwnFields(draft, variables)
  return draft
}

function endedAtMsOf({ msec, time_iso8601: iso, time_local: local }: Fields): number | null {
  const endedAtMs = instantOf(msec, MS_PER_SECOND) ?? (typeof iso === 'string' ? parseIso(iso) : null)
  return endedAtMs ?? (typeof local === 'string' ? clfInstant(local) : null)
}

/** What the client asked for, which rewrites leave alone, comes before what nginx served. */
function putRequest(draft: Draft, { request, request_uri: asked, uri, args }: Fields): void {
  const target = textOf(asked)
  if (target !== null) putTarget(draft, target)
  const line = textOf(request)
  if (line !== null) putRequestLine(draft, line)
  draft.route ??= textOf(uri)
  draft.credential ??= credentialOf(headerReader(null), textOf(args))
}

/** The limits that nginx itself keeps answer 503 unless told otherwise, so the status alone does not show them. */
function outcomeOfVariables(variables: Fields, status: number | null) {
  if (variables.limit_req_status === 'REJECTED' || variables.limit_conn_status === 'REJECTED') return 'limited'
  // The status is that of the headers, which had gone when the client went.
  if (variables.request_completion === '' && status !== null && status < 400) return 'aborted'
  const upstreamStatus = lastOf(variables.upstream_status)
  return upstreamStatus === null ? null : outcomeOf({ status, isFromUpstream: upstreamStatus === status })
}

function putLimits(draft: Draft, variables: Fields): void {
  let headers: Record<string, unknown> | null = null
  for (const name in variables) {
    if (!name.startsWith(UPSTREAM_HEADER) || variables[name] === '' || variables[name] === '-') continue
    headers ??= {}
    headers[name.slice(UPSTREAM_HEADER.length).replaceAll('_', '-')] = variables[name]
  }
  if (headers !== null) putUpstreamLimits(draft, headerReader(headers))
}
