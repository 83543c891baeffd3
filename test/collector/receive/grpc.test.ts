import { type ClientHttp2Session, connect } from 'node:http2'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { LogError } from '../../../collector/log/call-log.ts'
import { SENDING_MS_MAX } from '../../../collector/receive/arriving.ts'
import { CALLS_MAX } from '../../../collector/receive/grpc-door.ts'
import { freePorts } from '../../free-ports.ts'
import { openReceiver, type Receiver, type ReceiverOptions } from './receiver.ts'

const ALS = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs'
const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const streamed = protobuf
  .loadSync(new URL('envoy.proto', import.meta.url).pathname)
  .lookupType('envoy.StreamAccessLogsMessage')

let opened: { receiver: Receiver; client: Client } | null = null
afterEach(async () => {
  opened?.client.close()
  await opened?.receiver.close()
  opened = null
})

async function open(options: ReceiverOptions = {}) {
  const receiver = await openReceiver(options)
  const client = new Client(`127.0.0.1:${receiver.grpcPort}`, credentials.createInsecure())
  opened = { receiver, client }
  return { ...receiver, client }
}

function metadataOf(values: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(values)) metadata.set(name, value)
  return metadata
}
const BEARER = { authorization: 'Bearer all' }
const asItIs = (bytes: Buffer) => bytes

/** The status of a call, and its answer. */
const unary = (client: Client, path: string, message: Buffer, headers: Record<string, string> = BEARER) =>
  new Promise<{ code: number; details: string; answer: Buffer | undefined }>(resolve => {
    const metadata = metadataOf(headers)
    client.makeUnaryRequest(path, asItIs, asItIs, message, metadata, (error: ServiceError | null, answer?: Buffer) =>
      resolve({ code: error?.code ?? status.OK, details: error?.details ?? '', answer }),
    )
  })

/** A stream as Envoy has it, and the status that it ends with. */
function stream(client: Client, headers: Record<string, string> = { 'x-quotacast-token': 'all' }) {
  const { promise: ended, resolve } = Promise.withResolvers<{ code: number; details: string }>()
  const call = client.makeClientStreamRequest(ALS, asItIs, asItIs, metadataOf(headers), (error: ServiceError | null) =>
    resolve({ code: error?.code ?? status.OK, details: error?.details ?? '' }),
  )
  call.on('error', () => undefined)
  const send = (message: object) => call.write(Buffer.from(streamed.encode(streamed.fromObject(message)).finish()))
  return { send, ended, end: () => call.end(), call }
}

const entry = (number: number) => ({
  commonProperties: {
    downstreamRemoteAddress: { socketAddress: { address: '2001:db8::1', portValue: 52_114 } },
    startTime: { seconds: 1_784_620_800, nanos: 123_000_000 },
    timeToFirstUpstreamTxByte: { nanos: 2_000_000 },
    timeToLastUpstreamRxByte: { nanos: 733_000_000 },
    upstreamCluster: 'openai',
    metadata: {
      filterMetadata: {
        'envoy.filters.http.ext_authz': { fields: { consumer: { stringValue: 'acme' } } },
        'io.envoy.ai_gateway': { fields: { llm_input_token: { numberValue: 210 } } },
      },
    },
    routeName: 'chat',
    duration: { nanos: 747_000_000 },
    streamId: `stream-${number}`,
    downstreamWireBytesSent: 2110,
    downstreamWireBytesReceived: '5000000000',
  },
  request: { requestMethod: 3, authority: 'gw.example', path: '/v1/chat?key=FAKE', requestId: `r-${number}` },
  response: {
    responseCode: { value: 200 },
    responseHeaders: { 'x-ratelimit-remaining-tokens': '149000', __proto__: 'x' },
    responseCodeDetails: 'via_upstream',
  },
})
const identifier = { node: { id: 'envoy-1', cluster: 'edge' }, logName: 'access' }
const logs = (...entries: object[]) => ({ httpLogs: { logEntry: entries } })

