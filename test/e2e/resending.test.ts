/** Senders that lose answers send again, and in other batches: each call is a row, and one. */
import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { awsApiGatewayFixture } from '../fixtures/sources/aws-api-gateway.ts'
import { cloudflareFixture } from '../fixtures/sources/cloudflare.ts'
import type { Fixture } from '../fixtures/sources/fixture.ts'
import { kongFixture } from '../fixtures/sources/kong.ts'
import { type LossyProxy, startLossyProxy } from './lossy-proxy.ts'
import { type Quotacast, startQuotacast } from './quotacast.ts'

const TEST_MS = 120_000
const SETUP_MS = 120_000
const CALLS = 300
const BATCH_MAX = 20
const SEED = 5

/** Park and Miller's: the same losses in every run. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 0x7fffffff
    return state / 0x7fffffff
  }
}

const inputOf = ({ calls: [call] }: Fixture) => call?.input as Record<string, object>

interface Sender {
  source: string
  path: string
  call(number: number): object
  /** What a delivery of some of the calls is. */
  send(calls: readonly object[]): { body: string | Uint8Array<ArrayBuffer>; headers: Record<string, string> }
}

const json = { 'content-type': 'application/json' }

const SENDERS: readonly Sender[] = [
  {
    source: 'kong',
    path: '/v1/sources/kong',
    call(number) {
      const entry = inputOf(kongFixture)
      return { ...entry, request: { ...entry.request, id: `request-${number}` } }
    },
    send: calls => ({ body: JSON.stringify(calls), headers: json }),
  },
  {
    source: 'cloudflare',
    path: '/v1/sources/cloudflare',
    call: number => ({ ...inputOf(cloudflareFixture), RayID: `ray-${number}` }),
    send: calls => ({
      body: gzipSync(calls.map(call => JSON.stringify(call)).join('\n')),
      headers: { 'content-type': 'text/plain', 'content-encoding': 'gzip' },
    }),
  },
  {
    source: 'aws-api-gateway',
    path: '/v1/sources/aws-api-gateway',
    call: number => ({ ...inputOf(awsApiGatewayFixture), extId: `request-${number}` }),
    send(calls) {
      const requestId = randomUUID()
      const records = calls.map(call => ({ data: Buffer.from(`${JSON.stringify(call)}\n`).toString('base64') }))
      const body = JSON.stringify({ requestId, timestamp: Date.now(), records })
      return { body, headers: { ...json, 'x-amz-firehose-request-id': requestId } }
    },
  },
  {
    source: 'otlp',
    path: '/v1/traces',
    call: number => ({
      traceId: number.toString(16).padStart(32, '0'),
      spanId: '00f067aa0ba902b7',
      name: 'GET',
      kind: 2,
      startTimeUnixNano: '1784620800123456789',
      endTimeUnixNano: '1784620800870456789',
      attributes: [{ key: 'url.path', value: { stringValue: '/v1/chat' } }],
    }),
    send: spans => ({ body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }), headers: json }),
  },
]

let quotacast: Quotacast
let proxy: LossyProxy
const random = randomFrom(SEED)

beforeAll(async () => {
  quotacast = await startQuotacast()
  proxy = await startLossyProxy(quotacast.urls.collector, random)
}, SETUP_MS)
afterAll(async () => {
  await proxy?.stop()
  await quotacast?.stop()
  quotacast?.remove()
}, SETUP_MS)

/** Until the sender knows of each that it arrived. */
async function deliver({ path, call, send }: Sender): Promise<void> {
  const waiting = Array.from({ length: CALLS }, (_, number) => call(number))
  while (waiting.length > 0) {
    const batch = waiting.slice(0, 1 + Math.floor(random() * BATCH_MAX))
    const { body, headers } = send(batch)
    const authorization = `Bearer ${quotacast.token}`
    const answer = await fetch(`${proxy.url}${path}`, { method: 'POST', body, headers: { ...headers, authorization } })
      .then(async response => ({ status: response.status, text: await response.text() }))
      .catch(() => null)
    if (answer === null) continue
    expect(answer).toMatchObject({ status: 200 })
    waiting.splice(0, batch.length)
  }
}

test.each(SENDERS)('$source', { timeout: TEST_MS }, async sender => {
  const lostBefore = proxy.lostAnswers()
  const duplicatesOf = async () => (await quotacast.get('collector', '/v1/status')).body.stored.duplicates
  const duplicatesBefore = await duplicatesOf()
  await deliver(sender)
  expect(proxy.lostAnswers()).toBeGreaterThan(lostBefore)
  await expect.poll(duplicatesOf, { timeout: TEST_MS }).toBeGreaterThan(duplicatesBefore)
  const counted = () =>
    quotacast.query(
      `SELECT count() AS calls, uniqExact(request_id) AS requests FROM calls WHERE gateway = '${sender.source}'`,
    )
  await expect.poll(counted, { timeout: TEST_MS }).toEqual([{ calls: CALLS, requests: CALLS }])
  // Of those before, too, of which more may have come since.
  const doubled = 'SELECT gateway, count() AS calls FROM calls GROUP BY gateway HAVING calls > uniqExact(request_id)'
  expect(await quotacast.query(doubled)).toEqual([])
  expect(await quotacast.query('SELECT * FROM rejections')).toEqual([])
})
