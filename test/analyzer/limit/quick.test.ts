import { afterEach, describe, expect, test } from 'vitest'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { testQuota } from '../quotas.ts'
import { type DoorWorld, openDoors } from './door-world.ts'

const quotas = [
  testQuota({ name: 'requests', limit: 3 }),
  testQuota({ name: 'tokens', unit: 'total_tokens', limit: 1_000 }),
]
const keys = [{ ids: ['app-1'], consumer: 'app', tenant: 'acme' }]
const blocks = [{ what: 'consumer', value: 'bad', untilMs: null }] as const
/** What says nothing of a request, and ids of decisions, whose signature covers the epoch of a store. */
const IGNORED = ['date', 'connection', 'keep-alive', 'x-quotacast-decision-id']

let worlds: DoorWorld[] = []
afterEach(async () => {
  for (const world of worlds) await world.close()
  worlds = []
})

const check = (body: unknown, headers: Record<string, string> = {}) => ({
  path: '/v1/check',
  init: {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer gateway', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  },
})
const auth = (headers: Record<string, string> = {}, path = '/v1/auth', method = 'GET') => ({
  path,
  init: { method, headers: { 'x-quotacast-token': 'gateway', 'x-quotacast-consumer': 'web', ...headers } },
})

const CASES = {
  'a check': [check({ consumer: 'web' }), check({ consumer: 'web', cost: { total_tokens: 400 }, requestId: 'r' })],
  'checks until one is denied': Array.from({ length: 4 }, () => check({ consumer: 'web' })),
  'a dry run, a key of config, a blocked consumer': [
    check({ consumer: 'web', dryRun: true }),
    check({ consumer: 'app-1' }),
    check({ consumer: 'bad' }),
  ],
  'several checks, and none': [check([{ consumer: 'web' }, { consumer: 'web' }]), check([]), check({})],
  'bodies that are wrong': [
    check('{'),
    check(''),
    check('{"__proto__":{"tenant":"x"},"consumer":"web"}'),
    check({ consumer: 'web', costs: {} }),
    check({ consumer: 'web', dimensions: { planet: 'mars' } }),
    check({ consumer: 'web', cost: { total_tokens: 1_001 } }),
    check({ consumer: 'web', cost: { total_tokens: -1 } }),
    check({ consumer: 'x'.repeat(20_000) }),
    check({ consumer: 'web' }, { 'content-type': 'text/plain' }),
    check({ consumer: 'web' }, { 'content-type': 'application/json; charset=utf-8' }),
  ],
  'callers who may not': [
    check({ consumer: 'web' }, { authorization: 'Bearer nobody' }),
    check({ consumer: 'web' }, { authorization: '' }),
    check({ consumer: 'web' }, { authorization: 'Bearer reader' }),
    check({ consumer: 'web', tenant: 'other' }, { authorization: 'Bearer acme' }),
    auth({ 'x-quotacast-token': 'nobody' }),
    auth({ 'x-quotacast-token': '', authorization: 'Bearer gateway' }),
    auth({ 'x-quotacast-token': 'acme', 'x-quotacast-tenant': 'other' }),
  ],
  'forward-auth until it is denied': Array.from({ length: 4 }, () => auth()),
  'forward-auth with everything': [
    auth({ 'x-quotacast-cost': 'total_tokens=1_0' }),
    auth({ 'x-quotacast-cost': 'total_tokens=10', 'x-forwarded-uri': '/v1/users/12?a=b', 'x-quotacast-model': 'm' }),
    auth({ 'x-quotacast-consumer': 'bad' }),
    auth({}, '/v1/auth?query'),
    auth({}, '/v1/auth', 'DELETE'),
  ],
  'the profile of nginx until it is denied': Array.from({ length: 4 }, () => auth({}, '/v1/auth/nginx')),
}

describe('the quick way answers as the whole way does', () => {
  for (const [name, requests] of Object.entries(CASES)) {
    test(name, async () => {
      const answers = await Promise.all(
        [true, false].map(async hasQuick => {
          const world = await openDoors({ quotas, keys, adjustments: { blocks: [...blocks] }, hasQuick })
          worlds.push(world)
          const told: unknown[] = []
          for (const { path, init } of requests) {
            const response = await fetch(`${world.url}${path}`, init)
            const headers = [...response.headers].filter(([header]) => !IGNORED.includes(header))
            const body = (await response.text()).replace(/"decisionId":"[^"]+"/, '"decisionId":"…"')
            told.push({ status: response.status, headers: Object.fromEntries(headers), body })
          }
          return told
        }),
      )
      expect(answers[0]).toEqual(answers[1])
    })
  }
})

test('a fault of ours is a problem document that hides it, either way', async () => {
  const wrap = (store: LimitStore): LimitStore => ({
    ...store,
    decideAtOnce: () => {
      throw new TypeError('a bug')
    },
  })
  const answers = []
  for (const hasQuick of [true, false]) {
    const world = await openDoors({ quotas, wrap, hasQuick })
    worlds.push(world)
    for (const { path, init } of [check({ consumer: 'web' }), auth()]) {
      const response = await fetch(`${world.url}${path}`, init)
      answers.push({ status: response.status, type: response.headers.get('content-type'), body: await response.json() })
    }
  }
  expect(answers[0]).toMatchObject({ status: 500, body: { detail: expect.not.stringContaining('a bug') } })
  expect(new Set(answers.map(answer => JSON.stringify(answer))).size).toBe(1)
})

test('a body that comes in pieces is one body, and one that never ends spends nothing', async () => {
  const world = await openDoors({ quotas })
  worlds.push(world)
  const body = JSON.stringify({ consumer: 'web' })
  const { hostname, port } = new URL(world.url)
  const { connect } = await import('node:net')
  const head = `POST /v1/check HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer gateway\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const broken = connect(Number(port), hostname)
  await new Promise<void>(resolve => broken.write(`${head}${body.slice(0, 5)}`, () => resolve()))
  broken.destroy()
  const socket = connect(Number(port), hostname)
  const answered = new Promise<string>(resolve => socket.once('data', data => resolve(String(data))))
  socket.write(`${head}${body.slice(0, 5)}`)
  setTimeout(() => socket.write(body.slice(5)), 50)
  const answer = await answered
  socket.destroy()
  expect(answer).toContain('HTTP/1.1 200')
  expect(answer).toContain('"used":1')
})
