import { execFile } from 'node:child_process'
import { createServer as createProxy } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { openReceiver, type Receiver } from './receiver.ts'

const SENDER = new URL('otel-sender.ts', import.meta.url).pathname

let opened: Receiver | null = null
afterEach(async () => {
  await opened?.close()
  opened = null
})

async function open(options: Parameters<typeof openReceiver>[0] = {}) {
  opened = await openReceiver({ sources: { edge: { dialect: 'nginx', tenant: 'own' } }, ...options })
  return opened
}

/** OpenTelemetry's own SDK sends its three calls. */
const sendBySdk = (endpoint: string, protocol: string) =>
  promisify(execFile)(process.execPath, [SENDER], {
    env: {
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_LOGS_EXPORTER: 'otlp',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_SERVICE_NAME: 'edge-7',
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20all',
    },
  })

const listen = async ({ server }: Receiver) => server.listen({ host: '127.0.0.1', port: 0 })

const SDK_CALLS = [
  { route: '/v1/chat/{id}', status: 200, outcome: 'ok', model: 'gpt-5', inputTokens: 7 },
  { route: '/v1/chat/{id}', status: 429, outcome: 'exhausted', model: 'gpt-5', provider: 'openai' },
  { route: '/v1/chat/{id}', status: 500, outcome: 'server_error', model: null },
].map(fields => ({ ...fields, gateway: 'edge-7', consumer: 'acme', requestBytes: 2 ** 40, dialect: 'otlp' }))

const sorted = async ({ testLog }: Receiver) =>
  (await testLog.calls()).toSorted((one, other) => (one.status ?? 0) - (other.status ?? 0))

describe('an SDK of OpenTelemetry', () => {
  test.each(['http/protobuf', 'http/json'])('sends calls by %s', async protocol => {
    const receiver = await open()
    await sendBySdk(await listen(receiver), protocol)
    expect(await sorted(receiver)).toMatchObject(SDK_CALLS)
    expect(await receiver.testLog.rejections()).toEqual([])
    expect(receiver.receiving.intake.receivedFrom('otlp')).toMatchObject({ accepted: 3, skipped: 5 })
  })

  test('sends calls by grpc', async () => {
    const receiver = await open()
    await sendBySdk(`http://127.0.0.1:${receiver.grpcPort}`, 'grpc')
    expect(await sorted(receiver)).toMatchObject(SDK_CALLS)
  })

  test('has a source as its endpoint', async () => {
    const receiver = await open()
    await sendBySdk(`${await listen(receiver)}/v1/sources/edge`, 'http/protobuf')
    expect(await sorted(receiver)).toMatchObject(SDK_CALLS.map(call => ({ ...call, tenant: 'own' })))
  })

  test('doubles no call when an answer was lost', async () => {
    const receiver = await open()
    const url = await listen(receiver)
    const lost = new Set<string>()
    const proxy = createProxy(async (request, response) => {
      const body = Buffer.concat(await Array.fromAsync(request))
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
      for (const name of ['host', 'connection', 'content-length', 'transfer-encoding']) delete headers[name]
      const answer = await fetch(`${url}${request.url}`, { method: 'POST', headers, body })
      const isLost = !lost.has(request.url ?? '')
      lost.add(request.url ?? '')
      response.writeHead(isLost ? 503 : answer.status, { 'retry-after': '1' })
      response.end(Buffer.from(await answer.arrayBuffer()))
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    await sendBySdk(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, 'http/protobuf')
    proxy.close()
    const calls = await receiver.testLog.calls()
    expect(calls).toHaveLength(6)
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(3)
  })
})

const span = (attributes: Record<string, unknown>) => ({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
              spanId: '00f067aa0ba902b7',
              kind: 2,
              startTimeUnixNano: '1784620800123000000',
              endTimeUnixNano: '1784620800870000000',
              attributes: Object.entries(attributes).map(([key, value]) => ({ key, value })),
            },
          ],
        },
      ],
    },
  ],
})
const GOOD = { 'http.request.method': { stringValue: 'GET' }, 'http.response.status_code': { intValue: '200' } }
const BAD = { ...GOOD, 'http.response.status_code': { intValue: '4711' } }

