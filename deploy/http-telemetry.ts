/** What the HTTP server measures of itself: duration by route and status, and a span per request where traces are sent. */
import { context, metrics, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** From half a millisecond, which a check takes, to the longest query. */
export const DURATION_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Records one answer; `route` is `unknown` where there is none. */
export type RecordRequest = (method: string, route: string, status: number, elapsedMs: number) => void

/** Records every answer of the framework, and answers how others are. Names follow OpenTelemetry's conventions for HTTP servers. */
export function measureRequests(server: FastifyInstance): RecordRequest {
  const duration = metrics.getMeter('quotacast').createHistogram('quotacast_http_request_duration_seconds', {
    description: 'Time from the request line to the last byte of the answer, by method, route and status.',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATION_BUCKETS_SECONDS },
  })
  // One object for each route and status: there are few, and the request path must not allocate them anew.
  const attributes = new Map<string, Record<string, string | number>>()
  const record: RecordRequest = (method, route, status, elapsedMs) => {
    const key = `${method} ${route} ${status}`
    let found = attributes.get(key)
    if (found === undefined) {
      found = { 'http.request.method': method, 'http.route': route, 'http.response.status_code': status }
      attributes.set(key, found)
    }
    duration.record(elapsedMs / 1000, found)
  }
  server.addHook('onResponse', (request, reply, done) => {
    record(request.method, request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime)
    done()
  })
  return record
}

/** Routes that are asked all day long whether all is well: no span is made of that. */
const HEALTH = new Set<string | undefined>(['/healthz', '/readyz', '/metrics'])
/** Routes that take telemetry: of our own, which names no caller, there would be no end. */
const TELEMETRY = new Set<string | undefined>(['/v1/traces', '/v1/metrics', '/v1/logs'])

/** Makes a span of every other request, as a child of the caller's; handlers run inside it. */
export function traceRequests(server: FastifyInstance): void {
  const tracer = trace.getTracer('quotacast')
  const spans = new WeakMap<FastifyRequest, Span>()
  server.addHook('onRequest', (request, _reply, done) => {
    const { url } = request.routeOptions
    if (HEALTH.has(url)) return done()
    const parent = propagation.extract(context.active(), request.headers)
    if (TELEMETRY.has(url) && trace.getSpanContext(parent) === undefined) return done()
    const route = url ?? 'unknown'
    // The route, never the path: a token may be a part of the path.
    const attributes = { 'http.request.method': request.method, 'http.route': route }
    const span = tracer.startSpan(`${request.method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent)
    spans.set(request, span)
    context.with(trace.setSpan(parent, span), done)
  })
  server.addHook('onResponse', (request, reply, done) => {
    const span = spans.get(request)
    span?.setAttribute('http.response.status_code', reply.statusCode)
    if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR })
    span?.end()
    done()
  })
}
