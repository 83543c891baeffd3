import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Control, openControl } from '../../analyzer/control/control.ts'
import { createLivePolicy } from '../../analyzer/control/live-policy.ts'
import { type LimiterRole, openLimiter } from '../../analyzer/limiter.ts'
import type { Quota } from '../../analyzer/policy/quota.ts'
import { createIdentity } from '../../collector/identity.ts'
import type { CallLog } from '../../collector/log/call-log.ts'
import type { DecisionSums } from '../../collector/log/decision-sums.ts'
import { routeOf } from '../../collector/normalize/route.ts'
import { createRoutePatterns } from '../../collector/normalize/route-patterns.ts'
import type { Principal } from '../../collector/principal.ts'
import { openStore } from '../../collector/store/open.ts'
import { createServer } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { freePorts } from '../free-ports.ts'
import { appendCalls, callRecord, openLog, quota, silent } from './limit/call-records.ts'
import { limiterOptions } from './limit/limiter-options.ts'
import { takeOver } from './limit/take-over.ts'

/** Ten minutes into an hour. */
const START_MS = Date.UTC(2026, 10, 21, 12, 10)

let dir: string
let log: CallLog
let role: LimiterRole
let server: FastifyInstance
let control: Control
let nowMs: number
let closing: (() => Promise<unknown>)[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  nowMs = START_MS
  closing = []
})
afterEach(async () => {
  await close()
  await rm(dir, { recursive: true, force: true })
})
async function close() {
  for (const each of closing.toReversed()) await each()
  closing = []
}

const principals: Record<string, Principal> = {
  gateway: { name: 'gateway', scopes: new Set(['check', 'read']), tenant: null },
  acme: { name: 'acme', scopes: new Set(['check', 'read']), tenant: 'acme' },
  admin: { name: 'admin', scopes: new Set(['check', 'read', 'admin']), tenant: null },
  reader: { name: 'reader', scopes: new Set(['read']), tenant: null },
}

/** The role as it runs, with nobody at the store's port. */
async function open(quotas: Quota[]) {
  const opened = await openLog(join(dir, 'log'))
  const [port = 0] = await freePorts(1)
  const options = { kind: 'embedded', host: '127.0.0.1', port, memoryBytesMax: 2 ** 30 } as const
  const store = await openStore(options, { dir: join(dir, 'store'), log: silent })
  const policy = createLivePolicy(quotas, ['team'])
  control = await openControl({ log: opened, onChange: policy.fold, logger: silent })
  const limiter = await openLimiter({
    options: limiterOptions({}),
    limits: { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 },
    dir: join(dir, 'limits'),
    log: opened,
    store,
    control,
    quotas,
    policy: policy.current,
    identity: createIdentity({
      fingerprintKeys: ['f'.repeat(32)],
      keys: [{ ids: ['kong-consumer-7'], consumer: 'web', tenant: 'acme' }],
    }),
    labelColumns: ['team'],
    decisionKeys: ['d'.repeat(32)],
    routeOf: path => routeOf(path, '', createRoutePatterns([])),
    verify: token => principals[token] ?? null,
    principalOf,
    logger: silent,
    now: () => nowMs,
  })
  const http = await createServer({
    role: 'limiter',
    version: '0.0.0',
    log: silent,
    routes: limiter.routes,
    verify: token => principals[token] ?? null,
    readiness: () => limiter.readiness(),
    metrics: async () => '',
    isTracing: false,
  })
  closing.push(
    () => opened.close(),
    () => store.close(),
    () => control.close(),
    () => limiter.close(),
    () => http.close(),
  )
  log = opened
  role = limiter
  server = http
}

const post = async (body: object, token = 'gateway') => {
  const response = await server.inject({
    method: 'POST',
    url: '/v1/check',
    headers: { authorization: `Bearer ${token}` },
    payload: body,
  })
  return { status: response.statusCode, body: response.json() }
}
const forward = (headers: Record<string, string>, fields: object = {}) =>
  server.inject({ method: 'GET', url: '/v1/auth', headers: { 'x-quotacast-token': 'gateway', ...headers }, ...fields })

const web = { tenant: 'acme', consumer: 'web' }
const requests = quota({ name: 'requests', unit: 'requests', limit: 3 })
const tokens = quota({ name: 'tokens', unit: 'total_tokens', limit: 1000, per: ['tenant'] })
const errors = quota({ name: 'shadow', unit: 'requests', limit: 1, enforcement: 'shadow', per: [] })

