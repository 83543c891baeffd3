/**
 * OpenTelemetry documents (OTLP's JSON encoding, of which protobuf becomes the same) to items: one for each log record and
 * for each span, attributes as plain objects. Spans of one call that came together are joined: a gateway's SERVER span is the
 * call, its CLIENT children say what the upstream took and sent, and AI attributes often stand on children only.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
import { type Fields, fieldsAt, isFields, textOf } from './fields.ts'
import { type GenAi, genAiOf, hasUsage, isAgent, summedUsage } from './gen-ai.ts'
import { isPartOfSpan } from './gen-ai-events.ts'
import { attributesOf, otlpValue } from './otlp-attributes.ts'
import { isPortkeyGuardrail, isPortkeyRow } from './portkey.ts'

/** A span or a log record that may be a call. Plain data, so that a rejection can keep it. */
interface OtlpItem {
  otlp: 'span' | 'log'
  /** Of a span: begin and end in Unix nanoseconds. Of a log record: when it was written. */
  startTimeUnixNano: unknown
  endTimeUnixNano: unknown
  timeUnixNano: unknown
  traceId: string | null
  spanId: string | null
  /** Text or an object, of a log record. */
  body: unknown
  attributes: Fields
  resource: Fields
  /** OTLP's code 2 is an error. */
  status: { code: unknown; message: string | null }
  /** Type and message of the last exception that the span recorded. */
  exception: { type: string | null; message: string | null } | null
  upstream: Upstream | null
  /** Attributes of the last of the topmost AI spans below the call, with the usage of all of them; of the first, if none has any. */
  ai: Fields | null
  /** Attributes of the agents above that made it, the nearest first. */
  agents: Fields
}

/** What the CLIENT spans below a call say. */
interface Upstream {
  startTimeUnixNano: string
  endTimeUnixNano: string
  /** Of the last one. */
  attributes: Fields
}

/** A span or a log record that belongs to a call, or to none that anybody counts. */
const NO_CALL = { otlp: 'none' } as const

const TEXT_CHARACTERS_MAX = 512
/** Bounds of the walks through one trace. */
const DEPTH_MAX = 64
const DESCENDANTS_MAX = 1000

const SERVER = 'SERVER'
const CLIENT = 'CLIENT'
/** JSON has enums as numbers; some write their names all the same. */
const KINDS: Readonly<Record<string, string>> = {
  2: SERVER,
  3: CLIENT,
  SPAN_KIND_SERVER: SERVER,
  SPAN_KIND_CLIENT: CLIENT,
}

interface Span {
  item: OtlpItem
  /** Also `null` of an agent with AI calls below: those count, and may have come before it. */
  genAi: GenAi | null
  kind: string | null
  service: string | null
  parent: Span | null
  children: Span[]
  parentKey: string | null
}

/** The items of a document; a document that is none of OTLP's is an item itself. */
export function otlpItemsOf(document: unknown): readonly unknown[] {
  if (Array.isArray(document)) return document.flatMap(item => (Array.isArray(item) ? [item] : otlpItemsOf(item)))
  if (!isFields(document)) return [document]
  const { resourceLogs, resourceSpans, resourceMetrics } = document
  if (resourceLogs === undefined && resourceSpans === undefined) return resourceMetrics === undefined ? [document] : []
  return [...logItemsOf(resourceLogs), ...spanItemsOf(resourceSpans)]
}

const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.filter(isFields) : [])

function logItemsOf(resourceLogs: unknown): unknown[] {
  const items: unknown[] = []
  for (const group of listOf(resourceLogs)) {
    const resource = attributesOf(fieldsAt(group, 'resource').attributes)
    for (const scope of listOf(group.scopeLogs)) {
      for (const record of listOf(scope.logRecords)) {
        const item = itemOf('log', record, resource)
        item.timeUnixNano = instantIn(record.timeUnixNano) ?? instantIn(record.observedTimeUnixNano)
        item.body = otlpValue(record.body)
        items.push(isPartOfSpan(record, item.attributes) ? NO_CALL : item)
      }
    }
  }
  return items
}

