/**
 * OpenTelemetry: spans and log records of any gateway or service, in the HTTP and GenAI semantic conventions as they are now
 * and as they were before their renames; what Envoy, Istio and Traefik write as log records, and Portkey as spans, is read
 * as their own dialects do.
 */
import { type Decode, type Decoded, type Dialect, NO_CONTEXT, refusal, SKIP } from './draft.ts'
import { envoy } from './envoy.ts'
import { durationOf, type Fields, fieldsAt, firstText, instantOfNanos, isFields, textOf } from './fields.ts'
import { addGenAi, genAiOf } from './gen-ai.ts'
import {
  addCaller,
  addEnding,
  addLitellm,
  attributesDraft,
  gatewayOf,
  handedDecisionId,
  hasCall,
} from './otlp-draft.ts'
import { otlpItemsOf } from './otlp-items.ts'
import { isPortkeyRow, portkey } from './portkey.ts'
import { instantOfIso } from './time.ts'
import { traefik } from './traefik.ts'

export const otlp: Dialect = {
  name: 'otlp',
  framing: { kind: 'json' },
  definition: 'otlp 1',
  // Name and value of an attribute are members of their own, so that nobody finds one by the other in broken JSON.
  hasUnnamedSecrets: true,
  unwrap: otlpItemsOf,
  open: () => decode,
}

const decode: Decode = raw => {
  if (!isFields(raw)) return notOtlp('A document of OTLP is a JSON object.')
  switch (raw.otlp) {
    case 'none':
      return SKIP
    case 'span':
      return spanDraft(raw)
    case 'log':
      return logDraft(raw)
    default:
      return notOtlp('This has neither `resourceSpans` nor `resourceLogs`, as documents of OTLP have.')
  }
}

const notOtlp = (message: string) => ({ ...refusal('unreadable', message), isInputSecret: true })

function spanDraft(raw: Fields): Decoded {
  const attributes = fieldsAt(raw, 'attributes')
  const resource = fieldsAt(raw, 'resource')
  if (isPortkeyRow(attributes)) return ofGateway(withDialect(readPortkey(attributes), portkey), resource)
  const draft = attributesDraft(attributes, resource)
  const ai = fieldsAt(raw, 'ai')
  addLitellm(draft, ai)
  draft.requestId ??= spanIdOf(raw)
  draft.startedAtMs = instantOfNanos(raw.startTimeUnixNano)
  draft.endedAtMs = instantOfNanos(raw.endTimeUnixNano)
  draft.latencyMs = nanosBetween(raw.startTimeUnixNano, raw.endTimeUnixNano)
  const upstream = isFields(raw.upstream) ? raw.upstream : null
  if (upstream !== null) {
    const attributesBelow = fieldsAt(upstream, 'attributes')
    const { 'server.address': host, 'peer.service': service } = attributesBelow
    draft.decisionId ??= handedDecisionId(attributesBelow)
    draft.upstreamLatencyMs = nanosBetween(upstream.startTimeUnixNano, upstream.endTimeUnixNano)
    draft.service ??= firstText(service, host)
  }
  const genAi = genAiOf(ai)
  if (genAi !== null) addGenAi(draft, genAi)
  addCaller(draft, ai)
  addCaller(draft, fieldsAt(raw, 'agents'))
  addEnding(draft, raw, attributes, { upstream: upstream === null ? null : fieldsAt(upstream, 'attributes'), ai })
  return draft
}

const spanIdOf = ({ traceId, spanId }: Fields) => {
  const [trace, span] = [textOf(traceId), textOf(spanId)]
  return trace === null || span === null ? null : `${trace}:${span}`
}

const NANOS_PER_MS = 1_000_000

/** Milliseconds between nanoseconds that a double cannot hold. */
function nanosBetween(start: unknown, end: unknown): number | null {
  const [from, to] = [bigOf(start), bigOf(end)]
  return from === null || to === null || to < from ? null : Number(to - from) / NANOS_PER_MS
}

const bigOf = (value: unknown) =>
  typeof value === 'number' && Number.isInteger(value)
    ? BigInt(value)
    : typeof value === 'string' && /^\d{1,20}$/.test(value)
      ? BigInt(value)
      : null

/** Longest body that is parsed. */
const BODY_CHARACTERS_MAX = 2 ** 16

function logDraft(raw: Fields): Decoded {
  const resource = fieldsAt(raw, 'resource')
  const attributes: Fields = { ...objectIn(raw.body), ...fieldsAt(raw, 'attributes') }
  const known = gatewayDraft(attributes, raw.body)
  if (known !== null) return ofGateway(known, resource)
  if (!hasCall(attributes)) return SKIP
  const draft = attributesDraft(attributes, resource)
  draft.latencyMs = latencyIn(attributes)
  draft.startedAtMs = instantOfIso(attributes.start_time)
  const writtenAtMs = instantOfNanos(raw.timeUnixNano)
  // Envoy's access logger writes the start of the call there, and is known by the names that it gives its resource.
  if (resource.log_name !== undefined) draft.startedAtMs ??= writtenAtMs
  else draft.endedAtMs = writtenAtMs
  draft.upstreamLatencyMs = durationOf(attributes['upstream.duration_ms'], 1)
  addEnding(draft, raw, attributes, { upstream: null, ai: {} })
  return draft
}

const readTraefik = traefik.open(NO_CONTEXT)
const readEnvoy = envoy.open(NO_CONTEXT)
const readPortkey = portkey.open(NO_CONTEXT)
/** How the lines of Envoy's default text format begin, which Istio puts into bodies. */
const ENVOY_LINE = /^\[\d{4}-\d\d-\d\dT/

/** What Traefik and Envoy write under the names of their own logs, `null` for everything else. */
function gatewayDraft(attributes: Fields, body: unknown): Decoded | null {
  if (attributes.DownstreamStatus !== undefined) return withDialect(readTraefik(attributes), traefik)
  if (attributes.response_flags !== undefined && attributes.start_time !== undefined) {
    return withDialect(readEnvoy(attributes), envoy)
  }
  return typeof body === 'string' && ENVOY_LINE.test(body) ? withDialect(readEnvoy(body), envoy) : null
}

const withDialect = (decoded: Decoded, { name }: Dialect): Decoded =>
  decoded.kind === 'draft' ? { ...decoded, dialect: name } : decoded

const ofGateway = (decoded: Decoded, resource: Fields): Decoded =>
  decoded.kind === 'draft' ? { ...decoded, gateway: decoded.gateway ?? gatewayOf(resource) } : decoded

/** The object of a body that is one, or JSON text of one. */
function objectIn(body: unknown): Fields {
  if (isFields(body)) return body
  if (typeof body !== 'string' || !body.startsWith('{') || body.length > BODY_CHARACTERS_MAX) return {}
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}

/** Seconds in the conventions; other units where the name has them. */
const latencyIn = (attributes: Fields) =>
  durationOf(attributes['http.server.request.duration'], 1000) ??
  durationOf(attributes['gen_ai.client.operation.duration'], 1000) ??
  durationOf(attributes.duration_ms, 1) ??
  durationOf(attributes['event.duration'], 1 / NANOS_PER_MS)