describe("Envoy's access log service", () => {
  test('streams calls, of which every field arrives', async () => {
    const { client, testLog } = await open()
    const { send, end, ended } = stream(client)
    send({ identifier, ...logs(entry(1), entry(2)) })
    send(logs(entry(3)))
    end()
    expect(await ended).toMatchObject({ code: status.OK })
    const calls = await testLog.calls()
    expect(calls.map(({ requestId }) => requestId)).toEqual(['r-1', 'r-2', 'r-3'])
    expect(calls[0]).toMatchObject({
      ...{ startedAtMs: 1_784_620_800_123, latencyMs: 747, upstreamLatencyMs: 731, status: 200, method: 'POST' },
      ...{ host: 'gw.example', route: '/v1/chat', service: 'openai', consumer: 'acme', clientIp: '2001:db8::1' },
      ...{ requestBytes: 5_000_000_000, responseBytes: 2110, inputTokens: 210, gateway: 'envoy', dialect: 'envoy' },
      upstreamLimits: { units: { total_tokens: { remaining: 149_000 } } },
    })
  })

  const openAway = async (limits: ReceiverOptions['limits'] = {}) => {
    const away = { isAway: true }
    const { client, testLog, receiving } = await open({
      limits,
      log: {
        append: (topic, entries) =>
          away.isAway ? Promise.reject(new LogError('LOG_UNAVAILABLE', 'away')) : testLog.log.append(topic, entries),
      },
    })
    return { client, testLog, receiving, away }
  }

  test('is heard while the stream is open, and waits while the log is away', async () => {
    const { client, testLog, away } = await openAway()
    const { send, end, ended } = stream(client)
    send({ identifier, ...logs(entry(1)) })
    send(logs(entry(2)))
    await sleep(50)
    expect(await testLog.calls()).toEqual([])
    away.isAway = false
    await expect.poll(async () => (await testLog.calls()).length).toBe(2)
    end()
    expect(await ended).toMatchObject({ code: status.OK })
  })

  test.each([
    ['the log', {}],
    ['room in memory', { inFlightBytesMax: 1024 }],
  ])('that goes away while its messages wait for %s loses none that had come', async (_what, limits) => {
    const { client, testLog, away } = await openAway(limits)
    const { send, call, ended } = stream(client)
    const numbers = Array.from({ length: 'inFlightBytesMax' in limits ? 3 : 10 }, (_, number) => number)
    for (const number of numbers) send({ identifier, ...logs(entry(number)) })
    await sleep(200)
    call.cancel()
    expect(await ended).toMatchObject({ code: status.CANCELLED })
    away.isAway = false
    const requests = numbers.map(number => `r-${number}`)
    await expect.poll(async () => (await testLog.calls()).map(({ requestId }) => requestId)).toEqual(requests)
  })

  test('that goes away again and again leaves no more behind than there may be at once', async () => {
    const { client, away } = await openAway()
    const comeAndGo = async () => {
      const streams = Array.from({ length: 100 }, () => stream(client))
      for (const { send } of streams) send({ identifier, ...logs(entry(1)) })
      await sleep(100)
      for (const { call } of streams) call.cancel()
      return (await unary(client, METRICS, EMPTY)).details
    }
    await expect.poll(comeAndGo).toBe('too many calls are under way')
    away.isAway = false
    await expect.poll(async () => (await unary(client, METRICS, EMPTY)).code).toBe(status.OK)
  })

  test('waits for room in memory, and gets there', async () => {
    const { client, testLog } = await open({ limits: { inFlightBytesMax: 1024 } })
    const streams = Array.from({ length: 4 }, () => stream(client))
    for (let number = 0; number < 40; number++) streams[number % 4]?.send(logs(entry(number)))
    for (const { end } of streams) end()
    for (const { ended } of streams) expect(await ended).toMatchObject({ code: status.OK })
    expect(new Set((await testLog.calls()).map(({ callId }) => callId)).size).toBe(40)
  })

  test('that sends nonsense has that rejected, and nothing else', async () => {
    const { client, testLog } = await open()
    const { send, call, end, ended } = stream(client)
    send({ identifier, ...logs(entry(1)) })
    call.write(Buffer.from('hello, world'))
    send(logs(entry(2)))
    end()
    expect(await ended).toMatchObject({ code: status.OK })
    expect(await testLog.calls()).toMatchObject([{ gateway: 'envoy' }, { gateway: 'envoy' }])
    expect(await testLog.rejections()).toMatchObject([{ reason: 'unreadable', source: 'envoy', input: '' }])
  })
})

