import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import type { Principal } from '../../collector/principal.ts'
import { createServer } from '../../deploy/http.ts'
import { createMayStay, principalOf } from '../../deploy/http-access.ts'
import { createSessionRoutes } from '../../deploy/session-routes.ts'
import { createSessions, sessionIdOf } from '../../deploy/sessions.ts'

const principals = new Map<string, Principal>([
  ['reader-token', { name: 'reader', scopes: new Set(['read']), tenant: 'acme' }],
  ['sender-token', { name: 'sender', scopes: new Set(['ingest']), tenant: null }],
])
const verify = (token: string) => principals.get(token) ?? null

const sessions = createSessions()
const open = async () => {
  const mayStay = createMayStay({ verify, sessions })
  return createServer({
    role: 'analyzer',
    version: '1.2.3',
    log: pino({ level: 'silent' }),
    routes: [
      createSessionRoutes({ sessions, verify, principalOf, now: () => nowMs }),
      scope =>
        void scope.get('/v1/raw', { config: { access: 'read' } }, (_request, reply) => {
          reply.hijack()
          reply.raw.end('written by the route itself')
        }),
      scope =>
        void scope.get('/v1/lasting', { config: { access: 'read' } }, async request => {
          meanwhile()
          return mayStay(request)
        }),
      scope => void scope.post('/v1/change', { config: { access: 'read' } }, request => principalOf(request).name),
    ],
    verify,
    sessions,
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => '',
    isTracing: false,
  })
}
let nowMs = 0
/** Happens while a request is under way that lasts. */
let meanwhile = () => {}
const server = await open()
afterEach(() => {
  nowMs += 60_000
})

const own = { 'sec-fetch-site': 'same-origin' }
const logIn = (token: string, headers: Record<string, string> = own) =>
  server.inject({ method: 'POST', url: '/v1/session', headers, payload: { token } })
const cookieOf = async () => String((await logIn('reader-token')).headers['set-cookie']).split(';')[0] ?? ''

test('a token becomes a session with the rights of the token, and the token comes back nowhere', async () => {
  const answer = await logIn('reader-token')
  expect(answer.json()).toEqual({ name: 'reader', scopes: ['read'], tenant: 'acme' })
  expect(JSON.stringify(answer.headers)).not.toContain('reader-token')
  const cookie = await cookieOf()
  const who = await server.inject({ url: '/v1/session', headers: { cookie } })
  expect(who.json()).toMatchObject({ name: 'reader', tenant: 'acme' })
  expect(who.headers['cache-control']).toBe('no-store')
  expect((await server.inject({ url: '/metrics', headers: { cookie: cookie.slice(0, -3) } })).statusCode).toBe(401)
})

test('what a session reads is kept nowhere, also where a route writes its answer itself', async () => {
  const cookie = await cookieOf()
  for (const url of ['/v1/session', '/v1/raw']) {
    const { headers } = await server.inject({ url, headers: { cookie } })
    expect(headers, url).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  }
})

test('what a session changes must come from a page of this very server', async () => {
  const cookie = await cookieOf()
  const change = (headers: Record<string, string>) =>
    server.inject({ method: 'POST', url: '/v1/change', headers: { cookie, host: 'quotacast:7414', ...headers } })
  expect((await change(own)).statusCode).toBe(200)
  expect((await change({ origin: 'http://quotacast:7414' })).statusCode).toBe(200)
  for (const foreign of [
    {},
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'http://evil.example' },
    { origin: 'http://quotacast:7415' },
    { origin: 'null' },
  ]) {
    const answer = await change(foreign)
    expect(answer.json()).toMatchObject({ status: 403, code: 'ORIGIN_FOREIGN' })
  }
  // A stated token is nothing that another site could send.
  expect((await change({ authorization: 'Bearer reader-token' })).statusCode).toBe(200)
})

test('a login from another site, of an unknown token or of one that may not read is refused', async () => {
  expect((await logIn('reader-token', { 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403)
  expect((await logIn('stranger')).statusCode).toBe(401)
  expect((await logIn('sender-token')).json()).toMatchObject({ status: 403, code: 'SCOPE_MISSING' })
})

test('a revoked token ends its sessions at once', async () => {
  const cookie = await cookieOf()
  const principal = principals.get('reader-token')
  principals.delete('reader-token')
  expect((await server.inject({ url: '/v1/session', headers: { cookie } })).statusCode).toBe(401)
  if (principal !== undefined) principals.set('reader-token', principal)
})

test('a request that lasts is told when its token was revoked, or its session has ended', async () => {
  const lasting = async (headers: Record<string, string>, during: () => void = () => undefined) => {
    meanwhile = during
    return (await server.inject({ url: '/v1/lasting', headers })).json()
  }
  const authorization = 'Bearer reader-token'
  const cookie = await cookieOf()
  expect(await lasting({ authorization })).toBe(true)
  expect(await lasting({ cookie })).toBe(true)
  expect(await lasting({ cookie }, () => sessions.close(sessionIdOf(cookie) ?? ''))).toBe(false)
  const principal = principals.get('reader-token')
  const again = { cookie: await cookieOf() }
  for (const headers of [{ authorization }, again]) {
    expect(await lasting(headers, () => principals.delete('reader-token'))).toBe(false)
    if (principal !== undefined) principals.set('reader-token', principal)
  }
})

test('logging in again ends the session before, which no logout would reach any more', async () => {
  const before = await cookieOf()
  const headers = { ...own, cookie: before }
  expect((await logIn('stranger', headers)).statusCode).toBe(401)
  expect((await server.inject({ url: '/v1/session', headers: { cookie: before } })).statusCode).toBe(200)
  expect((await logIn('reader-token', headers)).statusCode).toBe(200)
  expect((await server.inject({ url: '/v1/session', headers: { cookie: before } })).statusCode).toBe(401)
})

test('logging out ends the session and takes the cookie away', async () => {
  const cookie = await cookieOf()
  const out = await server.inject({ method: 'DELETE', url: '/v1/session', headers: { cookie, ...own } })
  expect(out.statusCode).toBe(204)
  expect(out.headers['set-cookie']).toContain('Max-Age=0')
  expect((await server.inject({ url: '/v1/session', headers: { cookie } })).statusCode).toBe(401)
})

test('over TLS, also where a proxy ends it, the cookie stays there', async () => {
  const answer = await logIn('reader-token', { ...own, origin: 'https://quotacast.example' })
  expect(answer.headers['set-cookie']).toContain('; Secure')
})

test('an address that tries many tokens has to wait a minute, and locks out nobody who has one', async () => {
  for (let attempt = 0; attempt < 30; attempt++) expect((await logIn(`guess-${attempt}`)).statusCode).toBe(401)
  const refused = await logIn('guess-30')
  expect(refused.statusCode).toBe(429)
  expect(refused.headers['retry-after']).toBe('60')
  // Behind a proxy all users have one address.
  expect((await logIn('reader-token')).statusCode).toBe(200)
  nowMs += 60_000
  expect((await logIn('guess-31')).statusCode).toBe(401)
})
