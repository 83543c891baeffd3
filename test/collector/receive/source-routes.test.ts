import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { LogError } from '../../../collector/log/call-log.ts'
import { LIMITS, NOW_MS, openReceiver, type Receiver, type ReceiverOptions } from './receiver.ts'

let opened: Receiver | null = null
afterEach(async () => {
  await opened?.close()
  opened = null
})

const mappings = {
  plain: {
    format: 'jsonl' as const,
    fields: { startedAtMs: { from: 'at', time: 'unix_ms' }, requestId: 'id', consumer: 'who' },
  },
}

async function open(options: ReceiverOptions = {}) {
  opened = await openReceiver({
    mappings,
    sources: { edge: { dialect: 'nginx', timezone: 'Europe/Berlin' }, own: { dialect: 'plain', tenant: 'acme' } },
    ...options,
  })
  return opened
}

/** A call of the mapping. */
const call = (number: number) => ({ at: NOW_MS - 5000 + number, id: `r-${number}`, who: 'shop' })
const MiB = 2 ** 20
const line = (path: string) => `203.0.113.9 - acme [21/Jul/2026:10:00:00 +0200] "GET ${path} HTTP/1.1" 200 39 "-" "x"`

describe('a named source', () => {
  test('is read in its dialect, with what its calls have in common', async () => {
    const { post, testLog } = await open()
    const { status, body } = await post('/v1/sources/own', [call(1), { id: 'r-2' }])
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        accepted: 1,
        skipped: 0,
        rejected: { missing_field: 1 },
        examples: [{ index: 1, reason: 'missing_field', message: expect.any(String) }],
      },
    })
    expect(await testLog.calls()).toMatchObject([
      { tenant: 'acme', gateway: 'own', dialect: 'plain', consumer: 'shop' },
    ])
    expect(await testLog.rejections()).toMatchObject([{ gateway: 'own', source: 'own' }])
  })

  test('is a dialect too, without any config', async () => {
    const { post, testLog } = await open()
    expect(await post('/v1/sources/nginx', `${line('/a')}\n${line('/b')}\n`)).toMatchObject({ body: { accepted: 2 } })
    expect(await testLog.calls()).toMatchObject([{ gateway: 'nginx' }, { gateway: 'nginx' }])
  })

  test('may send documents one after the other, large integers whole', async () => {
    const { post, testLog } = await open()
    const body = [9_007_199_254_740_993n, 9_007_199_254_740_995n].map(id => `{"at":${NOW_MS},"id":${id}}`).join(' ')
    expect(await post('/v1/sources/own', body)).toMatchObject({ body: { accepted: 2, rejected: {} } })
    expect((await testLog.calls()).map(({ requestId }) => requestId)).toEqual(['9007199254740993', '9007199254740995'])
  })

  test('must exist: the answer says which there are', async () => {
    const { post } = await open()
    const { status, body } = await post('/v1/sources/other', [])
    expect({ status, body }).toMatchObject({ status: 404, body: { code: 'SOURCE_UNKNOWN' } })
    expect(body.detail).toMatch(/only edge, own, .*kong/)
  })

  test('are not named to a token of another tenant, whichever way it asks', async () => {
    const ofTenant = (tenant: string) => ({ dialect: 'canonical', tenant })
    const { post } = await open({ sources: { ours: ofTenant('acme'), theirs: ofTenant('umbrella') } })
    const ways = [
      ['/v1/sources/other', {}],
      ['/services/collector/event?source=other', {}],
      ['/v1/logs', { 'x-quotacast-source': 'other', 'content-type': 'application/json' }],
    ] as const
    for (const [path, headers] of ways) {
      const told = async (token: string) => {
        const { body } = await post(path, {}, { token, headers })
        return String(body.detail ?? body.message)
      }
      expect(await told('all'), path).toMatch(/only ours, theirs, .*kong/)
      expect(await told('acme'), path).toMatch(/only ours, .*kong/)
      expect(await told('acme'), path).not.toContain('theirs')
    }
  })

  test('is a success where nothing could be read, since sending it again would not help', async () => {
    const { post, testLog } = await open()
    expect(await post('/v1/sources/kong', 'hello')).toMatchObject({
      status: 200,
      body: { rejected: { unreadable: 1 } },
    })
    expect(await testLog.rejections()).toHaveLength(1)
  })

  test('shows the first rejections, and keeps all', async () => {
    const { post, testLog } = await open()
    const { body } = await post('/v1/sources/own', Array(50).fill({}))
    expect(body).toMatchObject({ rejected: { missing_field: 50 } })
    expect(body.examples).toHaveLength(10)
    expect(await testLog.rejections()).toHaveLength(50)
  })

  test('has ids of its own for equal bodies', async () => {
    const { post, testLog } = await open({ sources: { one: { dialect: 'clf' }, two: { dialect: 'clf' } } })
    for (const name of ['one', 'two', 'one']) await post(`/v1/sources/${name}`, line('/a'))
    const [one, two, again] = (await testLog.calls()).map(({ callId }) => callId)
    expect(again).toBe(one)
    expect(two).not.toBe(one)
  })

  test('takes no calls of other tenants from a token of one', async () => {
    const { post } = await open()
    expect(await post('/v1/sources/own', call(1), { token: 'acme' })).toMatchObject({ body: { accepted: 1 } })
    const other = await post('/v1/sources/plain', call(1), { token: 'reader' })
    expect(other).toMatchObject({ status: 403 })
  })

  test('under pressure is told when to come again', async () => {
    const full = await open({ log: { append: () => Promise.reject(new LogError('LOG_FULL', 'full')) } })
    expect(await full.post('/v1/sources/own', call(1))).toMatchObject({ status: 503, headers: { 'retry-after': '2' } })
  })
})

