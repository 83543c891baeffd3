/** Attributes of OpenTelemetry's HTTP conventions, of now and of before, to drafts. */
import { putDenial } from './denial.ts'
import { type Draft, emptyDraft } from './draft.ts'
import { envoyOutcome } from './envoy-fields.ts'
import { countOf, type Fields, fieldsAt, isFields, textOf } from './fields.ts'
import { addGenAi, genAiOf } from './gen-ai.ts'
import { GRPC_STATUSES } from './grpc-statuses.ts'
import { credentialOf, type HeaderReader, headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { isQuotaGone } from './quota-gone.ts'
import { hostOf, putTarget } from './request-line.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

const STATUS = ['http.response.status_code', 'http.status_code', 'http.status']
const METHOD = ['http.request.method', 'http.method']
/** Of a path that it knows no endpoint for, KrakenD says `404 Not Found` for the route. */
const NO_ROUTE = /^\d{3} /
const URL_TARGET = ['url.path', 'http.target', 'http.path', 'url.full', 'http.url']
const TARGET = ['http.route', ...URL_TARGET]
const QUERY = ['url.query', 'url.full', 'http.target', 'http.url', 'http.path']
const HOST = ['server.address', 'http.host', 'net.host.name', ':authority']
const CLIENT_IP = [
  'client.address',
  'http.client_ip',
  'network.peer.address',
  'net.peer.ip',
  'net.sock.peer.addr',
  'peer.address',
]
const REQUEST_BYTES = [
  'http.request.body.size',
  'http.request.size',
  'http.request_content_length',
  'request_size',
  'bytes_received',
]
const RESPONSE_BYTES = [
  'http.response.body.size',
  'http.response.size',
  'http.response_content_length',
  'response_size',
  'bytes_sent',
]
const REQUEST_ID = ['http.request.id', 'request.id', 'request_id', 'guid:x-request-id', 'x-request-id']
/** `quotacast.` are the names of our own snippets, `metadata.` LiteLLM's. */
const TENANT = ['quotacast.tenant', 'tenant', 'tenant.id', 'metadata.user_api_key_team_id', 'team']
const CONSUMER = [
  'quotacast.consumer',
  'consumer',
  'consumer.name',
  'metadata.user_api_key_alias',
  'enduser.id',
  'user.id',
  'user_id',
  'jwt.sub',
  'client.id',
]
const CREDENTIAL_ID = ['quotacast.credential_id', 'credential.id', 'metadata.user_api_key_hash']
const GATEWAY = ['service.name', 'cluster_name', 'node_name', 'log_name']
const SERVICE = ['upstream_cluster.name', 'upstream_cluster', 'peer.service', 'rpc.service']

/** The first value among names, the newest name first. */
function first(attributes: Fields, names: readonly string[]): string | null {
  for (const name of names) {
    const text = textOf(attributes[name])
    if (text !== null) return text
  }
  return null
}

const CALL = [...STATUS, ...METHOD, ...TARGET]

/** True for attributes of a call over HTTP or to a model. */
export const hasCall = (attributes: Fields): boolean =>
  CALL.some(name => attributes[name] !== undefined) || genAiOf(attributes) !== null

const REQUEST_HEADER = 'http.request.header.'
const ANSWER_HEADER = 'http.response.header.'
const DECISION_ID = 'x-quotacast-decision-id'

/** Headers are attributes with a prefix; some SDKs write `_` in their names. */
function headersIn(attributes: Fields, prefix: string): HeaderReader {
  const headers: Record<string, unknown> = {}
  for (const name in attributes) {
    if (name.startsWith(prefix)) headers[name.slice(prefix.length).replaceAll('_', '-')] = attributes[name]
  }
  return headerReader(headers)
}

/** Who called what: everything but times and how it ended. */
export function attributesDraft(attributes: Fields, resource: Fields): Draft {
  const draft = emptyDraft()
  const header = headersIn(attributes, REQUEST_HEADER)
  draft.requestId = first(attributes, REQUEST_ID)
  addLitellm(draft, attributes)
  addCaller(draft, attributes)
  draft.tenant ??= first(resource, TENANT)
  draft.credential = credentialOf(header, first(attributes, QUERY))
  draft.decisionId = textOf(attributes['quotacast.decision_id']) ?? header(DECISION_ID)
  draft.gateway = gatewayOf(resource)
  draft.method = first(attributes, METHOD) ?? textOf(attributes.method)
  const address = first(attributes, HOST)
  const isUrl = address?.includes('://') === true
  if (!isUrl) draft.host = hostOf(address)
  draft.service ??= first(attributes, SERVICE) ?? rpcServiceOf(attributes)
  draft.clientIp = first(attributes, CLIENT_IP)
  draft.requestBytes = countOf(first(attributes, REQUEST_BYTES))
  draft.responseBytes = countOf(first(attributes, RESPONSE_BYTES))
  const target = first(attributes, NO_ROUTE.test(textOf(attributes['http.route']) ?? '') ? URL_TARGET : TARGET)
  if (target !== null) putTarget(draft, target)
  // Portkey writes the whole URL of the provider.
  if (isUrl) putTarget(draft, address)
  const genAi = genAiOf(attributes)
  if (genAi !== null) addGenAi(draft, genAi)
  draft.labels = presentLabels({ operation: genAi?.operation ?? null })
  return draft
}

/** The id of the decision that a gateway handed on, by the CLIENT span of its call. */
export const handedDecisionId = (upstream: Fields): string | null => headersIn(upstream, REQUEST_HEADER)(DECISION_ID)

/** Which gateway wrote it, by the attributes of its resource. */
export const gatewayOf = (resource: Fields): string | null => first(resource, GATEWAY)

/** Whose call it is, where nothing said it yet. */
export function addCaller(draft: Draft, attributes: Fields): void {
  draft.tenant ??= first(attributes, TENANT)
  draft.consumer ??= first(attributes, CONSUMER)
  draft.credentialId ??= first(attributes, CREDENTIAL_ID)
}

/** Since version 1.38 of the conventions the service is a part of the method's name. */
const rpcServiceOf = (attributes: Fields): string | null =>
  /^(.+)\/[^/]*$/.exec(textOf(attributes['rpc.method']) ?? '')?.[1] ?? null

/** What LiteLLM's hooks know of a call, too: its id, and the model that was asked for, which is the service. */
export function addLitellm(draft: Draft, attributes: Fields): void {
  draft.requestId ??= textOf(attributes['litellm.call_id'])
  draft.service ??= textOf(attributes['litellm.model_group'])
}

/** https://cloud.google.com/apis/design/errors: what a status of gRPC is in HTTP, by its code. */
const STATUS_OF_GRPC: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
]
const GRPC_STATUS = ['rpc.grpc.status_code', 'rpc.status_code', 'rpc.response.status_code']

