import { pino } from 'pino'
import Type from 'typebox'
import { afterAll, expect, test } from 'vitest'
import type { Principal, Routes } from '../../collector/principal.ts'
import { createServer } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { listen } from '../../deploy/http-listening.ts'
import { createRelayRoutes } from '../../deploy/relay.ts'
import { freePorts } from '../free-ports.ts'

const principals = new Map<string, Principal>([
  ['acme-token', { name: 'acme', scopes: new Set(['read']), tenant: 'acme' }],
  ['all-token', { name: 'all', scopes: new Set(['read']), tenant: null }],
])
const serve = (role: string, routes: readonly Routes[], known: readonly string[]) =>
  createServer({
    ...{ role, routes, version: '1.2.3', log: pino({ level: 'silent' }), isTracing: false },
    verify: token => (known.includes(token) ? (principals.get(token) ?? null) : null),
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
  })

/** Of `/v1/explain` the relay's version knows less than the role's. */
const STRICT = {
  path: '/v1/strict',
  schema: {
    summary: 'What is held',
    description: 'In order.',
    tags: ['limits'],
    querystring: Type.Object({ limit: Type.Integer({ default: 5, maximum: 9 }) }, { additionalProperties: false }),
    response: { 200: Type.Object({ held: Type.Array(Type.String()) }) },
  },
}

const [port = 0] = await freePorts(1)
const limiter = await serve(
  'limiter',
  [
    scope =>
      void scope.get('/v1/explain', { config: { access: 'read' } }, request => ({
        tenant: principalOf(request).tenant,
        query: request.query,
      })),
    scope => void scope.get(STRICT.path, { config: { access: 'read' }, schema: STRICT.schema }, () => ({ held: [] })),
    scope => void scope.get('/v1/long', { config: { access: 'read' } }, () => 'x'.repeat(17 * 2 ** 20)),
  ],
  ['acme-token'],
)
const url = await listen(limiter, { host: '127.0.0.1', port })
const analyzer = await serve(
  'analyzer',
  [
    createRelayRoutes({
      role: 'limiter',
      url,
      routes: [{ ...STRICT, path: '/v1/explain' }, { path: '/v1/long', schema: { description: 'Long.' } }, STRICT],
    }),
  ],
  ['acme-token', 'all-token'],
)
afterAll(async () => {
  await analyzer.close()
  await limiter.close()
})
const explain = (token: string, query = '') =>
  analyzer.inject({ url: `/v1/explain${query}`, headers: { authorization: `Bearer ${token}` } })

test('another role answers as it would answer the caller itself', async () => {
  const answer = await explain('acme-token', '?consumer=a%26b&x=1')
  expect(answer.json()).toEqual({ tenant: 'acme', query: { consumer: 'a&b', x: '1' } })
})

test('what it refuses is refused, and without a token nothing is asked', async () => {
  expect((await explain('all-token')).statusCode).toBe(401)
  expect((await analyzer.inject('/v1/explain')).statusCode).toBe(401)
})

test('the reference describes it as the role does, and the role refuses what is asked wrongly', async () => {
  const headers = { authorization: 'Bearer acme-token' }
  const [own, relayed] = await Promise.all(
    [limiter, analyzer].map(async server => {
      const reference = (await server.inject({ url: '/openapi.json', headers })).json()
      return reference.paths[STRICT.path].get
    }),
  )
  expect(own.parameters).toMatchObject([{ name: 'limit', in: 'query', schema: { maximum: 9 } }])
  expect(relayed).toEqual({ ...own, tags: ['relayed'], description: expect.stringMatching(/^In order\. The limiter/) })
  for (const [query, status] of [
    ['', 200],
    ['?limit=10', 400],
  ] as const) {
    const [there, here] = await Promise.all(
      [limiter, analyzer].map(server => server.inject({ url: `${STRICT.path}${query}`, headers })),
    )
    expect([here?.statusCode, here?.json()]).toEqual([status, there?.json()])
  }
})

test('an answer that is too long is told as that', async () => {
  const answer = await analyzer.inject({ url: '/v1/long', headers: { authorization: 'Bearer acme-token' } })
  expect(answer.json()).toMatchObject({
    status: 400,
    code: 'ANSWER_TOO_LONG',
    detail: expect.stringContaining('/v1/long is longer than'),
  })
})

test('while it is away, that is said', async () => {
  await limiter.close()
  const answer = await explain('acme-token')
  expect(answer.json()).toMatchObject({ status: 503, code: 'ROLE_UNAVAILABLE' })
})