test.each(['allow', 'deny'] as const)(
  'without room for more subjects %s, and /readyz says for a minute what to do',
  async onStoreFailure => {
    await open([quota({ name: 'requests', unit: 'requests', limit: 3, onStoreFailure })])
    for (let index = 0; index < 1_000; index++) await post({ tenant: 'acme', consumer: `made-up-${index}` })
    expect((await role.readiness()).reasons).toEqual([])
    const { body } = await post(web)
    expect([body.allowed ?? false, (await post({ tenant: 'acme', consumer: 'made-up-7' })).body.degraded]).toEqual([
      onStoreFailure === 'allow',
      false,
    ])
    expect(await role.readiness()).toEqual({
      isReady: true,
      reasons: ['no room for more subjects in open windows: raise limits.bucketsMax'],
    })
    nowMs += 60_000
    expect((await role.readiness()).reasons).toEqual([])
  },
)

describe('POST /v1/check', () => {
  test('answers for every quota, denies when one is used up, and allows again after the reset', async () => {
    await open([requests, tokens, errors])
    const { body: first } = await post({ ...web, cost: { total_tokens: 100 } })
    expect(first).toEqual({
      allowed: true,
      decisionId: expect.stringMatching(/^1\./),
      nowMs: START_MS,
      asOfMs: expect.any(Number),
      binding: 'requests',
      retryAfterMs: null,
      degraded: false,
      blocked: null,
      quotas: [
        {
          quota: 'requests',
          unit: 'requests',
          limit: 3,
          used: 1,
          reserved: 0,
          remaining: 2,
          resetAtMs: START_MS + 50 * 60_000,
          countsLongerMs: 0,
          overshootMax: 0,
          enforcement: 'deny',
        },
        {
          quota: 'tokens',
          unit: 'total_tokens',
          limit: 1000,
          used: 100,
          reserved: 0,
          remaining: 900,
          resetAtMs: START_MS + 50 * 60_000,
          countsLongerMs: 0,
          overshootMax: null,
          enforcement: 'deny',
        },
        {
          quota: 'shadow',
          unit: 'requests',
          limit: 1,
          used: 1,
          reserved: 0,
          remaining: 0,
          resetAtMs: START_MS + 50 * 60_000,
          countsLongerMs: 0,
          overshootMax: null,
          enforcement: 'shadow',
        },
      ],
    })
    await post(web)
    await post(web)
    const { body: denied } = await post({ ...web, cost: { total_tokens: 100 } })
    expect(denied).toMatchObject({ allowed: false, decisionId: null, binding: 'requests', retryAfterMs: 50 * 60_000 })
    expect(denied.quotas[1].used).toBe(100)
    nowMs = START_MS + denied.retryAfterMs
    expect((await post(web)).body).toMatchObject({ allowed: true, quotas: [{ used: 1 }, {}, {}] })
  })

  test('decides an array in order, spends nothing in a dry run, and knows the consumer by any of its ids', async () => {
    await open([requests])
    const asks = [{ ...web, dryRun: true }, { consumer: 'kong-consumer-7' }, { ...web, cost: { requests: 2 } }, web]
    const { body } = await post(asks)
    expect(
      body.map((one: { allowed: boolean; quotas: { used: number }[] }) => [one.allowed, one.quotas[0]?.used]),
    ).toEqual([
      [true, 0],
      [true, 1],
      [true, 3],
      [false, 3],
    ])
    expect(body[0].decisionId).toBeNull()
  })

  test('a stated cost that can never fit is an error, and no check of the request spends', async () => {
    await open([requests, tokens])
    const { status, body } = await post([web, { ...web, cost: { total_tokens: 1001 } }])
    expect([status, body.code]).toEqual([400, 'cost_exceeds_limit'])
    expect((await post({ ...web, dryRun: true })).body.quotas[0].used).toBe(0)
  })

  test('a limit of 0 denies, and waiting does not help', async () => {
    await open([quota({ name: 'none', unit: 'requests', limit: 0 })])
    expect((await post(web)).body).toMatchObject({ allowed: false, binding: 'none', retryAfterMs: null })
  })

  test('a token of one tenant speaks for it alone; others need the scope', async () => {
    await open([tokens])
    expect((await post({ tenant: 'globex', consumer: 'x' }, 'acme')).status).toBe(403)
    await post({ consumer: 'web', cost: { total_tokens: 7 } }, 'acme')
    expect((await post({ ...web, dryRun: true })).body.quotas[0].used).toBe(7)
    expect((await post(web, 'reader')).status).toBe(403)
    expect((await post(web, 'nobody')).status).toBe(401)
  })

  test('dimensions choose the quota; unknown ones and unknown keys are errors', async () => {
    await open([quota({ name: 'search', match: { team: 'search', model: 'gpt-*' }, unit: 'requests' }, ['team'])])
    const dimensions = { team: 'search', model: 'gpt-5' }
    expect((await post({ ...web, dimensions })).body.quotas).toHaveLength(1)
    expect((await post({ ...web, dimensions: { ...dimensions, model: 'claude' } })).body).toMatchObject({
      allowed: true,
      binding: null,
      quotas: [],
    })
    expect((await post({ ...web, dimensions: { region: 'eu' } })).body).toMatchObject({ code: 'unknown_dimension' })
    expect((await post({ ...web, colour: 'red' })).status).toBe(400)
    expect((await post({ ...web, cost: { total_tokens: -1 } })).status).toBe(400)
    expect((await post([])).status).toBe(400)
  })

  test('a raw credential becomes its fingerprint', async () => {
    await open([requests])
    const [secret] = ['sk-proj-1234567890abcdefghij']
    await post({ tenant: 'acme', credential: secret })
    const consumer = createIdentity({ fingerprintKeys: ['f'.repeat(32)], keys: [] }).fingerprint(secret ?? '')
    expect((await post({ tenant: 'acme', consumer, dryRun: true })).body.quotas[0].used).toBe(1)
  })
})

