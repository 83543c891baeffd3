import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { isCallRecord } from '../../../collector/call-record.ts'
import { LogError } from '../../../collector/log/call-log.ts'
import { LIMITS, openReceiver, type Receiver, type ReceiverOptions } from './receiver.ts'

const STARTED_AT_MS = 1_700_158_623_979
const mappings = {
  plain: {
    format: 'csv' as const,
    fields: { startedAtMs: { from: 'at', time: 'iso' }, inputTokens: 'tokens' },
    constants: { consumer: '{fileStem}' },
  },
}

let opened: Receiver | null = null
afterEach(async () => {
  await opened?.close()
  opened = null
})

async function open(options: Omit<ReceiverOptions, 'mappings'> = {}) {
  opened = await openReceiver({ ...options, mappings })
  const { server, testLog, receiving } = opened
  const { post: postTo } = opened
  const post = (body: unknown, { query = '', ...more }: { query?: string } & Parameters<typeof postTo>[2] = {}) =>
    postTo(`/v1/calls${query}`, body, more)
  return { server, testLog, post, received: () => receiving.intake.received() }
}

const call = (number = 0) => ({ startedAtMs: STARTED_AT_MS + number, tenant: 'acme', consumer: 'shop' })

describe('calls that are good', () => {
  test('are durable when they are answered, as an object, an array or lines', async () => {
    const { post, testLog } = await open()
    const ndjson = { 'content-type': 'application/x-ndjson' }
    expect(await post(call(1))).toMatchObject({ status: 200, body: { accepted: 1, rejected: [] } })
    expect(await post([call(2), call(3)])).toMatchObject({ status: 200, body: { accepted: 2 } })
    const lines = `${JSON.stringify(call(4))}\n${JSON.stringify(call(5))}\n`
    expect(await post(lines, { headers: ndjson })).toMatchObject({ status: 200, body: { accepted: 2 } })
    const calls = await testLog.calls()
    expect(calls.map(({ startedAtMs }) => startedAtMs - STARTED_AT_MS)).toEqual([1, 2, 3, 4, 5])
    expect(calls.every(isCallRecord)).toBe(true)
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(5)
  })

  test('may be compressed', async () => {
    const { post } = await open()
    const body = Buffer.from(JSON.stringify([call()]))
    for (const [encoding, compress] of [
      ['gzip', gzipSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      expect(await post(compress(body), { headers: { 'content-encoding': encoding } })).toMatchObject({ status: 200 })
    }
  })

  test('have the same ids when they are sent again, however they are compressed', async () => {
    const { post, testLog } = await open()
    const body = Buffer.from(JSON.stringify([call(), call()]))
    await post(body)
    await post(gzipSync(body), { headers: { 'content-encoding': 'gzip' } })
    const ids = (await testLog.calls()).map(({ callId }) => callId)
    expect(ids.slice(2)).toEqual(ids.slice(0, 2))
    expect(ids[0]).not.toBe(ids[1])
  })

  test('in thousands keep their order', async () => {
    const { post, testLog } = await open()
    const { body } = await post(gzipSync(JSON.stringify(Array.from({ length: 4000 }, (_, n) => call(n)))), {
      headers: { 'content-encoding': 'gzip' },
    })
    expect(body.accepted).toBe(4000)
    const offsets = (await testLog.calls()).map(({ startedAtMs }) => startedAtMs - STARTED_AT_MS)
    expect(offsets).toEqual(Array.from({ length: 4000 }, (_, n) => n))
  })
})

describe('calls that are bad', () => {
  test('do not block the good ones, and are kept', async () => {
    const { post, testLog, received } = await open()
    const { status, body } = await post([call(), { tenant: 'acme' }, { ...call(), latencyMs: 'slow' }])
    expect(status).toBe(200)
    expect(body).toEqual({
      accepted: 1,
      rejected: [
        { index: 1, reason: 'missing_field', message: 'startedAtMs is missing.' },
        { index: 2, reason: 'invalid_field', message: expect.stringContaining('latencyMs: "slow"') },
      ],
    })
    expect(await testLog.rejections()).toMatchObject([
      { reason: 'missing_field', input: '{"tenant":"acme"}', tenant: 'acme' },
      { reason: 'invalid_field' },
    ])
    expect(received()).toMatchObject({ accepted: 1, rejected: { missing_field: 1, invalid_field: 1 } })
  })

  test('alone are a 400', async () => {
    const { post, testLog } = await open()
    expect(await post('hello')).toMatchObject({
      status: 400,
      body: { accepted: 0, rejected: [{ reason: 'unreadable' }] },
    })
    expect(await testLog.rejections()).toHaveLength(1)
    expect(await post([])).toMatchObject({ status: 200, body: { accepted: 0, rejected: [] } })
  })

  test('leave no credential in log or answer', async () => {
    const { post, testLog } = await open()
    const secret = 'my-own-secret-0001'
    const { body } = await post([{ credential: secret }, { ...call(), consumer: null, credential: secret }])
    expect(body.accepted).toBe(1)
    const everything = JSON.stringify([body, await testLog.calls(), await testLog.rejections()])
    expect(everything).not.toContain(secret)
  })
})

describe('a mapping', () => {
  const csv = 'at,tokens\n2023-11-16 18:17:03.5,7\n2023-11-16 18:17:04,x\n'
  const headers = { 'content-type': 'text/csv' }

  test('reads what it describes', async () => {
    const { post, testLog } = await open()
    const { status, body } = await post(csv, { headers, query: '?mapping=plain&file=logs/conv.csv.gz' })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      accepted: 1,
      rejected: [{ index: 1, message: expect.stringContaining('inputTokens (tokens)') }],
    })
    expect(await testLog.calls()).toMatchObject([{ consumer: 'conv', inputTokens: 7, dialect: 'plain' }])
  })

  test('must exist, and fit', async () => {
    const { post } = await open()
    expect(await post(csv, { query: '?mapping=other' })).toMatchObject({
      status: 400,
      body: { code: 'MAPPING_UNKNOWN' },
    })
    expect(await post(csv, { query: '?mapping=plain' })).toMatchObject({
      status: 400,
      body: { code: 'FILE_NAME_NEEDED' },
    })
    expect(await post('a,b\n1,2', { query: '?mapping=plain&file=x.csv' })).toMatchObject({
      status: 400,
      body: { code: 'COLUMN_MISSING' },
    })
    expect(await post(csv, { headers })).toMatchObject({ status: 415, body: { code: 'TYPE_UNSUPPORTED' } })
    expect(await post(csv, { query: '?mapping=plain&colour=red' })).toMatchObject({ status: 400 })
  })
})

