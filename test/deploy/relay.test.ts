import { pino } from 'pino'
import { afterAll, expect, test } from 'vitest'
import type { Principal, Routes } from '../../collector/principal.ts'
import { createServer, listen } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
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
    serveMetrics: () => undefined,
  })

const [port = 0] = await freePorts(1)
const limiter = await serve(
  'limiter',
  [
    scope =>
      void scope.get('/v1/explain', { config: { access: 'read' } }, request => ({
        tenant: principalOf(request).tenant,
        query: request.query,
      })),
    scope => void scope.get('/v1/long', { config: { access: 'read' } }, () => 'x'.repeat(17 * 2 ** 20)),
  ],
  ['acme-token'],
)
const url = await listen(limiter, { host: '127.0.0.1', port })
const analyzer = await serve(
  'analyzer',
  [createRelayRoutes({ role: 'limiter', url, paths: ['/v1/explain', '/v1/long'] })],
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