/** 0 is an instant that nobody knows. */
const instantIn = (value: unknown) =>
  value === undefined || value === 0 || (typeof value === 'string' && /^0*$/.test(value)) ? null : value

function spanItemsOf(resourceSpans: unknown): readonly unknown[] {
  const spans = joinedSpans(resourceSpans)
  return spans.map(span => {
    if (!isCall(span)) return NO_CALL
    const below = descendantsOf(span)
    // A client's own span of an AI call is also that of its upstream.
    span.item.upstream = upstreamOf(span.kind === CLIENT && span.genAi !== null ? [span, ...below] : below)
    span.item.ai = aiBelow(span)
    span.item.agents = agentsAbove(span)
    return span.item
  })
}

function joinedSpans(resourceSpans: unknown): Span[] {
  const spans: Span[] = []
  const byKey = new Map<string, Span>()
  for (const group of listOf(resourceSpans)) {
    const resource = attributesOf(fieldsAt(group, 'resource').attributes)
    const service = textOf(resource['service.name'])
    for (const scope of listOf(group.scopeSpans)) {
      for (const raw of listOf(scope.spans)) {
        const item = spanItem(raw, resource)
        const kind = KINDS[textOf(raw.kind) ?? ''] ?? null
        const genAi = genAiOf(item.attributes)
        const span: Span = { item, genAi, kind, service, parent: null, children: [], parentKey: parentKeyOf(raw) }
        spans.push(span)
        const key = keyOf(raw.traceId, raw.spanId)
        if (key !== null) byKey.set(key, span)
      }
    }
  }
  for (const span of spans) {
    const parent = span.parentKey === null ? undefined : byKey.get(span.parentKey)
    if (parent === undefined || parent === span) continue
    span.parent = parent
    parent.children.push(span)
  }
  for (const span of spans) {
    const isUsed = ({ genAi }: Span) => genAi !== null && hasUsage(genAi)
    if (isAgent(span.item.attributes) && descendantsOf(span).some(isUsed)) span.genAi = null
  }
  return spans
}

/** agentgateway links its inner spans to what should be their parent. */
function parentKeyOf(raw: Fields): string | null {
  const parentId = textOf(raw.parentSpanId)
  const [link] = parentId === null ? listOf(raw.links) : []
  return link === undefined ? keyOf(raw.traceId, parentId) : keyOf(link.traceId, link.spanId)
}

/** `null` for a span without an id, which no other one names. */
function keyOf(traceId: unknown, spanId: unknown): string | null {
  const id = textOf(spanId)
  return id === null ? null : `${textOf(traceId)} ${id}`
}

function spanItem(raw: Fields, resource: Fields): OtlpItem {
  const item = itemOf('span', raw, resource)
  item.startTimeUnixNano = instantIn(raw.startTimeUnixNano)
  item.endTimeUnixNano = instantIn(raw.endTimeUnixNano)
  const status = fieldsAt(raw, 'status')
  item.status = { code: status.code ?? null, message: cut(status.message) }
  item.exception = exceptionOf(raw.events)
  return item
}

const itemOf = (otlp: OtlpItem['otlp'], raw: Fields, resource: Fields): OtlpItem => ({
  otlp,
  startTimeUnixNano: null,
  endTimeUnixNano: null,
  timeUnixNano: null,
  traceId: textOf(raw.traceId),
  spanId: textOf(raw.spanId),
  body: null,
  attributes: attributesOf(raw.attributes),
  resource,
  status: { code: null, message: null },
  exception: null,
  upstream: null,
  ai: null,
  agents: {},
})

function exceptionOf(events: unknown): OtlpItem['exception'] {
  const event = listOf(events).findLast(({ name }) => name === 'exception')
  if (event === undefined) return null
  const attributes = attributesOf(event.attributes)
  return { type: cut(attributes['exception.type']), message: cut(attributes['exception.message']) }
}

const cut = (value: unknown) => textOf(value)?.slice(0, TEXT_CHARACTERS_MAX) ?? null

/**
 * A SERVER span that no other one of its service is above; without any, the topmost span of an AI call, and Envoy's CLIENT
 * spans, which are all that Istio's gateways and sidecars write of calls that leave the mesh.
 */
