/**
 * What the gRPC doors measure of their calls: duration by method and status, and a span per call where traces are sent.
 * Names follow OpenTelemetry's conventions for RPC.
 */
import { context, metrics, propagation, SpanKind, SpanStatusCode, type TextMapGetter, trace } from '@opentelemetry/api'
import { GRPC_STATUSES } from '../collector/normalize/grpc-statuses.ts'
import type { BeginCall, MeasuredCall } from '../collector/principal.ts'
import { DURATION_BUCKETS_SECONDS } from './http-telemetry.ts'

/** Those that are a server's failure, and not its caller's. */
const FAILURES = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'])

const HEALTH = '/grpc.health.v1.Health/Check'
/** What takes telemetry: of our own, which names no caller, there would be no end. */
const TELEMETRY = '/opentelemetry.proto.collector.'

const FROM_METADATA: TextMapGetter<Parameters<BeginCall>[1]> = {
  get: (metadata, name) => metadata.get(name),
  keys: () => [],
}

const statusOf = (code: number) => GRPC_STATUSES[code] ?? 'UNKNOWN'
/** Of any path that a caller made up there is one. */
const methodOf = (path: string | null) => path?.slice(1) ?? '_OTHER'

/** Measures every call, and makes its span where traces are sent. */
export function measureCalls(isTracing: boolean): BeginCall {
  const duration = metrics.getMeter('quotacast').createHistogram('quotacast_grpc_call_duration_seconds', {
    description: 'Time from the head of a call to its status, by method and status.',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATION_BUCKETS_SECONDS },
  })
  // One object for each method and status, as in http-telemetry.ts.
  const attributes = new Map<string | null, Record<string, string>[]>()
  const attributesOf = (path: string | null, code: number) => {
    const known = attributes.get(path) ?? []
    attributes.set(path, known)
    known[code] ??= { 'rpc.method': methodOf(path), 'rpc.status_code': statusOf(code) }
    return known[code]
  }
  const beginSpan = isTracing ? traceCalls() : () => UNTRACED
  return (path, metadata) => {
    const beganMs = performance.now()
    const span = beginSpan(path, metadata)
    let isOver = false
    return {
      end(code) {
        if (isOver) return
        isOver = true
        duration.record((performance.now() - beganMs) / 1000, attributesOf(path, code))
        span.end(code)
      },
      within: span.within,
    }
  }
}

const UNTRACED: MeasuredCall = { end: () => undefined, within: act => act() }

/** Each span is a child of the caller's. */
function traceCalls(): BeginCall {
  const tracer = trace.getTracer('quotacast')
  return (path, metadata) => {
    if (path === HEALTH) return UNTRACED
    const parent = propagation.extract(context.active(), metadata, FROM_METADATA)
    if (path?.startsWith(TELEMETRY) && trace.getSpanContext(parent) === undefined) return UNTRACED
    const method = methodOf(path)
    const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': method }
    const span = tracer.startSpan(path === null ? 'grpc' : method, { kind: SpanKind.SERVER, attributes }, parent)
    const ofCall = trace.setSpan(parent, span)
    return {
      end(code) {
        const status = statusOf(code)
        span.setAttribute('rpc.status_code', status)
        if (FAILURES.has(status)) span.setAttribute('error.type', status).setStatus({ code: SpanStatusCode.ERROR })
        span.end()
      },
      within: act => context.with(ofCall, act),
    }
  }
}
