/** Changes by API, seen by another role that folds the same log. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createPolicyRoutes } from '../../../analyzer/api/policy.ts'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import { createLivePolicy, type LivePolicy } from '../../../analyzer/control/live-policy.ts'
import { openLog, silent } from '../limit/call-records.ts'
import { testQuota } from '../quotas.ts'
import { principalOf, testServer } from './server.ts'

const configured = testQuota({ name: 'configured' })
const { options } = testQuota({ name: 'made', limit: 5 })
const subject = { tenant: 'acme', consumer: 'web' }
const rawKey = 'sk-proj-a1b2c3d4e5f6g7h8i9j0'
const nameOf = (text: string) => (text === rawKey ? 'key:0123' : text)

let server: FastifyInstance
let other: LivePolicy
let control: Control
let closing: (() => Promise<unknown>)[]

beforeEach(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const log = await openLog(dir)
  const open = async () => {
    const policy = createLivePolicy([configured], [])
    const opened = await openControl({ log, logger: silent, onChange: policy.fold })
    closing.push(() => opened.close())
    return { policy, control: opened }
  }
  closing = [() => rm(dir, { recursive: true, force: true }), () => log.close()]
  const own = await open()
  control = own.control
  other = (await open()).policy
  const names = { configured: new Set(['configured']), labelColumns: ['app'], channels: new Set(['ops']), nameOf }
  const deps = { control, policy: own.policy.current, ...names, principalOf }
  server = await testServer([createPolicyRoutes(deps)])
  closing.push(() => server.close())
})
afterEach(async () => {
  for (const each of closing.toReversed()) await each()
})

const put = (path: string, value: unknown, version = 0, headers = {}) =>
  server.inject({ method: 'PUT', url: path, payload: { version, value, reason: 'because' }, headers })
const del = (path: string, version: number) => server.inject({ method: 'DELETE', url: `${path}?version=${version}` })

test('what an earlier and a later version wrote is listed, and can be changed', async () => {
  const { pace: _pace, ...earlier } = options
  const later = { ...options, name: 'later', alerts: { ...options.alerts, colour: 'red' }, mood: 'good' }
  const unknown = { ...options, name: 'unknown', window: { kind: 'lunar' } }
  const made = { by: 'test', version: 0, reason: null }
  for (const value of [earlier, later, unknown])
    await control.change({ kind: 'quota', key: value.name, value, ...made })
  const listed = await server.inject('/v1/quotas')
  expect([listed.statusCode, listed.json().quotas.slice(1)]).toEqual([
    200,
    [
      { key: 'later', version: 1, value: { ...options, name: 'later' } },
      { key: 'made', version: 1, value: options },
    ],
  ])
  expect((await del('/v1/quotas/later', 1)).statusCode).toBe(200)
})

test('a quota is made, changed and removed, and another role has it within a second', async () => {
  expect((await put('/v1/quotas/made', options)).json()).toEqual({ key: 'made', version: 1 })
  await vi.waitFor(() => expect(other.current().byName.get('made')?.limit).toBe(5), 30_000)
  expect((await put('/v1/quotas/made', { ...options, limit: 6 })).statusCode).toBe(409)
  expect((await put('/v1/quotas/made', { ...options, limit: 6 }, 1)).json()).toEqual({ key: 'made', version: 2 })
  const listed = (await server.inject('/v1/quotas')).json().quotas
  expect(listed).toEqual([
    { key: 'configured', version: null, value: configured.options },
    { key: 'made', version: 2, value: { ...options, limit: 6 } },
  ])
  expect((await del('/v1/quotas/made', 1)).statusCode).toBe(409)
  expect((await del('/v1/quotas/made', 2)).statusCode).toBe(200)
  expect((await del('/v1/quotas/made', 3)).statusCode).toBe(404)
  await vi.waitFor(() => expect(other.current().byName.has('made')).toBe(false), 30_000)
  // Versions go on, or a change that was thought of before would find its own again.
  expect((await put('/v1/quotas/made', options)).statusCode).toBe(409)
  expect((await put('/v1/quotas/made', options, 3)).statusCode).toBe(200)
})

test.each([
  ['/v1/quotas/configured', configured.options, 409],
  ['/v1/quotas/another', options, 400],
  ['/v1/quotas/made', { ...options, window: { kind: 'calendar', every: 'day', timezone: 'Mars/Olympus' } }, 400],
  ['/v1/quotas/made', { ...options, per: ['planet'] }, 400],
  ['/v1/overrides/one', { quota: 'gone', subject, limit: 1 }, 400],
  ['/v1/overrides/one', { quota: 'configured', subject: { tenant: 'acme' }, limit: 1 }, 400],
  ['/v1/overrides/one', { quota: 'configured', subject, limit: 1 }, 200],
  ['/v1/grants/one', { quota: 'configured', subject: null, amount: 1, fromMs: 2, untilMs: 1 }, 400],
  ['/v1/grants/one', { quota: 'configured', subject: null, amount: 1, fromMs: 1, untilMs: 2 }, 200],
  ['/v1/blocks/one', { what: 'address', value: '203.0.113', untilMs: null }, 400],
  // In nanoseconds: whoever is told of the block is told until when.
  ['/v1/blocks/one', { what: 'tenant', value: 'acme', untilMs: 1.8e18 }, 400],
  ['/v1/grants/one', { quota: 'configured', subject: null, amount: 1, fromMs: 1, untilMs: 1.8e18 }, 400],
  ['/v1/blocks/one', { what: 'address', value: '203.0.113.0/24', untilMs: null }, 200],
  ['/v1/blocks/one', { what: 'address', value: '203.0.113.0/24' }, 200],
  ['/v1/blocks/..%2Fone', { what: 'tenant', value: 'acme', untilMs: null }, 400],
])('%s %j: %s', async (path, value, status) => {
  expect((await put(path, value)).statusCode).toBe(status)
})

test.each([
  ['/v1/blocks/one', { what: 'consumer', value: rawKey }, 'consumer'],
  ['/v1/overrides/one', { quota: 'configured', subject: { tenant: 'acme', consumer: rawKey }, limit: 1 }, 'consumer'],
  ['/v1/quotas/made', { ...options, match: { providerKey: ['openai-1', rawKey] } }, 'providerKey'],
  ['/v1/quotas/made', { ...options, match: { app: rawKey } }, 'app'],
])('%s is not kept with a raw key, by which calls are not known', async (path, value, dimension) => {
  const answer = await put(path, value)
  expect([answer.statusCode, answer.json().message]).toEqual([
    400,
    `${dimension} is a raw key, which is kept nowhere: say key:0123, or the consumer that the keys of the config give it`,
  ])
})

test('a list is told in pages, which stay what they are while it is changed', async () => {
  const block = (value: string) => ({ what: 'consumer', value, untilMs: null })
  for (const key of ['c', 'a', 'd', 'b']) expect((await put(`/v1/blocks/${key}`, block(key))).statusCode).toBe(200)
  const page = async (query: string) => {
    const answer = await server.inject(`/v1/blocks?${query}`)
    if (answer.statusCode !== 200) return answer.statusCode
    const { blocks, nextCursor } = answer.json()
    return [blocks.map(({ key }: { key: string }) => key), nextCursor]
  }
  expect(await page('')).toEqual([['a', 'b', 'c', 'd'], null])
  expect(await page('limit=2')).toEqual([['a', 'b'], 'b'])
  expect(await page('limit=2&cursor=b')).toEqual([['c', 'd'], null])
  // What was told last is gone, and something new stands before it.
  await del('/v1/blocks/b', 1)
  await put('/v1/blocks/aa', block('aa'))
  expect(await page('limit=1&cursor=b')).toEqual([['c'], 'c'])
  expect(await page('cursor=d')).toEqual([[], null])
  for (const query of ['limit=0', 'limit=1001', 'cursor=', 'cursor=%20b', 'page=2']) expect(await page(query)).toBe(400)
})

test('a page of quotas has those of the config among the others', async () => {
  for (const name of ['after', 'made']) await put(`/v1/quotas/${name}`, { ...options, name })
  const { quotas, nextCursor } = (await server.inject('/v1/quotas?limit=2')).json()
  expect([quotas, nextCursor]).toEqual([
    [
      { key: 'after', version: 1, value: { ...options, name: 'after' } },
      { key: 'configured', version: null, value: configured.options },
    ],
    'configured',
  ])
  expect((await server.inject('/v1/quotas?cursor=configured')).json().quotas).toHaveLength(1)
})

test('a version that cannot be counted on from is refused before it is in the log', async () => {
  for (const version of [Number.MAX_SAFE_INTEGER, 1e308]) {
    expect((await put('/v1/quotas/made', options, version)).statusCode).toBe(400)
    expect((await del('/v1/quotas/made', version)).statusCode).toBe(400)
  }
})

test("what concerns all tenants is none of one tenant's business", async () => {
  const headers = { 'x-tenant': 'acme' }
  expect((await put('/v1/quotas/made', options, 0, headers)).statusCode).toBe(403)
  expect((await server.inject({ url: '/v1/blocks', headers })).statusCode).toBe(403)
})

test('a quota names channels that there are', async () => {
  expect((await put('/v1/quotas/made', { ...options, alerts: { channels: ['ops'] } })).statusCode).toBe(200)
  const refused = await put('/v1/quotas/other', { ...options, name: 'other', alerts: { channels: ['nobody'] } })
  expect([refused.statusCode, refused.json().message]).toEqual([
    400,
    'alerts.channels: there is no channel nobody in the config',
  ])
})

test('a silence is of all, of a quota, or of one of its subjects', async () => {
  const untilMs = Date.now() + 60_000
  const silence = (quota: string | null, subject: Record<string, string> | null) =>
    put('/v1/silences/s', { quota, subject, untilMs })
  expect((await silence('configured', { tenant: 'acme' })).statusCode).toBe(400)
  expect((await silence('gone', null)).statusCode).toBe(400)
  expect((await silence(null, { tenant: 'acme' })).statusCode).toBe(400)
  expect((await silence(null, null)).json()).toEqual({ key: 's', version: 1 })
  expect((await server.inject('/v1/silences')).json().silences).toEqual([
    { key: 's', version: 1, value: { quota: null, subject: null, untilMs } },
  ])
  const reasoned = { quota: null, subject: null, untilMs, reason: 'The provider is down.' }
  expect((await put('/v1/silences/s', reasoned, 1)).statusCode).toBe(200)
  expect((await server.inject('/v1/silences')).json().silences).toEqual([{ key: 's', version: 2, value: reasoned }])
  expect((await del('/v1/silences/s', 2)).statusCode).toBe(200)
})