function isCall(span: Span): boolean {
  const { kind, service, item, genAi } = span
  // Whatever the parent is that its caller named.
  if (isPortkeyRow(item.attributes)) return true
  if (isPortkeyGuardrail(item.attributes)) return false
  if (kind === SERVER) return !hasAbove(span, above => above.kind === SERVER && above.service === service)
  const isEnvoy = kind === CLIENT && item.attributes.component === 'proxy'
  if (!isEnvoy && genAi === null) return false
  return !hasAbove(span, above => above.kind === SERVER || isEnvoy || above.genAi !== null)
}

function hasAbove(span: Span, test: (above: Span) => boolean): boolean {
  let above = span.parent
  for (let depth = 0; above !== null && depth < DEPTH_MAX; depth++) {
    if (test(above)) return true
    above = above.parent
  }
  return false
}

function agentsAbove({ parent, service }: Span): Fields {
  let attributes: Fields = {}
  let above = parent
  for (let depth = 0; above?.service === service && depth < DEPTH_MAX; depth++) {
    if (isAgent(above.item.attributes)) attributes = { ...above.item.attributes, ...attributes }
    above = above.parent
  }
  return attributes
}

/** A call of a further service, which the one above it reached. */
const isOfAnother = (below: Span, span: Span) => below.kind === SERVER && below.service !== span.service

/** Spans below a call, those below the SERVER spans of further services left out. */
function descendantsOf(span: Span): Span[] {
  const below: Span[] = []
  const open = [...span.children]
  for (let next = open.pop(); next !== undefined && below.length < DESCENDANTS_MAX; next = open.pop()) {
    if (isOfAnother(next, span)) continue
    below.push(next)
    for (const child of next.children) open.push(child)
  }
  return below
}

const HTTP_NAMES = [
  ...['http.request.method', 'http.method', 'http.response.status_code', 'http.status_code'],
  ...['rpc.system', 'rpc.system.name'],
]

/** From the begin of the first CLIENT span to the end of the last: retries follow each other, others run side by side. */
function upstreamOf(below: readonly Span[]): Upstream | null {
  let upstream: Upstream | null = null
  for (const { kind, item, genAi } of below) {
    // Not those to a database or a queue.
    if (kind !== CLIENT || (genAi === null && !isHttp(item.attributes))) continue
    const startTimeUnixNano = textOf(item.startTimeUnixNano) ?? ''
    const endTimeUnixNano = textOf(item.endTimeUnixNano) ?? ''
    if (!NANOS.test(startTimeUnixNano) || !NANOS.test(endTimeUnixNano)) continue
    const next: Upstream = { startTimeUnixNano, endTimeUnixNano, attributes: item.attributes }
    upstream = upstream === null ? next : spanning(upstream, next)
  }
  return upstream
}

const NANOS = /^\d{1,20}$/

function spanning(one: Upstream, other: Upstream): Upstream {
  const first = isBefore(one.startTimeUnixNano, other.startTimeUnixNano) ? one : other
  const last = isBefore(one.endTimeUnixNano, other.endTimeUnixNano) ? other : one
  return { ...last, startTimeUnixNano: first.startTimeUnixNano }
}

const isBefore = (one: string, other: string) => BigInt(one) < BigInt(other)

const isHttp = (attributes: Fields) => HTTP_NAMES.some(name => attributes[name] !== undefined)

/** There may be several topmost AI spans below a call: fallbacks, or an agent. */
function aiBelow(span: Span): Fields | null {
  const parts: GenAi[] = []
  let attributes: Fields = {}
  /** A call that failed used nothing. */
  let unused: Fields | null = null
  const visit = (at: Span, depth: number) => {
    for (const child of at.children) {
      const { genAi } = child
      if (genAi !== null && parts.length < DESCENDANTS_MAX && hasUsage(genAi)) {
        parts.push(genAi)
        attributes = child.item.attributes
      } else if (depth < DEPTH_MAX && !isOfAnother(child, span)) {
        if (genAi !== null) unused ??= child.item.attributes
        visit(child, depth + 1)
      }
    }
  }
  visit(span, 0)
  return parts.length < 2 ? (parts.length === 0 ? unused : attributes) : { ...attributes, ...summedUsage(parts) }
}
