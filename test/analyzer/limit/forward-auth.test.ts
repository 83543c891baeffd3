import { once } from 'node:events'
import { request } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { createLocalCounters } from '../../../analyzer/limit/local-counters.ts'
import { testQuota } from '../quotas.ts'
import { type DoorWorld, type DoorWorldOptions, openDoors, START_MS } from './door-world.ts'

let doors: DoorWorld
afterEach(() => doors.close())
const open = async (options: DoorWorldOptions) => {
  doors = await openDoors(options)
}

const requests = testQuota({ name: 'requests', limit: 1 })
const web = { 'x-quotacast-token': 'gateway', 'x-quotacast-tenant': 'acme', 'x-quotacast-consumer': 'web' }
const ask = async (path: string, init: RequestInit = {}, headers: Record<string, string> = web) => {
  const response = await fetch(`${doors.url}${path}`, { ...init, headers: { ...headers, ...init.headers } })
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
}

/** With header fields as they are: names and values in turn. */
async function askRaw(path: string, fields: readonly string[]) {
  const sending = request(`${doors.url}${path}`, { headers: [...fields, 'Host', 'limiter'], agent: false }).end()
  const [response] = await once(sending, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { statusCode: response.statusCode, headers: response.headers, body }
}

test.each(['/v1/auth', '/v1/auth/nginx', '/v1/auth/envoy/any'])(
  '%s says who calls, for the log of the gateway, and tells callers who are denied nothing of it',
  async path => {
    await open({ quotas: [requests], keys: [{ ids: ['a-user'], consumer: 'web', tenant: 'acme' }] })
    const named = { 'x-quotacast-token': 'gateway', 'x-quotacast-consumer': 'a-user' }
    expect((await ask(path, {}, named)).headers['x-quotacast-consumer']).toBe('web')
    const denied = await ask(path, {}, named)
    expect([denied.status, denied.headers['x-quotacast-consumer']]).toEqual([
      path.endsWith('nginx') ? 403 : 429,
      undefined,
    ])
    const byKey = { 'x-quotacast-token': 'gateway', 'x-api-key': 'sk-12345678901234567890' }
    expect((await ask(path, {}, byKey)).headers['x-quotacast-consumer']).toMatch(/^key:[0-9a-f]{24}$/)
  },
)

test('a consumer whose name no header can hold is let pass, and not told', async () => {
  await open({ quotas: [testQuota({ name: 'requests', limit: 4 })] })
  for (const method of ['GET', 'POST']) {
    const passed = await ask('/v1/auth', { method }, { ...web, 'x-quotacast-consumer': 'gr\u00f6\u00dfe' })
    expect([passed.status, passed.headers['x-quotacast-consumer']]).toEqual([200, undefined])
  }
})

test.each([
  ['/v1/auth', 400, undefined],
  ['/v1/auth/nginx', 403, '400'],
  ['/v1/auth/envoy/any', 400, undefined],
])(
  '%s refuses a call with two credentials of one name: it is not known which of them is checked',
  async (path, status, meant) => {
    await open({ quotas: [requests] })
    for (const name of ['X-Api-Key', 'Authorization', 'X-Quotacast-Consumer']) {
      const { statusCode, headers, body } = await askRaw(path, [
        'X-Quotacast-Token',
        'acme',
        name,
        'one',
        name.toLowerCase(),
        'two',
      ])
      expect([statusCode, headers['x-quotacast-status']]).toEqual([status, meant])
      expect(JSON.parse(body).detail).toBe(`${name.toLowerCase()} is there more than once: send it once`)
    }
    // The gateway may have found the consumer by the other one of them.
    const named = ['X-Quotacast-Token', 'acme', 'X-Quotacast-Consumer', 'web', 'X-Api-Key', 'one', 'X-Api-Key', 'two']
    expect((await askRaw(path, named)).statusCode).toBe(status)
    const others = ['X-Quotacast-Token', 'acme', 'X-Forwarded-For', '192.0.2.1', 'X-Forwarded-For', '192.0.2.2']
    expect((await askRaw(path, others)).statusCode).toBe(200)
  },
)

test('how the body of the call is compressed is no concern of a door that does not read it', async () => {
  await open({ quotas: [testQuota({ name: 'requests', limit: 4 })] })
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  expect((await ask('/v1/auth', { method: 'POST', body: '{}', headers })).status).toBe(200)
})

test('the reference says that the gateway has no bearer token here', async () => {
  await open({ quotas: [requests] })
  const { paths } = JSON.parse((await ask('/openapi.json', {}, { authorization: 'Bearer admin' })).body)
  expect(paths['/v1/auth'].get.security).toEqual([{ token: [] }])
  expect(paths['/v1/auth/nginx'].post.security).toEqual([{ token: [] }])
  expect(paths['/v1/auth/{token}'].get.security).toEqual([])
})

describe('the profile of nginx', () => {
  test('says 403 for a denial, beside the status that it means', async () => {
    await open({ quotas: [requests] })
    const passed = await ask('/v1/auth/nginx')
    expect(passed).toMatchObject({ status: 200, headers: { 'x-quotacast-status': '200' } })
    expect(passed.headers['x-quotacast-decision-id']).toMatch(/^1\./)
    const denied = await ask('/v1/auth/nginx')
    expect(denied).toMatchObject({
      status: 403,
      headers: { 'x-quotacast-status': '429', 'retry-after': '3000', ratelimit: '"requests";r=0;t=3000' },
    })
  })

  test('tells a block and an unknown key apart from a denial', async () => {
    const block = { what: 'consumer', value: 'web', untilMs: null } as const
    const limiter = { callers: { forwardAuth: { unknownKeys: 'deny' } } }
    await open({ quotas: [requests], adjustments: { blocks: [block] }, limiter })
    expect(await ask('/v1/auth/nginx')).toMatchObject({ status: 403, headers: { 'x-quotacast-status': '403' } })
    const unknown = await ask(
      '/v1/auth/nginx',
      {},
      { 'x-quotacast-token': 'gateway', authorization: 'Bearer sk-12345678901234567890' },
    )
    expect(unknown).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
  })

  test('reads the URI where nginx and ingress-nginx write it', async () => {
    await open({ quotas: [testQuota({ name: 'route', per: ['route'], limit: 1 })] })
    expect((await ask('/v1/auth/nginx', { headers: { 'x-original-uri': '/users/1?x' } })).status).toBe(200)
    const url = 'https://api.example/users/2?y'
    expect((await ask('/v1/auth/nginx', { headers: { 'x-original-url': url } })).status).toBe(403)
  })
})

test.each(['größe', 'voilà'])(
  'the consumer %s is the same one at every door, quickly answered or not',
  async consumer => {
    await open({ quotas: [testQuota({ name: 'requests', limit: 4 })] })
    const call = { method: 'POST', body: JSON.stringify({ tenant: 'acme', consumer }) }
    const asJson = { authorization: 'Bearer gateway', 'content-type': 'application/json' }
    expect((await ask('/v1/check', call, asJson)).status).toBe(200)
    // As gateways that know no characters send them, then as those that know Latin-1 only.
    for (const [encoding, path, left] of [
      ['utf8', '/v1/auth', 2],
      ['utf8', '/v1/auth/envoy/', 1],
      ['latin1', '/v1/auth', 0],
    ] as const) {
      const sent = Buffer.from(consumer, encoding).toString('latin1')
      const { headers } = await ask(path, { headers: { 'x-quotacast-consumer': sent } })
      expect(headers.ratelimit).toMatch(new RegExp(`r=${left};`))
    }
  },
)

test('any method asks, as gateways may hand on that of the call', async () => {
  await open({ quotas: [testQuota({ name: 'requests', limit: 100 })] })
  for (const path of ['/v1/auth', '/v1/auth/gateway', '/v1/auth/nginx']) {
    for (const method of ['PROPFIND', 'QUERY', 'LOCK', 'OPTIONS']) {
      expect([path, method, (await ask(path, { method })).status]).toEqual([path, method, 200])
    }
  }
})

describe('the profile of Envoy', () => {
  test('takes any path behind its prefix, and any method', async () => {
    await open({ quotas: [testQuota({ name: 'route', per: ['route'], limit: 2 })] })
    for (const [method, path, status] of [
      ['PROPFIND', '/users/1?x=%2F', 200],
      ['OPTIONS', '/users/2', 200],
      ['SEARCH', '/users/3', 429],
      ['GET', '/', 200],
      ['GET', '/nginx', 200],
      ['QUERY', '/queried', 200],
      ['GET', '/100%', 200],
      ['GET', '/%C0%AF?x=%20&y=%', 200],
    ] as const) {
      const answer = await ask(`/v1/auth/envoy${path}`, { method })
      expect([method, path, answer.status]).toEqual([method, path, status])
    }
    expect((await ask('/v1/auth/envoy/x', {}, { authorization: 'Bearer gateway' })).status).toBe(401)
  })
})

describe('who calls', () => {
  test('may be in the query of the call, or a key longer than any name', async () => {
    const limiter = { callers: { forwardAuth: { credential: ['query:api_key', 'bearer'] } } }
    await open({ quotas: [requests], limiter })
    const gateway = { 'x-quotacast-token': 'gateway', 'x-quotacast-tenant': 'acme' }
    const byQuery = (key: string) => ask('/v1/auth', { headers: { 'x-forwarded-uri': `/x?api_key=${key}` } }, gateway)
    expect([(await byQuery('a')).status, (await byQuery('a')).status, (await byQuery('b')).status]).toEqual([
      200, 429, 200,
    ])
    const token = 'x'.repeat(2_000)
    const byToken = () => ask('/v1/auth', { headers: { authorization: `Bearer ${token}` } }, gateway)
    expect([(await byToken()).status, (await byToken()).status]).toEqual([200, 429])
  })
})

test('the old header fields come beside the new ones, where config says so', async () => {
  await open({ quotas: [requests], limiter: { legacyHeaders: true } })
  expect((await ask('/v1/auth')).headers).toMatchObject({
    ...{ ratelimit: '"requests";r=0;t=3000', 'x-ratelimit-limit': '1' },
    ...{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '3000' },
  })
})

test.each([
  { limit: 500, ratelimit: '"key";r=0;t=3000', policy: '"key";q=500;w=3600;qu="request"', old: '500' },
  { limit: null, ratelimit: '"key";r=0;t=3000', policy: undefined, old: undefined },
])(
  'while the provider refuses, headers show the limit that it said: $limit',
  async ({ limit, ratelimit, policy, old }) => {
    const key = testQuota({ name: 'key', per: ['providerKey'], limit: 'upstream' })
    const said = { quota: 'key', subject: { providerKey: '' }, limit, elsewhere: 0, untilMs: START_MS }
    const learned = [{ ...said, deniedUntilMs: START_MS + 5_000 }]
    await open({ quotas: [key], adjustments: { learned }, limiter: { legacyHeaders: true } })
    const { status, headers } = await ask('/v1/auth')
    expect([status, headers['retry-after'], headers['x-ratelimit-remaining']]).toEqual([429, '5', '0'])
    expect([headers.ratelimit, headers['ratelimit-policy'], headers['x-ratelimit-limit']]).toEqual([
      ratelimit,
      policy,
      old,
    ])
  },
)

test('an approximate answer says so, and is no word of a used-up quota', async () => {
  const strict = testQuota({ name: 'strict', onStoreFailure: 'deny', match: { consumer: 'web' } })
  let isAway = false
  const wrap = (store: LimitStore): LimitStore => {
    const alone = createLocalCounters('alone', createLastKnown(), store.nowMs())
    const decide: LimitStore['decide'] = async asked =>
      isAway ? alone.decide(asked, store.nowMs()) : store.decide(asked)
    return { ...store, decideAtOnce: null, decide }
  }
  await open({ quotas: [requests, strict], wrap })
  expect((await ask('/v1/auth')).headers).not.toHaveProperty('x-quotacast-degraded')
  isAway = true
  const app = { ...web, 'x-quotacast-consumer': 'app' }
  const passed = await ask('/v1/auth', {}, app)
  expect(passed).toMatchObject({ status: 200, headers: { 'x-quotacast-degraded': 'true' } })
  expect(passed.headers).not.toHaveProperty('x-quotacast-decision-id')
  const denied = await ask('/v1/auth')
  expect(denied).toMatchObject({ status: 429, headers: { 'x-quotacast-degraded': 'true', 'retry-after': '1' } })
  expect(JSON.parse(denied.body)).toMatchObject({
    type: expect.stringContaining('#temporary-reduced-capacity'),
    'violated-policies': ['strict'],
  })
})