describe('windows without a reset', () => {
  const asked = async (fields: object = {}) => (await post({ ...web, ...fields })).body
  const minute = (kind: string, fields: object = {}) =>
    quota({ name: kind, unit: 'requests', limit: 4, window: { kind, everySeconds: 60, ...fields } })
  const reset = (name: string) =>
    server.inject({
      method: 'POST',
      url: '/v1/resets',
      headers: { authorization: 'Bearer admin' },
      payload: { quota: name, subject: { consumer: 'web' } },
    })

  test('a sliding window says how long to wait, how much too strict it is at most, and forgets a reset', async () => {
    await open([minute('sliding', { slots: 4 })])
    for (let call = 0; call < 4; call += 1) expect((await asked()).allowed).toBe(true)
    nowMs += 7_000
    const denied = await asked()
    expect(denied).toMatchObject({ allowed: false, binding: 'sliding', quotas: [{ countsLongerMs: 15_000, used: 4 }] })
    nowMs += denied.retryAfterMs - 1
    expect((await asked()).allowed).toBe(false)
    nowMs += 1
    expect(await asked()).toMatchObject({ allowed: true, quotas: [{ used: 1, remaining: 3 }] })
    expect((await reset('sliding')).json()).toMatchObject({ used: 1 })
    expect(await asked()).toMatchObject({ quotas: [{ used: 1, limit: 4, remaining: 3 }] })
  })

  test('a rate lets a burst pass, then as much as drains, and forgets a reset', async () => {
    await open([minute('rate', { burst: 2 })])
    expect([(await asked()).allowed, (await asked()).allowed]).toEqual([true, true])
    expect(await asked()).toMatchObject({
      ...{ allowed: false, retryAfterMs: 15_000 },
      quotas: [{ limit: 4, used: 2, remaining: 0, resetAtMs: nowMs + 30_000 }],
    })
    nowMs += 14_999
    expect((await asked()).allowed).toBe(false)
    nowMs += 1
    expect((await asked()).allowed).toBe(true)
    expect((await post({ ...web, cost: { requests: 3 } })).status).toBe(400)
    expect((await reset('rate')).json()).toMatchObject({ used: 2 })
    expect(await asked()).toMatchObject({ allowed: true, quotas: [{ used: 1, remaining: 1 }] })
  })

  test('what is under way is let go by its record, or at the deadline', async () => {
    const options = { unit: 'concurrent_requests', window: undefined, limit: 2, reservation: { ttlSeconds: 30 } }
    await open([quota({ name: 'held', ...options }), tokens])
    const first = await asked({ cost: { total_tokens: 100 } })
    await asked({ requestId: 'r1', dimensions: { gateway: 'kong' } })
    expect(first.quotas[0]).toMatchObject({ unit: 'concurrent_requests', used: 0, reserved: 1, remaining: 1 })
    expect(await asked()).toMatchObject({ allowed: false, binding: 'held', retryAfterMs: 31_000 })
    const times = { startedAtMs: nowMs, arrivedAtMs: nowMs }
    await appendCalls(log, [callRecord({ ...times, decisionId: first.decisionId, totalTokens: 70 })])
    const underWay = async () => (await asked({ dryRun: true })).quotas[0].reserved
    await expect.poll(underWay).toBe(1)
    expect((await asked({ dryRun: true })).quotas[1].used).toBe(70)
    nowMs += 31_000
    await expect.poll(underWay).toBe(0)
    expect((await reset('held')).statusCode).toBe(400)
  })
})

