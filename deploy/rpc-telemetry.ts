/** Spans of gRPC calls, where traces are sent. Names follow OpenTelemetry's conventions for RPC. */
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import type { TraceCall } from '../collector/principal.ts'

/** By their codes: https://grpc.io/docs/guides/status-codes/ */
const STATUSES = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
  ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
] as const
/** Those that are a server's failure, and not its caller's. */
const FAILURES = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'])

const HEALTH = '/grpc.health.v1.Health/Check'
/** What takes telemetry: of our own, which names no caller, there would be no end. */
const TELEMETRY = '/opentelemetry.proto.collector.'

/** Each span is a child of the caller's. */
export function createCallTracing(): TraceCall {
  const tracer = trace.getTracer('quotacast')
  return (path, metadata) => {
    if (path === HEALTH) return null
    const parent = propagation.extract(context.active(), metadata, {
      get: (carrier, name) => carrier.get(name),
      keys: () => [],
    })
    if (path?.startsWith(TELEMETRY) && trace.getSpanContext(parent) === undefined) return null
    const method = path?.slice(1) ?? '_OTHER'
    const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': method }
    const span = tracer.startSpan(path === null ? 'grpc' : method, { kind: SpanKind.SERVER, attributes }, parent)
    return code => {
      if (!span.isRecording()) return
      const status = STATUSES[code] ?? 'UNKNOWN'
      span.setAttribute('rpc.status_code', status)
      if (FAILURES.has(status)) span.setAttribute('error.type', status).setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    }
  }
}