describe('answers', () => {
  test('are those of OTLP, in the encoding of the request', async () => {
    const { post } = await open()
    expect(await post('/v1/traces', span(GOOD))).toMatchObject({ status: 200, body: {} })
    expect(await post('/v1/traces', span(BAD))).toMatchObject({
      status: 200,
      body: { partialSuccess: { rejectedSpans: '1', errorMessage: expect.stringContaining('status') } },
    })
    const protobuf = { headers: { 'content-type': 'application/x-protobuf' } }
    const empty = await post('/v1/logs', Buffer.alloc(0), protobuf)
    expect(empty).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-protobuf' } })
    expect(empty.bytes).toHaveLength(0)
  })

  test('to metrics are polite', async () => {
    const { post } = await open()
    expect(await post('/v1/metrics', {})).toMatchObject({
      status: 200,
      body: { partialSuccess: { errorMessage: expect.stringContaining('Metrics are not kept') } },
    })
  })

  test('to what cannot be read at all are failures that nobody repeats', async () => {
    const { post, testLog } = await open()
    const protobuf = { 'content-type': 'application/x-protobuf' }
    const garbage = await post('/v1/traces', Buffer.from('hello, world'), { headers: protobuf })
    expect(garbage).toMatchObject({ status: 400, headers: { 'content-type': 'application/x-protobuf' } })
    expect(garbage.bytes.toString('latin1')).toContain('This is not the message')
    expect(await post('/v1/traces', '{"resourceSpans":')).toMatchObject({ status: 400, body: { code: 3 } })
    expect(await post('/v1/traces', 'x', { headers: { 'content-type': 'text/plain' } })).toMatchObject({ status: 415 })
    const unknown = { headers: { 'x-quotacast-source': 'other' } }
    expect(await post('/v1/logs', {}, unknown)).toMatchObject({ status: 404, body: { code: 5 } })
    expect(await post('/v1/logs', {}, { token: 'reader' })).toMatchObject({ status: 403, body: { code: 7 } })
    expect(await testLog.calls()).toEqual([])
  })

  test('under pressure say when to come again', async () => {
    const { post } = await open({ log: { unavailable: () => 'the log is full' } })
    const answer = await post('/v1/traces', span(GOOD))
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '2' }, body: { code: 14 } })
  })

  test('are the same whatever the name of the source is', async () => {
    const { post, testLog } = await open()
    const headers = { 'x-quotacast-source': 'edge', 'content-encoding': 'gzip' }
    expect(await post('/v1/traces', gzipSync(JSON.stringify(span(GOOD))), { headers })).toMatchObject({ status: 200 })
    expect(await testLog.calls()).toMatchObject([{ tenant: 'own', gateway: 'edge' }])
  })
})

test('lines that a shipper puts into bodies are read in the dialect of the source', async () => {
  const { post, testLog } = await open()
  const line = '203.0.113.9 - acme [21/Jul/2026:10:00:00 +0200] "GET /v1/a?x=1 HTTP/1.1" 429 39 "-" "curl/7.88.1"'
  const record = { timeUnixNano: '1784620800123000000', body: { stringValue: line } }
  const spoken = { body: { stringValue: 'hello' } }
  const document = { resourceLogs: [{ scopeLogs: [{ logRecords: [record, spoken] }] }] }
  const { status, body } = await post('/v1/sources/edge/v1/logs', document)
  expect({ status, body }).toMatchObject({ status: 200, body: { partialSuccess: { rejectedLogRecords: '1' } } })
  expect(await testLog.calls()).toMatchObject([{ route: '/v1/a', status: 429, consumer: 'acme', dialect: 'nginx' }])
})