describe('forward-auth', () => {
  const headers = { 'x-quotacast-tenant': 'acme', 'x-quotacast-consumer': 'web', 'x-forwarded-uri': '/v1/chat?x=1' }

  test('lets calls of any method pass until the quota is used up, then says when to come again', async () => {
    await open([requests, errors])
    for (const method of ['GET', 'POST', 'DELETE']) {
      const payload = method === 'GET' ? {} : { payload: '<x/>' }
      const response = await forward({ ...headers, 'content-type': 'application/xml' }, { method, ...payload })
      expect([response.statusCode, response.body]).toEqual([200, ''])
      expect(response.headers['x-quotacast-decision-id']).toMatch(/^1\./)
    }
    const denied = await forward(headers)
    expect(denied.statusCode).toBe(429)
    expect(denied.headers).toMatchObject({
      'retry-after': String(50 * 60),
      ratelimit: '"requests";r=0;t=3000',
      'ratelimit-policy': '"requests";q=3;w=3600;qu="request"',
      'content-type': expect.stringContaining('application/problem+json'),
    })
    expect(denied.json()).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      'violated-policies': ['requests'],
    })
    nowMs += 50 * 60_000
    expect((await forward(headers)).statusCode).toBe(200)
  })

  test('takes the token from the path, and the caller from Authorization', async () => {
    await open([requests])
    const authorization = 'Bearer sk-proj-1234567890abcdefghij'
    const ask = () => server.inject({ method: 'HEAD', url: '/v1/auth/gateway', headers: { authorization } })
    for (const status of [200, 200, 200, 429]) expect((await ask()).statusCode).toBe(status)
    expect((await forward(headers)).statusCode).toBe(200)
    const anonymous = await server.inject({
      method: 'GET',
      url: '/v1/auth',
      headers: { authorization: 'Bearer gateway' },
    })
    expect(anonymous.statusCode).toBe(401)
  })

  test('does not mind what the call says of its body, not even nonsense', async () => {
    await open([])
    for (const type of ['x', ';;', 'text/', '"']) {
      const response = await forward({ ...headers, 'content-type': type }, { method: 'POST', payload: 'abc' })
      expect([type, response.statusCode]).toEqual([type, 200])
    }
  })

  test('an empty Authorization is nobody, as in call records', async () => {
    await open([quota({ name: 'nobody', unit: 'requests', limit: 1, per: ['consumer'] })])
    expect((await forward({ authorization: '' })).statusCode).toBe(200)
    expect((await forward({})).statusCode).toBe(429)
  })

  test('replaces ids of the path as call records do, and reads costs', async () => {
    await open([quota({ name: 'route', match: { route: '/users/{id}' }, unit: 'total_tokens', limit: 100, per: [] })])
    const ask = (cost: string) =>
      forward({ ...headers, 'x-forwarded-uri': '/users/4711?q=1', 'x-quotacast-cost': cost })
    expect((await ask('total_tokens=60, requests=1')).headers.ratelimit).toBe('"route";r=40;t=3000')
    // The caller did not choose it: more than the limit is a denial here.
    const never = await ask('total_tokens=101')
    expect([never.statusCode, never.headers['retry-after']]).toEqual([429, undefined])
    for (const cost of ['tokens=1', 'total_tokens', 'total_tokens=1.5', '1=2=3']) {
      expect((await ask(cost)).statusCode).toBe(400)
    }
  })
})