/** Codes before version 1.38 of the conventions, names since then. */
function grpcStatusOf(attributes: Fields): number | null {
  const status = first(attributes, GRPC_STATUS)
  const code = countOf(status) ?? GRPC_STATUSES.indexOf(status?.toUpperCase() ?? '')
  return STATUS_OF_GRPC[code] ?? null
}

function statusOf(attributes: Fields): number | null {
  const status = countOf(first(attributes, STATUS)) ?? micrometerStatusOf(attributes)
  if (status !== null) return status
  const grpc = grpcStatusOf(attributes)
  if (grpc !== null) return grpc
  const errorType = textOf(attributes['error.type'])
  return errorType !== null && /^[45]\d\d$/.test(errorType) ? Number(errorType) : null
}

/** Micrometer's names of a call are words that others use, too: they make no call of what is none. */
const micrometerStatusOf = ({ status }: Fields) =>
  typeof status === 'string' && /^[1-5]\d\d$/.test(status) ? Number(status) : null

const ERROR_CODES = new Set<unknown>([2, '2', 'STATUS_CODE_ERROR'])

interface Below {
  /** Attributes of the call's CLIENT span, where there is one. */
  upstream: Fields | null
  /** Of its AI span. */
  ai: Fields
}

/** Status, outcome and limits of an item. */
export function addEnding(draft: Draft, item: Fields, attributes: Fields, { upstream, ai }: Below): void {
  const flags = textOf(attributes.response_flags)
  const { type: exceptionType = null, message = null } = isFields(item.exception) ? item.exception : {}
  const { code, message: statusMessage } = fieldsAt(item, 'status')
  const isAi = draft.provider !== null || draft.model !== null
  const status = statusOf(attributes)
  draft.status = status
  const isError = ERROR_CODES.has(code)
  const isFailed = isError || (status !== null && status >= 400)
  const error = first(attributes, ['error.type', 'response_flags']) ?? (isFailed ? textOf(ai['error.type']) : null)
  const isFromUpstream = isAnswerOf(upstream, status)
  const words = [error, exceptionType, message, statusMessage].map(textOf)
  if (isFailed && (isAi || isFromUpstream) && isQuotaGone(...words)) draft.outcome = 'exhausted'
  else if (status === null && isError) draft.outcome = 'server_error'
  else draft.outcome = envoyOutcome({ status, flags: flags?.split(',') ?? [], isFromUpstream })
  draft.labels = presentLabels({ ...fieldsAt(draft, 'labels'), error: error ?? textOf(exceptionType) })
  const answer = headersIn(attributes, ANSWER_HEADER)
  if (draft.outcome !== 'limited') {
    putUpstreamLimits(draft, upstream === null ? answer : headersIn(upstream, ANSWER_HEADER))
  }
  putDenial(draft, answer)
}

/** An upstream was asked, and what it answered is what the client got. */
function isAnswerOf(upstream: Fields | null, status: number | null): boolean {
  if (upstream === null) return false
  const upstreamStatus = statusOf(upstream)
  return upstreamStatus === null || upstreamStatus === status
}