describe('who sends', () => {
  test('needs the scope, before the body is read', async () => {
    const { post } = await open()
    expect(await post(call(), { token: 'reader' })).toMatchObject({ status: 403 })
    expect(await post(call(), { token: 'nobody' })).toMatchObject({ status: 401 })
  })

  test('writes only the tenant of the token', async () => {
    const { post, testLog } = await open()
    const { body } = await post(
      [
        { ...call(), tenant: null },
        { ...call(), tenant: 'other' },
      ],
      { token: 'acme' },
    )
    expect(body).toMatchObject({ accepted: 1, rejected: [{ index: 1, reason: 'tenant_forbidden' }] })
    expect(await testLog.calls()).toMatchObject([{ tenant: 'acme' }])
  })
})

describe('bounds', () => {
  test('of bodies, decompressed bodies, calls and encodings', async () => {
    const { post } = await open()
    expect(await post('x'.repeat(LIMITS.bodyBytesMax + 1))).toMatchObject({ status: 413 })
    const bomb = gzipSync(Buffer.alloc(LIMITS.decompressedBytesMax + 1, ' '))
    const gzip = { 'content-encoding': 'gzip' }
    expect(await post(bomb, { headers: gzip })).toMatchObject({ status: 413, body: { code: 'BODY_TOO_LARGE' } })
    const many = gzipSync(JSON.stringify(Array(LIMITS.requestCallsMax + 1).fill({})))
    expect(await post(many, { headers: gzip })).toMatchObject({ status: 413, body: { code: 'TOO_MANY_CALLS' } })
    expect(await post(call(), { headers: { 'content-encoding': 'lzma' } })).toMatchObject({ status: 415 })
    expect(await post('not gzip', { headers: gzip })).toMatchObject({ status: 400 })
  })

  test('of pieces: a body that comes byte by byte is no more than its bytes', async () => {
    const bytes = 2 ** 21
    const { server } = await open({
      limits: { bodyBytesMax: bytes, decompressedBytesMax: bytes, inFlightBytesMax: bytes },
    })
    await server.listen({ host: '127.0.0.1', port: 0 })
    // A slow machine needs longer than a sender gets.
    server.server.requestTimeout = 0
    const socket = connect((server.server.address() as AddressInfo).port, '127.0.0.1')
    const before = process.memoryUsage().heapUsed
    socket.write('POST /v1/calls HTTP/1.1\r\nhost: a\r\nauthorization: Bearer all\r\n')
    socket.write('content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n')
    const chunks = '1\r\n \r\n'.repeat(2 ** 14)
    for (let sent = 1000; sent < bytes - 2 ** 14; sent += 2 ** 14) {
      if (!socket.write(chunks)) await once(socket, 'drain')
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(150 * 2 ** 20)
    const body = JSON.stringify(call())
    socket.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
    const [answer] = await once(socket, 'data')
    socket.destroy()
    expect(String(answer)).toContain('"accepted":1')
  })

  test('of what is under way: others wait, and a sender that goes away gives its room back', async () => {
    const { server, post } = await open({ limits: { inFlightBytesMax: 50_000 } })
    await server.listen({ host: '127.0.0.1', port: 0 })
    const { port } = server.server.address() as AddressInfo
    const slow = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/v1/calls',
      headers: { authorization: 'Bearer all', 'content-type': 'application/json', 'content-length': 49_999 },
    })
    slow.on('error', () => undefined)
    const arrived = once(server.server, 'request')
    slow.write('['.repeat(49_998))
    const [{ socket }] = await arrived
    // A request before its body is with us would have made it the one that must wait.
    await expect.poll(() => socket.bytesRead).toBeGreaterThan(49_998)
    await expect
      .poll(() => post(call()))
      .toMatchObject({ status: 503, headers: { 'retry-after': '2' }, body: { code: 'BUSY' } })
    slow.destroy()
    await expect.poll(() => post(call())).toMatchObject({ status: 200 })
  })

  test('of what is handled: a sender that goes away before it is told gives its room back then', async () => {
    const durable = Promise.withResolvers<void>()
    const waiting = Promise.withResolvers<void>()
    const append = () => {
      waiting.resolve()
      return durable.promise
    }
    const { server, post } = await open({ log: { append }, limits: { inFlightBytesMax: 50_000 } })
    await server.listen({ host: '127.0.0.1', port: 0 })
    const { port } = server.server.address() as AddressInfo
    const body = JSON.stringify([call(), { note: 'x'.repeat(30_000) }])
    const connected = once(server.server, 'connection')
    const sender = connect(port, '127.0.0.1').on('error', () => undefined)
    sender.write('POST /v1/calls HTTP/1.1\r\nhost: a\r\nauthorization: Bearer all\r\n')
    sender.write(`content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    await waiting.promise
    const [socket] = await connected
    const gone = once(socket, 'close')
    sender.destroy()
    await gone
    expect(await post(body)).toMatchObject({ status: 503, body: { code: 'BUSY' } })
    durable.resolve()
    await expect.poll(() => post(body)).toMatchObject({ status: 200 })
  })

  test('of requests: one with a few bytes takes far more than these', async () => {
    const durable = Promise.withResolvers<void>()
    const append = () => durable.promise
    const { post } = await open({ log: { append }, limits: { inFlightBytesMax: 2 ** 20 } })
    const answers = Array.from({ length: 100 }, () => post({}))
    await expect.poll(() => post({})).toMatchObject({ status: 503, body: { code: 'BUSY' } })
    durable.resolve()
    const taken = (await Promise.all(answers)).filter(({ status }) => status === 400)
    expect(taken.length).toBeGreaterThan(50)
    expect(taken.length).toBeLessThanOrEqual(64)
    expect(await post({})).toMatchObject({ status: 400 })
  })
})

test('bodies that grow beyond the memory for bodies wait for each other, and get there', async () => {
  const { post } = await open({ limits: { inFlightBytesMax: 200_000 } })
  const body = gzipSync(JSON.stringify([call(), { note: 'x'.repeat(150_000) }]))
  const headers = { 'content-encoding': 'gzip' }
  const statuses = (await Promise.all([1, 2, 3].map(() => post(body, { headers })))).map(({ status }) => status)
  expect(statuses).toContain(200)
  expect(statuses).toContain(503)
  expect(await post(body, { headers })).toMatchObject({ status: 200, body: { accepted: 1 } })
})

test('a log that is slow is not handed all of a large body at once', async () => {
  let underway = 0
  let most = 0
  const append = async () => {
    most = Math.max(most, ++underway)
    await sleep(5)
    underway--
  }
  const { post } = await open({ log: { append }, limits: { requestCallsMax: 20_000 } })
  const body = gzipSync(JSON.stringify(Array.from({ length: 20_000 }, () => ({ startedAtMs: STARTED_AT_MS }))))
  const { body: verdict } = await post(body, { headers: { 'content-encoding': 'gzip' } })
  expect(verdict).toMatchObject({ accepted: 20_000 })
  expect(most).toBeLessThanOrEqual(4)
})

describe('a log that cannot take calls', () => {
  test('is said before the body is read', async () => {
    const { post } = await open({ log: { unavailable: () => 'the log is full' } })
    expect(await post(call())).toMatchObject({ status: 503, headers: { 'retry-after': '2' } })
  })

  test('is not one that is full of rejections', async () => {
    const { post } = await open({ log: { unavailable: topic => (topic === 'calls' ? null : 'rejections: full') } })
    expect(await post(call())).toMatchObject({ status: 200 })
  })

  test('while they are appended makes the sender come again', async () => {
    const { post, received } = await open({ log: { append: () => Promise.reject(new LogError('LOG_FULL', 'full')) } })
    expect(await post([call(), {}])).toMatchObject({ status: 503, body: { code: 'LOG_FULL' } })
    expect(received()).toMatchObject({ accepted: 0, rejected: {} })
  })
})

test('OpenAPI shows what a call is', async () => {
  const { server } = await open()
  const response = await server.inject({ url: '/openapi.json', headers: { authorization: 'Bearer reader' } })
  const { paths, components } = response.json()
  const one = { $ref: '#/components/schemas/Call' }
  for (const { schema } of Object.values<{ schema: unknown }>(paths['/v1/calls'].post.requestBody.content)) {
    expect(schema).toEqual({ anyOf: [one, { type: 'array', items: one }] })
  }
  // By the name that rejections tell.
  expect(components.schemas.Call.required).toEqual(['startedAtMs'])
})