describe('the role', () => {
  test('decides and can be restarted while the store is away; what was used is kept', async () => {
    await open([requests, tokens])
    await post({ ...web, cost: { total_tokens: 300 } })
    await close()
    await open([requests, quota({ name: 'tokens', unit: 'total_tokens', limit: 400, per: ['tenant'] })])
    expect(await role.readiness()).toEqual({ isReady: true, reasons: [] })
    // A limit that was changed in the middle of a window acts on what was used.
    expect((await post({ ...web, cost: { total_tokens: 300 } })).body).toMatchObject({
      allowed: false,
      binding: 'tokens',
      quotas: [{ used: 1 }, { used: 300, limit: 400, remaining: 100 }],
    })
  })

  test('settles checks from the log by either id, and names gateways that hand none on', async () => {
    await open([tokens])
    const kong = { ...web, dimensions: { gateway: 'kong' } }
    const { body } = await post({ ...kong, cost: { total_tokens: 500 } })
    await post({ ...kong, requestId: 'r1', cost: { total_tokens: 400 } })
    const times = { startedAtMs: nowMs, arrivedAtMs: nowMs }
    await appendCalls(log, [
      callRecord({ ...times, decisionId: body.decisionId, totalTokens: 20 }),
      callRecord({ ...times, requestId: 'r1', totalTokens: 30 }),
      callRecord({ ...times, totalTokens: 40 }),
    ])
    const usedNow = async () => (await post({ ...web, dryRun: true })).body.quotas[0].used
    await expect.poll(usedNow).toBe(90)
    const status = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` }
      return (await server.inject({ method: 'GET', url: '/v1/status', headers })).json()
    }
    expect(await status('reader')).toMatchObject({
      role: 'limiter',
      records: { linked: 2, unlinked: 1 },
      unavailable: null,
      gatewaysWithoutIds: [
        { gateway: 'kong', checks: 2, recordsWithoutId: 1, hint: expect.stringContaining('decisionId') },
      ],
    })
    expect((await status('acme')).gatewaysWithoutIds).toEqual([])
  })

  test('holds the limit of a caller whom its question names and its log does not', async () => {
    await open([requests])
    for (let call = 0; call < 2; call += 1) {
      const { decisionId } = (await post(web)).body
      await appendCalls(log, [callRecord({ tenant: 'acme', consumer: null, startedAtMs: nowMs, decisionId })])
    }
    const headers = { authorization: 'Bearer reader' }
    const records = async () => (await server.inject({ url: '/v1/status', headers })).json().records
    await expect.poll(records).toMatchObject({ linked: 2 })
    expect((await post({ ...web, dryRun: true })).body).toMatchObject({ quotas: [{ quota: 'requests', used: 2 }] })
  })

  test('settles a reservation from the log, learns what its call cost, and says how good its estimates are', async () => {
    await open([tokens])
    const inject = async (method: 'GET' | 'POST', url: string, payload?: object) => {
      const headers = { authorization: 'Bearer gateway' }
      return (await server.inject({ method, url, headers, ...(payload && { payload }) })).json()
    }
    const reserved = await inject('POST', '/v1/reservations', { ...web, cost: { total_tokens: 900 } })
    await appendCalls(
      log,
      Array.from({ length: 30 }, (_, call) =>
        callRecord({ ...web, totalTokens: 20, startedAtMs: nowMs, ...(call === 0 && { decisionId: reserved.id }) }),
      ),
    )
    const status = () => inject('GET', '/v1/status')
    await expect.poll(async () => (await status()).records).toMatchObject({ linked: 1, unlinked: 29 })
    expect((await inject('POST', '/v1/reservations/settle', { id: reserved.id })).outcome).toBe('already_settled')
    expect((await inject('GET', '/v1/reservations')).reservations).toEqual([])
    expect((await inject('POST', '/v1/reservations', web)).held).toMatchObject([{ quota: 'tokens', estimated: true }])
    expect((await status()).estimates).toMatchObject({ quantile: 0.5, calls: 9, overrunRate: 0, needlessRate: null })
    const { quotas, past } = await inject('GET', `/v1/explain?tenant=acme&consumer=web&atMs=${nowMs}`)
    expect(quotas).toMatchObject([{ quota: 'tokens', used: 600 }])
    expect(past).toEqual([expect.stringContaining('the store does not answer')])
  })

  test('hands on the sums of its decisions per minute, quota and bucket', async () => {
    await open([requests, errors])
    for (let turn = 0; turn < 5; turn += 1) await post(web)
    await post({ tenant: 'acme', consumer: 'app' })
    await role.close()
    const { entries } = await log.read('decisions', 0, 0, 100)
    const sums: DecisionSums[] = entries.map(({ value }) => JSON.parse(value))
    const common = { sumId: expect.any(String), minuteMs: START_MS, unit: 'requests' }
    const of = { ...common, quota: 'requests', tenant: null }
    expect(sums).toEqual([
      { ...of, subject: { consumer: 'web' }, consumer: 'web', allowed: 3, denied: 2, spent: 3, deniedCost: 2 },
      { ...of, subject: { consumer: 'app' }, consumer: 'app', allowed: 1, denied: 0, spent: 1, deniedCost: 0 },
      {
        ...common,
        quota: 'shadow',
        subject: {},
        tenant: null,
        consumer: null,
        allowed: 4,
        denied: 0,
        spent: 4,
        deniedCost: 0,
      },
    ])
  })

  test('answers as configured when the limit store was taken over', async () => {
    const strict = quota({ name: 'strict', unit: 'requests', onStoreFailure: 'deny', match: { consumer: 'web' } })
    await open([requests, strict])
    expect(await role.readiness()).toEqual({ isReady: true, reasons: [] })
    closing.push(await takeOver(join(dir, 'limits')))
    await post(web)
    await expect
      .poll(() => role.readiness())
      .toEqual({ isReady: false, reasons: [expect.stringContaining('taken over')] })
    expect((await post(web)).body).toMatchObject({
      allowed: false,
      degraded: true,
      binding: 'strict',
      retryAfterMs: 1000,
    })
    expect((await post({ consumer: 'app' })).body).toMatchObject({ allowed: true, degraded: true, decisionId: null })
    const denied = await forward({ 'x-quotacast-consumer': 'web' })
    expect([denied.statusCode, denied.json().type]).toEqual([
      429,
      expect.stringContaining('temporary-reduced-capacity'),
    ])
  })
})

describe('what changes at run time', () => {
  const change = (kind: 'quota' | 'override' | 'grant' | 'block', key: string, value: unknown) =>
    control.change({ kind, key, version: control.current(kind, key).version, value, by: 'test', reason: null })
  const remaining = async () => (await post({ ...web, dryRun: true })).body.quotas[0]?.remaining

  test('a quota acts from the next call on, a raised limit keeps what was used, and a removed one is gone', async () => {
    await open([])
    const { options } = requests
    expect((await post(web)).body.quotas).toEqual([])
    await change('quota', 'requests', options)
    for (let call = 0; call < 3; call += 1) expect((await post(web)).body.allowed).toBe(true)
    expect((await post(web)).body.allowed).toBe(false)
    await change('quota', 'requests', { ...options, limit: 5 })
    expect(await remaining()).toBe(2)
    await change('quota', 'requests', { ...options, limit: 2 })
    expect((await post(web)).body).toMatchObject({ allowed: false, quotas: [{ used: 3, limit: 2, remaining: 0 }] })
    await change('quota', 'requests', null)
    expect((await post(web)).body.quotas).toEqual([])
  })

  test('an override is for one subject, a grant for its time', async () => {
    await open([requests])
    const subject = { consumer: 'web' }
    await change('override', 'web', { quota: 'requests', subject, limit: 10 })
    expect(await remaining()).toBe(10)
    expect((await post({ ...web, consumer: 'other', dryRun: true })).body.quotas[0].limit).toBe(3)
    const grant = { quota: 'requests', subject: null, amount: 5, fromMs: nowMs + 1_000, untilMs: nowMs + 2_000 }
    await change('grant', 'sale', grant)
    expect(await remaining()).toBe(10)
    nowMs += 1_500
    expect(await remaining()).toBe(15)
    nowMs += 1_000
    expect(await remaining()).toBe(10)
    await change('override', 'web', { quota: 'requests', subject, limit: 0 })
    expect((await post(web)).body).toMatchObject({ allowed: false, retryAfterMs: null })
  })

  test('a reset forgets what one subject used, in this window, also after a restart', async () => {
    await open([requests])
    for (let call = 0; call < 3; call += 1) await post(web)
    await post({ ...web, consumer: 'other' })
    const reset = (body: object, token = 'admin') =>
      server.inject({ method: 'POST', url: '/v1/resets', headers: { authorization: `Bearer ${token}` }, payload: body })
    const subject = { consumer: 'web' }
    expect((await reset({ quota: 'requests', subject }, 'reader')).statusCode).toBe(403)
    expect((await reset({ quota: 'none', subject })).statusCode).toBe(404)
    expect((await reset({ quota: 'requests', subject: { tenant: 'acme' } })).statusCode).toBe(400)
    const ofRawKey = await reset({ quota: 'requests', subject: { consumer: 'sk-proj-a1b2c3d4e5f6g7h8i9j0' } })
    expect([ofRawKey.statusCode, ofRawKey.body]).toEqual([400, expect.stringContaining('say key:')])
    const answer = await reset({ quota: 'requests', subject, reason: 'goodwill' })
    expect(answer.json()).toEqual({ used: 3, untilMs: START_MS + 50 * 60_000 })
    expect((await post(web)).body.quotas[0]).toMatchObject({ used: 1, limit: 3, remaining: 2 })
    expect((await post({ ...web, consumer: 'other', dryRun: true })).body.quotas[0].used).toBe(1)
    await close()
    await open([requests])
    expect((await post({ ...web, dryRun: true })).body.quotas[0]).toMatchObject({ used: 1, remaining: 2 })
    nowMs += 50 * 60_000
    expect((await post({ ...web, dryRun: true })).body.quotas[0]).toMatchObject({ used: 0, limit: 3, remaining: 3 })
  })

  test('a reset forgets what calls of before will have cost, and leaves no room for what they did not take', async () => {
    await open([quota({ name: 'tokens', limit: 100 })])
    const costs = (units: number) => ({ ...web, cost: { total_tokens: units } })
    const { decisionId } = (await post(costs(60))).body
    const reservations = async (path: string, payload: object) => {
      const headers = { authorization: 'Bearer gateway' }
      return (await server.inject({ method: 'POST', url: `/v1/reservations${path}`, headers, payload })).json()
    }
    const { id } = await reservations('', costs(30))
    nowMs += 1_000
    const reset = { quota: 'tokens', subject: { consumer: 'web' } }
    const headers = { authorization: 'Bearer admin' }
    expect((await server.inject({ method: 'POST', url: '/v1/resets', headers, payload: reset })).json().used).toBe(60)
    expect((await post(costs(1))).body.quotas[0]).toMatchObject({ used: 1, reserved: 0, limit: 100, remaining: 99 })
    nowMs += 1_000
    await appendCalls(log, [
      callRecord({ decisionId, totalTokens: 10, startedAtMs: START_MS }),
      callRecord({ totalTokens: 25, startedAtMs: START_MS }),
      callRecord({ totalTokens: 3, startedAtMs: nowMs }),
    ])
    expect(await reservations('/settle', { id, cost: { total_tokens: 50 } })).toMatchObject({ outcome: 'settled' })
    const now = async () => (await post({ ...costs(0), dryRun: true })).body.quotas[0]
    await expect.poll(now).toMatchObject({ used: 3, reserved: 0, remaining: 97 })
    expect((await post(costs(98))).body.allowed).toBe(false)
  })

  test('whoever is blocked does not pass, by any door, until then', async () => {
    await open([requests])
    await change('block', 'thief', { what: 'consumer', value: 'web', untilMs: nowMs + 1_000 })
    await change('block', 'range', { what: 'address', value: '203.0.113.0/24', untilMs: null })
    expect((await post(web)).body).toMatchObject({
      allowed: false,
      blocked: 'consumer',
      retryAfterMs: 1_000,
      quotas: [],
    })
    const asWeb = { 'x-quotacast-tenant': 'acme', 'x-quotacast-consumer': 'web' }
    const refused = await forward(asWeb)
    expect(refused.statusCode).toBe(403)
    expect(refused.headers['content-type']).toContain('application/problem+json')
    nowMs += 1_000
    expect((await forward(asWeb)).statusCode).toBe(200)
    // The last hop is what the gateway saw itself; what stands before it is the client's own word.
    expect((await forward({ ...asWeb, 'x-forwarded-for': '203.0.113.9, 198.51.100.1' })).statusCode).toBe(200)
    expect((await forward({ ...asWeb, 'x-forwarded-for': '198.51.100.1, 203.0.113.9' })).statusCode).toBe(403)
    expect((await post({ ...web, clientIp: '::ffff:203.0.113.9' })).body).toMatchObject({ blocked: 'address' })
  })
})
