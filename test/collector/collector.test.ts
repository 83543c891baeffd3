import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Collector, openCollector } from '../../collector/collector.ts'
import { type CallLog, LogError } from '../../collector/log/call-log.ts'
import type { Principal, Scope } from '../../collector/principal.ts'
import { openStore, type Store } from '../../collector/store/open.ts'
import { createServer } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { freePorts } from '../free-ports.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { identityFor } from './normalize/normalizer.ts'
import { logger, openTestLog, type TestLog } from './receive/fixture.ts'

const STARTED_AT_MS = Date.now() - 60_000
const PRINCIPALS: Record<string, { tenant: string | null; scopes: Scope[] }> = {
  all: { tenant: null, scopes: ['admin'] },
  acme: { tenant: 'acme', scopes: ['ingest', 'read'] },
}

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore.close())

interface Opened {
  collector: Collector
  server: FastifyInstance
  testLog: TestLog
}
let opened: Opened | null = null
afterEach(async () => {
  await opened?.server.close()
  await opened?.collector.close()
  await opened?.testLog.close()
  opened = null
})

const verify = (name: string): Principal | null => {
  const found = PRINCIPALS[name]
  return found === undefined ? null : { name, tenant: found.tenant, scopes: new Set(found.scopes) }
}

/** Where nobody listens yet. */
async function freeGrpc() {
  const [port = 0] = await freePorts(1)
  return { host: '127.0.0.1', port }
}

async function open(store: Store = testStore.store, broken: Partial<CallLog> = {}) {
  const testLog = await openTestLog()
  const collector = await openCollector({
    options: {
      clientIp: 'truncated',
      bodyBytesMax: 2 ** 20,
      decompressedBytesMax: 2 ** 22,
      requestCallsMax: 10_000,
      inFlightBytesMax: 2 ** 24,
      routes: [],
      grpc: await freeGrpc(),
    },
    log: { ...testLog.log, ...broken },
    store,
    identity: identityFor(),
    prices: [],
    mappings: {},
    sources: {},
    labelColumns: [],
    auditRetentionSeconds: 400 * 86_400,
    principalOf,
    verify,
    dir: testLog.dir,
    logger,
  })
  const server = await createServer({
    role: 'collector',
    version: '0',
    log: logger,
    routes: collector.routes,
    verify,
    readiness: () => collector.readiness(),
    metrics: async () => '',
    isTracing: false,
  })
  opened = { collector, server, testLog }
  const ask = async (
    method: 'GET' | 'POST',
    url: string,
    { body, token = 'all' }: { body?: object; token?: string } = {},
  ) => {
    const headers = { authorization: `Bearer ${token}` }
    const response = await server.inject({ method, url, headers, ...(body === undefined ? {} : { payload: body }) })
    return { status: response.statusCode, body: response.json() }
  }
  return { collector, ask }
}

const calls = (count: number, tenant: string) =>
  Array.from({ length: count }, (_, n) => ({
    startedAtMs: STARTED_AT_MS + n,
    tenant,
    consumer: 'shop',
    requestId: `${tenant}-${n}`,
  }))

test('calls become rows once, and everything about them can be asked', async () => {
  const { collector, ask } = await open()
  await expect.poll(() => collector.readiness()).toEqual({ isReady: true, reasons: [] })
  await ask('POST', '/v1/calls', { body: calls(100, 'once') })
  await ask('POST', '/v1/calls', { body: [...calls(100, 'once'), { tenant: 'once' }] })
  await expect.poll(async () => (await ask('GET', '/v1/status')).body.stored).toMatchObject({ duplicates: 100 })
  expect(await testStore.rows("SELECT count() AS count FROM calls WHERE tenant = 'once'")).toEqual([{ count: 100 }])

  const isLagging = async () => {
    const { body } = await ask('GET', '/v1/status')
    return body.lag.some(({ entries }: { entries: number }) => entries > 0)
  }
  await expect.poll(isLagging).toBe(false)
  const audit = await ask('GET', '/v1/store-audit')
  expect(audit).toMatchObject({ status: 200, body: { differences: [] } })
  const { status, body } = await ask('GET', '/v1/status')
  expect(status).toBe(200)
  expect(body).toMatchObject({
    received: { accepted: 200, rejected: { missing_field: 1 } },
    dataAgeMs: 0,
    totals: { calls: 100, rejections: { missing_field: 1 } },
    lastAudit: { differences: 0 },
  })
})