describe('who calls', () => {
  test('is heard no longer than the token holds, also on a stream', async () => {
    let isValid = true
    const { client, testLog } = await open({ isValid: () => isValid })
    const { send, ended } = stream(client)
    send({ identifier, ...logs(entry(1)) })
    await expect.poll(async () => (await testLog.calls()).length).toBe(1)
    isValid = false
    send(logs(entry(2)))
    expect(await ended).toMatchObject({ code: status.UNAUTHENTICATED })
    expect(await testLog.calls()).toHaveLength(1)
  })

  test('needs a token of the scope, and a source that there is', async () => {
    const { client } = await open()
    const codeWith = async (headers: Record<string, string>) => (await unary(client, TRACES, EMPTY, headers)).code
    expect(await codeWith({})).toBe(status.UNAUTHENTICATED)
    expect(await codeWith({ 'x-quotacast-token': 'nobody' })).toBe(status.UNAUTHENTICATED)
    expect(await codeWith({ authorization: 'Bearer reader' })).toBe(status.PERMISSION_DENIED)
    expect(await codeWith({ ...BEARER, 'x-quotacast-source': 'kong' })).toBe(status.OK)
    const unknown = await unary(client, TRACES, EMPTY, { ...BEARER, 'x-quotacast-source': 'other' })
    expect(unknown).toMatchObject({ code: status.NOT_FOUND, details: expect.stringContaining('kong') })
    expect(await stream(client, {}).ended).toMatchObject({ code: status.UNAUTHENTICATED })
  })

  test('is not heard while the log is away', async () => {
    const { client } = await open({ log: { unavailable: () => 'the log is full' } })
    expect(await unary(client, TRACES, EMPTY)).toMatchObject({ code: status.UNAVAILABLE, details: 'the log is full' })
  })
})

const EMPTY = Buffer.alloc(0)
const MiB = 2 ** 20
const KiB = 2 ** 10

describe('bounds', () => {
  test('of messages, sent and decompressed', async () => {
    const { client, grpcPort } = await open()
    expect(await unary(client, TRACES, Buffer.alloc(4 * MiB + 1))).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
    const gzip = { 'grpc.default_compression_algorithm': 2 }
    const bomber = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure(), gzip)
    const bomb = await unary(bomber, TRACES, Buffer.alloc(100 * MiB))
    expect(bomb).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: expect.stringContaining('decompresses') })
    bomber.close()
    expect(await unary(client, TRACES, EMPTY)).toMatchObject({ code: status.OK })
  })

  test('of large messages: they are handled one after the other, and get there', async () => {
    const { client, testLog } = await open({ limits: { inFlightBytesMax: 64 * MiB } })
    const logName = 'x'.repeat(MiB)
    const streams = Array.from({ length: 4 }, () => stream(client))
    for (const [number, { send, end }] of streams.entries()) {
      send({ identifier: { ...identifier, logName }, ...logs(entry(number)) })
      end()
    }
    for (const { ended } of streams) expect(await ended).toMatchObject({ code: status.OK })
    expect(await testLog.calls()).toHaveLength(4)
  })

  test('of what is under way are given back', async () => {
    const { client } = await open({ limits: { inFlightBytesMax: 2 * MiB } })
    const message = Buffer.alloc(MiB)
    for (let turn = 0; turn < 4; turn++) {
      const { code } = await unary(client, TRACES, message)
      expect(code).toBe(status.INVALID_ARGUMENT)
    }
  })
})

describe('messages that have not arrived whole', () => {
  /** A call that says it sends a MiB, and the status that it ends with. */
  function begin(session: ClientHttp2Session, path: string) {
    const headers = { 'content-type': 'application/grpc', te: 'trailers', ...BEARER }
    const { promise: ended, resolve } = Promise.withResolvers<number>()
    const call = session.request({ ':method': 'POST', ':path': path, ...headers }, { endStream: false })
    call.on('error', () => undefined).on('response', answer => resolve(Number(answer['grpc-status'])))
    call.resume()
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(MiB, 1)
    call.write(prefix)
    /** Until the piece is sent, of which the last bytes have to wait until the first ones were read. */
    const send = (piece: Buffer) => new Promise(resolve => call.write(piece, resolve))
    return { call, ended, send }
  }
  const piece = Buffer.alloc(100 * KiB)

  test.each([
    ['calls', TRACES],
    ['streams', ALS],
  ])('of %s share a bound, and give back what they held', async (_what, path) => {
    const { client, grpcPort } = await open({ limits: { inFlightBytesMax: 250 * KiB } })
    // By then it is listened on.
    expect(await unary(client, METRICS, EMPTY)).toMatchObject({ code: status.OK })
    const session = connect(`http://127.0.0.1:${grpcPort}`)
    const held = [begin(session, path), begin(session, path)]
    for (const { send } of held) await send(piece)
    const refused = begin(session, path)
    refused.call.write(piece)
    expect(await refused.ended).toBe(status.UNAVAILABLE)
    await expect.poll(() => refused.call.destroyed).toBe(true)
    expect(held.map(({ call }) => call.destroyed)).toEqual([false, false])
    // What arrives whole is not among them.
    expect(await unary(client, METRICS, EMPTY)).toMatchObject({ code: status.OK })
    for (const { call } of held) call.close()
    await sleep(100)
    const again = [begin(session, path), begin(session, path)]
    for (const { send } of again) await send(piece)
    await sleep(100)
    expect(again.map(({ call }) => call.destroyed)).toEqual([false, false])
    session.destroy()
  })
})