describe("Cloudflare's Logpush", () => {
  const gzip = (text: string) => gzipSync(text)

  test('is welcomed when it tests the destination, and nothing is kept of that', async () => {
    const { post, testLog } = await open()
    const answer = await post('/v1/sources/own', gzip('{"content":"tests"}'), {
      headers: { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' },
    })
    expect(answer).toMatchObject({ status: 200, body: { accepted: 0, skipped: 1 } })
    expect(await testLog.rejections()).toEqual([])
  })

  test('sends lines, compressed whether or not it says so', async () => {
    const { post, testLog } = await open()
    const lines = [1, 2, 3].map(number => JSON.stringify(call(number))).join('\n')
    const headers = { 'content-type': 'text/plain' }
    expect(await post('/v1/sources/own', gzip(lines), { headers })).toMatchObject({ body: { accepted: 3 } })
    await post('/v1/sources/own', gzip(lines), { headers: { ...headers, 'content-encoding': 'gzip' } })
    expect(new Set((await testLog.calls()).map(({ callId }) => callId)).size).toBe(3)
  })
})

describe('Amazon Data Firehose', () => {
  const ID = 'ed4acda5-0000-4000-8000-000000000001'
  const headers = { authorization: '', 'x-amz-firehose-access-key': 'all', 'x-amz-firehose-request-id': ID }
  const delivery = (...records: (string | Buffer)[]) => ({
    requestId: ID,
    timestamp: NOW_MS,
    records: records.map(record => ({ data: Buffer.from(record).toString('base64') })),
  })
  const subscription = (messageType: string, ...messages: string[]) =>
    gzipSync(
      JSON.stringify({
        messageType,
        owner: '1',
        logGroup: 'gw',
        logEvents: messages.map((message, id) => ({ id: String(id), timestamp: NOW_MS, message })),
      }),
    )

  test('is answered with its request id, and gives its token in its own header', async () => {
    const { post, testLog } = await open()
    const body = delivery(JSON.stringify(call(1)), `${JSON.stringify(call(2))}\n`)
    const answer = await post('/v1/sources/own', gzipSync(JSON.stringify(body)), {
      headers: { ...headers, 'content-encoding': 'gzip' },
    })
    expect(answer).toMatchObject({ status: 200, body: { requestId: ID, timestamp: NOW_MS } })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(Number(answer.headers['content-length'])).toBe(answer.bytes.length)
    expect(await testLog.calls()).toMatchObject([{ requestId: 'r-1' }, { requestId: 'r-2' }])
    const foreign = { ...headers, 'x-amz-firehose-access-key': 'nobody' }
    expect(await post('/v1/sources/own', body, { headers: foreign })).toMatchObject({
      status: 401,
      body: { requestId: ID, errorMessage: expect.any(String) },
    })
  })

  test('brings what a CloudWatch subscription made of the log', async () => {
    const { post, testLog } = await open()
    const records = [
      subscription('CONTROL_MESSAGE', 'CWL CONTROL MESSAGE: Checking health of destination Firehose.'),
      subscription('DATA_MESSAGE', JSON.stringify(call(1)), JSON.stringify(call(2), null, 2)),
      subscription('DATA_MESSAGE', JSON.stringify(call(3))),
    ]
    expect(await post('/v1/sources/own', delivery(...records), { headers })).toMatchObject({ status: 200 })
    expect((await testLog.calls()).map(({ requestId }) => requestId)).toEqual(['r-1', 'r-2', 'r-3'])
    expect(await testLog.rejections()).toEqual([])
  })

  test('brings calls that have a member which a subscription has', async () => {
    const { post, testLog } = await open()
    const records = ['REQUEST', 'DATA_MESSAGE'].map((messageType, number) =>
      JSON.stringify({ ...call(number), messageType }),
    )
    expect(await post('/v1/sources/own', delivery(...records), { headers })).toMatchObject({ status: 200 })
    expect((await testLog.calls()).map(({ requestId }) => requestId)).toEqual(['r-0', 'r-1'])
  })

  test('is never told that it sent too much, which would make it drop the records', async () => {
    const { post, testLog } = await open()
    const large = await post('/v1/sources/own', 'x'.repeat(LIMITS.bodyBytesMax + 1), { headers })
    expect(large).toMatchObject({ status: 503, body: { requestId: ID, errorMessage: expect.any(String) } })
    const bomb = delivery(gzipSync(Buffer.alloc(LIMITS.decompressedBytesMax + 1, ' ')))
    expect(await post('/v1/sources/own', bomb, { headers })).toMatchObject({ status: 503 })
    const many = delivery(
      Array(LIMITS.requestCallsMax + 1)
        .fill('{}')
        .join('\n'),
    )
    expect(await post('/v1/sources/own', many, { headers })).toMatchObject({ status: 503 })
    expect(await post('/v1/sources/own', '{}', { headers })).toMatchObject({ status: 400, body: { requestId: ID } })
    expect(await testLog.calls()).toEqual([])
  })

  test('that comes again brings nothing new', async () => {
    const { post, testLog } = await open()
    const body = delivery(line('/a'), line('/a'))
    for (let turn = 0; turn < 3; turn++) await post('/v1/sources/edge', body, { headers })
    const ids = (await testLog.calls()).map(({ callId }) => callId)
    expect(ids).toHaveLength(6)
    expect(new Set(ids).size).toBe(2)
  })

  test('is known by its id and its records, whatever time stands around them', async () => {
    const { post, testLog } = await open()
    const body = delivery(line('/a'))
    for (const timestamp of [NOW_MS, NOW_MS + 1]) await post('/v1/sources/edge', { ...body, timestamp }, { headers })
    await post('/v1/sources/edge', body, { headers: { ...headers, 'x-amz-firehose-request-id': 'another' } })
    const ids = (await testLog.calls()).map(({ callId }) => callId)
    expect([ids.length, new Set(ids).size]).toEqual([3, 2])
  })

  test('is held up by no record that cannot be decompressed', async () => {
    const { post, testLog } = await open()
    const body = delivery(Buffer.from([0x1f, 0x8b, 1, 2]), JSON.stringify(call(1)))
    expect(await post('/v1/sources/own', body, { headers })).toMatchObject({ status: 200 })
    expect(await testLog.calls()).toHaveLength(1)
    expect(await testLog.rejections()).toMatchObject([{ reason: 'unreadable' }])
  })

  test('may bring any number of events and nesting of any depth', async () => {
    const { post } = await open({ limits: { bodyBytesMax: 8 * MiB, decompressedBytesMax: 8 * MiB } })
    const events = Array(150_000).fill('{"message":""}')
    const many = delivery(`{"messageType":"DATA_MESSAGE","logEvents":[${events}]}`)
    expect(await post('/v1/sources/own', many, { headers })).toMatchObject({ status: 200 })
    const deep = `{"records":${'['.repeat(2 ** 20)}`
    expect(await post('/v1/sources/own', deep, { headers })).toMatchObject({ status: 503, body: { requestId: ID } })
  })
})

describe('CloudEvents', () => {
  const event = { specversion: '1.0', id: 'e-1', source: 'gw-eu', type: 'request', time: '2026-07-21T08:00:00.123Z' }

  test('bring the calls of a dialect within, alone, in a batch or in base64', async () => {
    const { post, testLog } = await open()
    const structured = { headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' } }
    const batch = { headers: { 'content-type': 'application/cloudevents-batch+json' } }
    expect(await post('/v1/sources/own', { ...event, data: call(1) }, structured)).toMatchObject({ status: 200 })
    const encoded = Buffer.from(JSON.stringify(call(3))).toString('base64')
    await post(
      '/v1/sources/own',
      [
        { ...event, data: call(2) },
        { ...event, data_base64: encoded },
      ],
      batch,
    )
    expect((await testLog.calls()).map(({ requestId }) => requestId)).toEqual(['r-1', 'r-2', 'r-3'])
  })

  test('whose attributes are headers have nothing but the call as their body', async () => {
    const { post, testLog } = await open()
    const headers = Object.fromEntries(Object.entries(event).map(([name, value]) => [`ce-${name}`, value]))
    expect(await post('/v1/sources/own', call(1), { headers })).toMatchObject({ body: { accepted: 1 } })
    expect(await testLog.calls()).toMatchObject([{ requestId: 'r-1' }])
  })

  test('with equal data are told apart by their ids, which are headers', async () => {
    const { post, testLog } = await open()
    for (const id of ['1', '2', '2']) {
      const headers = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-time': 'bad' }
      await post('/v1/sources/openmeter', { tokens: 5 }, { headers })
    }
    expect(new Set((await testLog.rejections()).map(({ callId }) => callId)).size).toBe(2)
  })

  test('that no stack can follow are rejections', async () => {
    const { post, testLog } = await open({ limits: { bodyBytesMax: MiB } })
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    const headers = { 'content-type': 'application/cloudevents+json' }
    const event = `{"specversion":"1.0","data":${deep}}`
    expect(await post('/v1/sources/own', event, { headers })).toMatchObject({ body: { rejected: { unreadable: 1 } } })
    expect(await post('/services/collector?source=own', `{"event":${deep}}`)).toMatchObject({ status: 200 })
    expect(await testLog.rejections()).toHaveLength(2)
  })
})

describe("Splunk's event collector", () => {
  test('takes events one after the other, with its own scheme, and answers as Splunk does', async () => {
    const { post, testLog } = await open()
    const body = [call(1), call(2)].map(event => JSON.stringify({ time: 1_784_620_800, event })).join('')
    const headers = { authorization: 'Splunk all' }
    const answer = await post('/services/collector/event/1.0?source=own', body, { headers })
    expect(answer).toMatchObject({ status: 200, body: { text: 'Success', code: 0 } })
    expect((await testLog.calls()).map(({ requestId }) => requestId)).toEqual(['r-1', 'r-2'])
  })

  test("takes the records of tyk-pump's Splunk pump without being told the source", async () => {
    const { post, testLog } = await open()
    const event = {
      ...{ method: 'POST', path: '/v1/chat', response_code: 200, api_key: 'my-own-secret-0001', org_id: 'o1' },
      ...{ time_stamp: '2026-07-21T10:00:00.87+02:00', request_time: 747, api_name: 'llm', api_id: 'a1' },
    }
    await post(
      '/services/collector/event/1.0',
      { time: 1_784_620_800, event },
      { headers: { authorization: 'Splunk all' } },
    )
    const calls = await testLog.calls()
    expect(calls).toMatchObject([{ dialect: 'tyk', status: 200, latencyMs: 747, gateway: 'tyk' }])
    expect(JSON.stringify(calls)).not.toContain('my-own-secret-0001')
  })
})

test("APISIX's clickhouse-logger sends a statement", async () => {
  const { post, testLog } = await open()
  const entry = (id: number) =>
    JSON.stringify({ start_time: NOW_MS, request: { uri: `/${id}` }, response: { status: 200 } })
  const body = `INSERT INTO logs FORMAT JSONEachRow ${entry(1)} ${entry(2)}`
  expect(await post('/v1/sources/apisix', body)).toMatchObject({ body: { accepted: 2, rejected: {} } })
  expect(await testLog.calls()).toHaveLength(2)
})

test('a sender that resends whenever an answer is lost has every call once', async () => {
  const { server, testLog } = await open()
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as AddressInfo
  const headers = { authorization: 'Bearer all', 'content-type': 'application/json' }
  /** False when the answer did not arrive: the connection breaks while it is under way. */
  const send = (body: string, isLost: boolean) =>
    new Promise<boolean>(resolve => {
      const sent = request({ port, method: 'POST', path: '/v1/sources/own', headers }, response => {
        if (isLost) response.destroy()
        else response.resume()
        resolve(!isLost && response.statusCode === 200)
      })
      sent.on('error', () => resolve(false))
      sent.end(body)
    })
  for (let batch = 0; batch < 20; batch++) {
    const body = JSON.stringify(
      Array.from({ length: 10 }, (_, number) => ({ ...call(number), id: `${batch}-${number}` })),
    )
    for (let turn = 0; !(await send(body, (batch + turn) % 3 === 0)); turn++) expect(turn).toBeLessThan(5)
  }
  const ids = (await testLog.calls()).map(({ callId }) => callId)
  expect(ids.length).toBeGreaterThan(200)
  expect(new Set(ids).size).toBe(200)
})

test('GET /v1/sources shows what came of each', async () => {
  const { post, server } = await open()
  await post('/v1/sources/own', [call(1), call(2), {}])
  const ask = (token: string) => server.inject({ url: '/v1/sources', headers: { authorization: `Bearer ${token}` } })
  const { sinceMs, sources } = (await ask('reader')).json()
  expect(sinceMs).toBe(NOW_MS)
  expect(sources.slice(0, 2)).toMatchObject([
    { name: 'edge', isConfigured: true, dialect: 'nginx', timezone: 'Europe/Berlin', accepted: 0, lastCallAtMs: null },
    { name: 'own', accepted: 2, rejected: { missing_field: 1 }, lastCallAtMs: NOW_MS, receive: 'http', problem: null },
  ])
  const kong = sources.find(({ name }: { name: string }) => name === 'kong')
  expect(kong).toMatchObject({ isConfigured: false, dialect: 'kong', gateway: 'kong' })
  expect((await ask('all')).statusCode).toBe(403)
})
