/** Rejected, mended, replayed, and sent again by whoever sent it: one row each, and nothing left to replay. */
import { hash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { MappingOptions } from '../../collector/normalize/mapping.ts'
import type { Principal } from '../../collector/principal.ts'
import { acceptBatch } from '../../collector/receive/accept.ts'
import { splitBody } from '../../collector/receive/body.ts'
import { createSources } from '../../collector/receive/sources.ts'
import { createRejectionRoutes } from '../../collector/rejection-routes.ts'
import { startStoring } from '../../collector/store/storing.ts'
import { createServer } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { normalizerFor } from './normalize/normalizer.ts'
import { logger, openTestLog, type TestLog } from './receive/fixture.ts'

const STARTED_AT = '2026-11-20T12:00:00.250Z'
const KEY = 'a raw key that is told by nothing but its name'
const fields = { requestId: 'id', credential: 'who', status: 'status', route: 'path' }

/** Broken ones expect seconds where an ISO time stands. */
const mappingsOf = (time: 'unix_s' | 'iso'): MappingOptions => {
  const mapping = { constants: {}, fields: { ...fields, startedAtMs: { from: 't', time } } }
  return { json: { ...mapping, format: 'jsonl' }, table: { ...mapping, format: 'csv' } }
}

const readers = (mappings: MappingOptions) => ({
  normalizer: normalizerFor({ mappings }),
  sources: createSources({}, mappings),
})
type Readers = ReturnType<typeof readers>
const broken = readers(mappingsOf('unix_s'))
const mended = readers(mappingsOf('iso'))

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
})
afterAll(() => testStore.close())

let testLog: TestLog
let storing: ReturnType<typeof startStoring>
let server: FastifyInstance | null = null
beforeEach(async () => {
  for (const table of ['calls', 'rejections', 'replays'])
    await testStore.store.client.command({ query: `TRUNCATE TABLE ${table}` })
  testLog = await openTestLog()
  storing = startStoring({
    log: testLog.log,
    store: testStore.store,
    logger,
    labelColumns: [],
    auditRetentionSeconds: 400 * 86_400,
    now: Date.now,
  })
})
afterEach(async () => {
  await server?.close()
  server = null
  await storing.close()
  await testLog.close()
})

/** A body as `POST /v1/sources/{source}` takes it. */
async function send({ normalizer, sources }: Readers, name: string, body: string, restriction: string | null = null) {
  const source = sources.find(name)
  if (source === undefined) throw new Error(`there is no source ${name}`)
  const { dialect, gateway, tenant } = source
  const batch = splitBody(Buffer.from(body), { source, fileStem: null, isNdjson: false, recordsMax: 1000 })
  const bodyHash = hash('sha256', body, 'hex')
  const { accepted, rejected } = await acceptBatch({ log: testLog.log, normalizer }, batch, {
    ...{ source: name, dialect: dialect.name, gateway, tenant, restriction, arrivedAtMs: Date.now(), shiftMs: 0 },
    keyAt: position => `http ${bodyHash} ${position}`,
  })
  return { accepted, rejected: rejected.length }
}

async function serve({ normalizer, sources }: Readers) {
  const { log } = testLog
  const { store } = testStore
  await server?.close()
  server = await createServer({
    role: 'collector',
    version: '0',
    log: logger,
    routes: [createRejectionRoutes({ log, store, normalizer, sources, principalOf, logger, now: Date.now })],
    verify: (name): Principal => ({ name, tenant: name === 'all' ? null : name, scopes: new Set(['admin']) }),
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
    isTracing: false,
  })
  const serving = server
  return async (method: 'GET' | 'POST', url: string, token = 'all') => {
    const response = await serving.inject({ method, url, headers: { authorization: `Bearer ${token}` } })
    return { status: response.statusCode, body: response.json() }
  }
}

const countOf = async (table: string) =>
  Number((await testStore.rows<{ count: string }>(`SELECT count() AS count FROM ${table}`))[0]?.count)
const stored = (table: string, count: number) => expect.poll(() => countOf(table)).toBe(count)

const jsonBody = JSON.stringify(
  [1, 2, 3].map(n => ({ id: `r${n}`, t: STARTED_AT, who: KEY, status: 200, path: `/users/${n}?token=x${n}y` })),
)
/** No ids: these calls are known by their delivery. */
const csvBody = `t,who,status,path,id\n${[1, 2].map(n => `${STARTED_AT},"${KEY}",20${n},/orders,`).join('\n')}\n`

