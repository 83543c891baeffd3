/** Spans of what gateways ask and send over gRPC, as a real receiver of OTLP gets them from the whole product. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { descriptor, openClient, type TestClient } from '../analyzer/limit/grpc/client.ts'
import { type Quotacast, startQuotacast } from './quotacast.ts'

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'
const EXPORT_MS = 50
const SPANS_MS = 20_000
const SERVER = 2
const ERROR = 2
const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'

interface Span {
  name: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  status: { code?: number }
  attributes: { key: string; value: Record<string, unknown> }[]
}
const spans: Span[] = []
const receiver = createServer(async (request, response) => {
  const body = JSON.parse((await request.toArray()).join(''))
  for (const { scopeSpans } of body.resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans)
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
})

let quotacast: Quotacast
let doors: TestClient
let collector: TestClient
beforeAll(async () => {
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`)
  vi.stubEnv('OTEL_EXPORTER_OTLP_PROTOCOL', 'http/json')
  vi.stubEnv('OTEL_METRICS_EXPORTER', 'none')
  vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', String(EXPORT_MS))
  const window = { kind: 'fixed', everySeconds: 3_600 }
  quotacast = await startQuotacast({ quotas: [{ name: 'q', per: ['tenant'], unit: 'requests', limit: 5, window }] })
  doors = openClient(quotacast.limiterGrpcPort)
  collector = openClient(quotacast.grpcPort)
})
afterAll(async () => {
  doors?.close()
  collector?.close()
  await quotacast?.stop()
  quotacast?.remove()
  receiver.close()
  vi.unstubAllEnvs()
})

/** Metadata of a caller who is in a trace that is sampled, or not. */
const headersOf = ({ token = quotacast.token, flags = '01' } = {}) => ({
  'x-quotacast-token': token,
  traceparent: `00-${TRACE_ID}-${CALLER}-${flags}`,
})
/** So many spans that are made meanwhile, with their attributes as an object; of none, those of the next second. */
async function spansOf(act: () => Promise<unknown>, count = 1) {
  spans.length = 0
  await act()
  if (count === 0) await sleep(20 * EXPORT_MS)
  else await vi.waitFor(() => expect(spans.length).toBeGreaterThanOrEqual(count), SPANS_MS)
  return spans.map(({ attributes, ...span }) => ({
    ...span,
    attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
  }))
}
const ask = { domain: 'edge', descriptors: [descriptor({ tenant: 'acme' })] }

test.each([
  ['envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit', 'shouldRateLimit', ask],
  ['kuadrant.service.ratelimit.v1.RateLimitService/CheckRateLimit', 'checkRateLimit', ask],
  ['envoy.service.auth.v3.Authorization/Check', 'check', {}],
] as const)('%s is a span below that of the gateway', async (method, name, message) => {
  const made = await spansOf(() => doors.call(name, message, { headers: headersOf() }))
  expect(made).toMatchObject([{ name: method, kind: SERVER, traceId: TRACE_ID, parentSpanId: CALLER, status: {} }])
  expect(made[0]?.attributes).toEqual({ 'rpc.system.name': 'grpc', 'rpc.method': method, 'rpc.status_code': 'OK' })
})

test('calls are measured by method and status, each made-up method as one', async () => {
  await spansOf(() => doors.raw('/a.B/MadeUp', Buffer.alloc(0)))
  const { body } = await quotacast.get('limiter', '/metrics')
  const name = 'quotacast_grpc_call_duration_seconds'
  const countOf = (method: string, code: string) =>
    body.match(
      new RegExp(`^${name}_count\\{rpc_method="${method}",rpc_status_code="${code}",[^}]*\\} (\\d+)$`, 'm'),
    )?.[1]
  expect(countOf('envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit', 'OK')).toBe('1')
  expect(countOf('_OTHER', 'UNIMPLEMENTED')).toBe('1')
  expect(body).toMatch(new RegExp(`^${name}_bucket\\{.*le="0.0005"\\}`, 'm'))
})

test('what a caller does wrong is no failure of the span, what we cannot do is', async () => {
  const method = 'envoy.service.auth.v3.Authorization/Check'
  const [stranger] = await spansOf(() => doors.call('check', {}, { headers: headersOf({ token: 'qc_stranger' }) }))
  expect(stranger?.attributes).toEqual({
    'rpc.system.name': 'grpc',
    'rpc.method': method,
    'rpc.status_code': 'UNAUTHENTICATED',
  })
  expect(stranger?.status.code ?? 0).toBe(0)
  const [unknown] = await spansOf(() => doors.raw('/a.B/Secret', Buffer.alloc(0), { headers: headersOf() }))
  expect(unknown).toMatchObject({ name: 'grpc', status: { code: ERROR } })
  expect(unknown?.attributes).toEqual({
    'rpc.system.name': 'grpc',
    'rpc.method': '_OTHER',
    'rpc.status_code': 'UNIMPLEMENTED',
    'error.type': 'UNIMPLEMENTED',
  })
})

test('a caller who samples nothing of its trace gets no span, nor does one who asks whether all is well', async () => {
  const made = await spansOf(async () => {
    expect((await doors.call('shouldRateLimit', ask, { headers: headersOf({ flags: '00' }) })).code).toBe(status.OK)
    expect((await doors.call('health', {}, { headers: headersOf() })).code).toBe(status.OK)
  }, 0)
  expect(made).toEqual([])
})

test('what the analyzer relays is in the trace that it came in', async () => {
  const made = await spansOf(() => quotacast.get('analyzer', '/v1/reservations?quota=q', headersOf()), 2)
  const [outer] = made.filter(({ parentSpanId }) => parentSpanId === CALLER)
  const [inner] = made.filter(({ parentSpanId }) => parentSpanId !== CALLER)
  expect(made.map(({ name }) => name)).toEqual(['GET /v1/reservations', 'GET /v1/reservations'])
  expect(inner).toMatchObject({ traceId: TRACE_ID, parentSpanId: outer?.spanId })
})

test('taking telemetry is a span of a caller who is in a trace, and otherwise none: our own would have no end', async () => {
  const send = (headers: Record<string, string>) => collector.raw(TRACES, Buffer.alloc(0), { headers })
  const url = '/v1/traces'
  const token = { 'x-quotacast-token': quotacast.token }
  expect(await spansOf(() => send(token), 0)).toEqual([])
  expect(await spansOf(() => quotacast.post('collector', url, {}), 0)).toEqual([])

  const made = await spansOf(() => send(headersOf()))
  expect(made).toMatchObject([{ name: TRACES.slice(1), kind: SERVER, traceId: TRACE_ID, parentSpanId: CALLER }])
  expect(made[0]?.attributes).toMatchObject({ 'rpc.status_code': 'OK' })
  const [refused] = await spansOf(() => send(headersOf({ token: 'qc_stranger' })))
  expect(refused?.attributes).toMatchObject({ 'rpc.status_code': 'UNAUTHENTICATED' })
  expect(await spansOf(() => quotacast.post('collector', url, {}, headersOf()))).toMatchObject([
    { name: 'POST /v1/traces', traceId: TRACE_ID, parentSpanId: CALLER },
  ])
})