test('a call that sends no message, and has no deadline, is cut off and gives its place back', async () => {
  const { client, grpcPort } = await open()
  // One connection has no more calls than all of them may have together.
  const other = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  })
  const ask = () => unary(other, METRICS, Buffer.alloc(0))
  expect(await ask()).toMatchObject({ code: status.OK })
  const begin = () => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    const end = (error: ServiceError | null) => resolve(error?.code)
    client.makeClientStreamRequest(METRICS, asItIs, asItIs, metadataOf(BEARER), end).on('error', () => undefined)
    return promise
  }
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const ended = Promise.all(Array.from({ length: CALLS_MAX }, begin))
    await expect.poll(ask).toMatchObject({ code: status.UNAVAILABLE })
    vi.advanceTimersByTime(SENDING_MS_MAX)
    expect(new Set(await ended)).toEqual(new Set([status.DEADLINE_EXCEEDED]))
  } finally {
    vi.useRealTimers()
  }
  expect(await ask()).toMatchObject({ code: status.OK })
  other.close()
})

test('metrics are answered politely', async () => {
  const { client } = await open()
  const { code, answer } = await unary(client, METRICS, EMPTY)
  expect(code).toBe(status.OK)
  expect(answer?.toString('latin1')).toContain('Metrics are not kept')
})

test('a port that is taken is told of, and listened on as soon as it is free', async () => {
  const [port = 0] = await freePorts(1)
  const other = createServer()
  await new Promise<void>(resolve => other.listen(port, '127.0.0.1', resolve))
  const { receiving } = await open({ limits: { grpc: { host: '127.0.0.1', port } } })
  await expect.poll(() => receiving.readiness()).toEqual([expect.stringContaining(`127.0.0.1:${port}`)])
  await new Promise(resolve => other.close(resolve))
  await expect.poll(() => receiving.readiness()).toEqual([])
})

test('closing cuts off streams that never end', async () => {
  const { client, receiving, testLog } = await open()
  const { send, ended } = stream(client)
  send({ identifier, ...logs(entry(1)) })
  await expect.poll(async () => (await testLog.calls()).length).toBe(1)
  await receiving.close()
  expect((await ended).code).not.toBe(status.OK)
})

test('closing takes what has come on streams, however slow the log is', async () => {
  const { client, receiving, testLog } = await open({
    log: { append: (topic, entries) => sleep(150).then(() => testLog.log.append(topic, entries)) },
  })
  const { send } = stream(client)
  for (let number = 0; number < 10; number++) send({ identifier, ...logs(entry(number)) })
  await expect.poll(async () => (await testLog.calls()).length).toBe(1)
  await receiving.close()
  expect(await testLog.calls()).toHaveLength(10)
})

test('a call is measured until its status, a stream, which lasts for months, is not', async () => {
  const ended: (string | number | null)[][] = []
  let reason: string | null = null
  const { client } = await open({
    log: { unavailable: () => reason },
    beginCall(method, metadata) {
      const call: (string | number | null)[] = [method, metadata.get('traceparent') ?? null]
      ended.push(call)
      return { end: code => void call.push(code), within: act => act() }
    },
  })
  await unary(client, TRACES, EMPTY, { ...BEARER, traceparent: 'a' })
  await unary(client, TRACES, Buffer.from([1]))
  reason = 'the log is full'
  await unary(client, TRACES, EMPTY)
  await stream(client).ended
  const firstOf = ended.map(([method, parent, code]) => [method, parent, code])
  expect(firstOf).toEqual([
    [TRACES, 'a', status.OK],
    [TRACES, null, status.INVALID_ARGUMENT],
    [TRACES, null, status.UNAVAILABLE],
  ])
})