describe('a replay', () => {
  test('makes calls of what can be read now, once, whoever else sends it', async () => {
    expect(await send(broken, 'json', jsonBody)).toEqual({ accepted: 0, rejected: 3 })
    expect(await send(broken, 'table', csvBody, 'acme')).toEqual({ accepted: 0, rejected: 2 })
    await stored('rejections', 5)
    const ask = await serve(mended)
    const counts = async () => (await ask('GET', '/v1/rejections/counts')).body.counts
    expect(await counts()).toMatchObject([
      { source: 'json', reason: 'invalid_field', count: 3, replayable: 3, example: { message: expect.any(String) } },
      { source: 'table', reason: 'invalid_field', count: 2, replayable: 2 },
    ])
    expect(JSON.stringify(await ask('GET', '/v1/rejections'))).not.toContain(KEY)

    const dry = await ask('POST', '/v1/rejections/replay?dryRun=true')
    expect(dry.body).toMatchObject({ calls: 5, rejected: {} })
    expect(await countOf('replays')).toBe(0)

    // Page by page, as the command does.
    let cursor: string | null = ''
    let calls = 0
    while (cursor !== null) {
      const after: string = cursor === '' ? '' : `&cursor=${cursor}`
      const { status, body } = await ask('POST', `/v1/rejections/replay?limit=2${after}`)
      expect(status).toBe(200)
      calls += body.calls
      cursor = body.nextCursor
    }
    expect(calls).toBe(5)
    await stored('calls', 5)
    expect(await counts()).toEqual([])
    expect((await ask('GET', '/v1/rejections')).body.rejections).toEqual([])
    expect((await ask('POST', '/v1/rejections/replay')).body).toMatchObject({ calls: 0, rejected: {} })

    expect(await send(mended, 'json', jsonBody)).toEqual({ accepted: 3, rejected: 0 })
    expect(await send(mended, 'table', csvBody, 'acme')).toEqual({ accepted: 2, rejected: 0 })
    await expect.poll(() => storing.counts().duplicates).toBe(5)
    expect(await countOf('calls')).toBe(5)
    const rows = await testStore.rows<{ consumer: string }>(
      'SELECT consumer, tenant, route, status, gateway, toUnixTimestamp64Milli(started_at) AS startedAtMs FROM calls ORDER BY gateway, status',
    )
    expect(rows).toMatchObject([
      ...Array.from({ length: 3 }, () => ({
        gateway: 'json',
        route: '/users/{id}',
        startedAtMs: Date.parse(STARTED_AT),
      })),
      { gateway: 'table', tenant: 'acme', status: 201 },
      { gateway: 'table', tenant: 'acme', status: 202 },
    ])
    expect([...new Set(rows.map(({ consumer }) => consumer))]).toEqual([expect.stringMatching(/^key:[0-9a-f]{24}$/)])
  })

  test('leaves what still cannot be read, and says why', async () => {
    await send(broken, 'json', jsonBody)
    await send(broken, 'json', '{"t": "not whole')
    await stored('rejections', 4)
    const still = await serve(broken)
    const again = await still('POST', '/v1/rejections/replay')
    expect(again.body).toMatchObject({ calls: 0, rejected: { invalid_field: 3 }, examples: { length: 3 } })
    expect(await countOf('calls')).toBe(0)
    const gone = await serve({ ...mended, sources: createSources({}, {}) })
    expect((await gone('POST', '/v1/rejections/replay?source=json')).body).toMatchObject({
      calls: 0,
      sourcesUnknown: { json: 3 },
    })
    // A line that nobody could read might hold the key, so nothing of it was kept.
    const { counts } = (await gone('GET', '/v1/rejections/counts?reason=unreadable')).body
    expect(counts).toMatchObject([{ source: 'json', count: 1, replayable: 0, example: { input: '' } }])
  })

  test('concerns all tenants', async () => {
    const ask = await serve(mended)
    expect(await ask('POST', '/v1/rejections/replay', 'acme')).toMatchObject({ status: 403 })
    expect(await ask('GET', '/v1/rejections/counts', 'acme')).toMatchObject({ status: 200, body: { counts: [] } })
  })
})