describe('rejections', () => {
  test('are read newest first, page by page, each tenant its own', async () => {
    const { ask } = await open()
    for (let n = 0; n < 5; n++) await ask('POST', '/v1/calls', { body: { tenant: 'acme', labels: { n: `${n}` } } })
    await ask('POST', '/v1/calls', { body: { tenant: 'other', colour: 5 } })
    const inputs = async (query: string, token = 'all') => {
      const { body } = await ask('GET', `/v1/rejections?${query}`, { token })
      return {
        inputs: body.rejections.map(({ input }: { input: string }) => JSON.parse(input)),
        cursor: body.nextCursor,
      }
    }
    await expect.poll(async () => (await inputs('limit=200')).inputs.length).toBeGreaterThanOrEqual(6)

    const first = await inputs('limit=2', 'acme')
    const second = await inputs(`limit=2&cursor=${first.cursor}`, 'acme')
    const third = await inputs(`limit=2&cursor=${second.cursor}`, 'acme')
    expect([...first.inputs, ...second.inputs, ...third.inputs].map(({ labels }) => labels.n)).toEqual([
      '4',
      '3',
      '2',
      '1',
      '0',
    ])
    expect(third.cursor).toBeNull()
    expect((await inputs('reason=unknown_field')).inputs).toEqual([{ tenant: 'other', colour: 5 }])
  })

  test('refuse a cursor and a reason that are none', async () => {
    const { ask } = await open()
    expect(await ask('GET', '/v1/rejections?cursor=nonsense')).toMatchObject({
      status: 400,
      body: { code: 'CURSOR_INVALID' },
    })
    const forged = Buffer.from(JSON.stringify([1e300, '', '', -1])).toString('base64url')
    expect(await ask('GET', `/v1/rejections?cursor=${forged}`)).toMatchObject({ status: 400 })
    expect(await ask('GET', '/v1/rejections?reason=nonsense')).toMatchObject({ status: 400 })
    expect(await ask('GET', '/v1/rejections?limit=0')).toMatchObject({ status: 400 })
  })
})
test('what concerns all tenants is not for the token of one', async () => {
  const { ask } = await open()
  expect(await ask('GET', '/v1/status', { token: 'acme' })).toMatchObject({
    status: 403,
    body: { code: 'TENANT_FORBIDDEN' },
  })
  expect(await ask('GET', '/v1/store-audit', { token: 'acme' })).toMatchObject({ status: 403 })
})

test('without the log it is told how all else is', async () => {
  const { ask } = await open(testStore.store, { lag: () => Promise.reject(new LogError('LOG_UNAVAILABLE', 'away')) })
  expect(await ask('GET', '/v1/status')).toMatchObject({
    status: 200,
    body: { lag: null, dataAgeMs: null, received: { accepted: 0 } },
  })
})

test('without the store calls are accepted, and stored when it comes', async () => {
  const [port = 0] = await freePorts(1)
  const away = await openStore({ ...testStore.options, port }, { dir: testStore.dir, log: logger })
  try {
    const { collector, ask } = await open(away)
    expect(await ask('POST', '/v1/calls', { body: calls(10, 'late') })).toMatchObject({ status: 200 })
    expect(await collector.readiness()).toEqual({
      isReady: true,
      reasons: [expect.stringContaining('calls are not being stored')],
    })
    expect(await ask('GET', '/v1/status')).toMatchObject({
      status: 200,
      body: {
        totals: null,
        received: { accepted: 10 },
        lag: expect.arrayContaining([expect.objectContaining({ topic: 'calls', entries: 10 })]),
      },
    })
  } finally {
    await opened?.server.close()
    await opened?.collector.close()
    await away.close()
  }
  const left = opened
  opened = null
  if (left === null) throw new Error('it was opened')
  const late = await openCollector({
    options: {
      clientIp: 'full',
      bodyBytesMax: 1024,
      decompressedBytesMax: 1024,
      requestCallsMax: 1,
      inFlightBytesMax: 1024,
      routes: [],
      grpc: await freeGrpc(),
    },
    log: left.testLog.log,
    store: testStore.store,
    identity: identityFor(),
    prices: [],
    mappings: {},
    sources: {},
    labelColumns: [],
    auditRetentionSeconds: 400 * 86_400,
    principalOf,
    verify,
    dir: left.testLog.dir,
    logger,
  })
  await expect
    .poll(() => testStore.rows("SELECT count() AS count FROM calls WHERE tenant = 'late'"))
    .toEqual([{ count: 10 }])
  await late.close()
  await left.testLog.close()
})
