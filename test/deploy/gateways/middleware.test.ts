/** Programs with what the page of Node tells to paste, in front of a real limiter. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { responseTo } from '../../../deploy/gateways/middleware.ts'
import { EXAMPLE_DESTINATION } from '../../../deploy/gateways/render.ts'
import { guided } from '../../e2e/gateways/guided.ts'
import { prepareQuotacast, type Quotacast } from '../../e2e/quotacast.ts'
import { freePorts } from '../../free-ports.ts'
import { startGateway } from '../../servers/gateways/gateway.ts'

const LIMIT = 3
const UNLIMITED = '/unlimited'
const FASTIFY = import.meta.resolve('fastify')
const read = (name: string) => readFileSync(new URL(`../../../deploy/gateways/${name}`, import.meta.url), 'utf8')

let quotacast: Quotacast
let limiter: { stop(): Promise<void> }

beforeAll(async () => {
  const window = { kind: 'calendar', every: 'year', timezone: 'UTC' }
  const calls = { name: 'calls', per: ['gateway', 'consumer'], unit: 'requests', limit: LIMIT, window }
  const tokens = { name: 'tokens', match: { consumer: 'chat-app' }, per: ['consumer'], unit: 'total_tokens', window }
  quotacast = await prepareQuotacast({ quotas: [calls, { ...tokens, limit: 1000 }] })
  limiter = await quotacast.serve('limiter')
  await quotacast.ready(['limiter'])
})
afterAll(async () => {
  await limiter?.stop()
  quotacast?.remove()
})

/** The guide's own words within a server; a slow machine gets more than a tenth of a second. */
const pasted = (title: string, source: string) => {
  const to = { ...EXAMPLE_DESTINATION, source, limiterUrl: quotacast.urls.limiter, token: quotacast.token }
  const [client = '', asking = client] = guided('node', [title], to, null).snippets
  return { client: client.replace('deadlineMs: 100', 'deadlineMs: 10_000'), asking }
}

/** As Express calls it. */
const plainServer = (port: number) => {
  const { client, asking } = pasted('Express', 'plain')
  return `import { createServer } from 'node:http'
${client}
const used = []
const app = { use: handler => used.push(handler) }
${asking}
createServer((request, response) => {
  const fail = error => response.writeHead(500).end(String(error))
  used[0](request, response, error => (error === undefined ? response.end('served') : fail(error)))
}).listen(${port}, '127.0.0.1')`
}

const fastifyServer = (port: number) => {
  const { client, asking } = pasted('Fastify', 'fastify')
  return `import Fastify from '${FASTIFY}'
${client}
const app = Fastify()
app.register(async app => {
  ${asking.replaceAll(/^import .*$/gm, '')}
  app.get('/*', async () => 'served')
})
app.get('${UNLIMITED}', async () => 'served')
await app.listen({ host: '127.0.0.1', port: ${port} })
${asking.match(/^import .*$/m)?.[0]}`
}

/** What a call takes is the length of its path. */
const holdingServer = (port: number) => {
  const { client } = pasted('Express', 'node')
  const { asking } = pasted('Calls whose cost', 'node')
  return `import { createServer } from 'node:http'
${client}
createServer(async ({ url: prompt }, response) => {
  const complete = async text => ({ usage: { total_tokens: text.length } })
  try {
${asking}
    response.end('served')
  } catch (error) {
    response.writeHead(500).end(String(error))
  }
}).listen(${port}, '127.0.0.1')`
}

const startProgram = (port: number, server: string) =>
  startGateway({
    name: 'node',
    command: process.execPath,
    args: dir => [`${dir}/server.ts`],
    files: () => ({
      'server.ts': server,
      'quotacast/client.ts': read('client.ts'),
      'quotacast/middleware.ts': read('middleware.ts'),
    }),
    port,
  })

test.each([
  ['the middleware', plainServer],
  ['the hook of Fastify', fastifyServer],
] as const)('%s lets requests pass until the quota is used up', async (_what, server) => {
  const [port = 0] = await freePorts(1)
  const program = await startProgram(port, server(port))
  try {
    const call = async (key: string) => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/chat?x=1`, { headers: { 'x-api-key': key } })
      return { status: response.status, headers: response.headers, body: await response.text() }
    }
    for (let turn = 1; turn <= LIMIT; turn++) {
      const { status, headers, body } = await call('key-one-1234567890')
      expect([status, body]).toEqual([200, 'served'])
      expect(headers.get('ratelimit')).toMatch(new RegExp(`^"calls";r=${LIMIT - turn};t=\\d+$`))
    }
    const denied = await call('key-one-1234567890')
    expect(denied.status).toBe(429)
    expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(denied.headers.get('x-quotacast-denied')).toBe('429')
    expect(JSON.parse(denied.body)).toMatchObject({ status: 429, 'violated-policies': ['calls'] })
    expect((await call('key-two-1234567890')).status).toBe(200)
  } finally {
    await program.stop()
  }
})

test('what a call took is what is used in the end, whatever was held', async () => {
  const [port = 0] = await freePorts(1)
  const program = await startProgram(port, holdingServer(port))
  try {
    const response = await fetch(`http://127.0.0.1:${port}/seven!`)
    expect([response.status, await response.text()]).toEqual([200, 'served'])
    const look = { consumer: 'chat-app', cost: { total_tokens: 0 }, dryRun: true }
    const { body } = await quotacast.post('limiter', '/v1/check', look)
    expect(body.quotas).toContainEqual(expect.objectContaining({ quota: 'tokens', used: 7, reserved: 0 }))
  } finally {
    await program.stop()
  }
})

test('clients are told of no limit that denies nothing: of one that is only watched, of one that nobody knows', () => {
  const nothing = { binding: null, retryAfterMs: null, blocked: null, allowed: true, isAway: false }
  const told = { unit: 'requests', limit: 3, used: 5, reserved: 0, remaining: 0, resetAtMs: 0 }
  const watched = { ...told, quota: 'watched', enforcement: 'shadow' }
  const unknown = { ...told, quota: 'unknown', enforcement: 'deny', limit: null, remaining: null }
  expect(responseTo({ ...nothing, quotas: [watched, unknown] }).headers).toEqual({})
  const known = { ...told, quota: 'known', enforcement: 'deny', remaining: 2 }
  expect(responseTo({ ...nothing, quotas: [watched, known] }).headers).toEqual({ ratelimit: '"known";r=2;t=0' })
})

test('blocked callers get 403, and nobody is served by mistake while the limiter is away', () => {
  const nothing = { binding: null, retryAfterMs: null, blocked: null, quotas: [] }
  expect(responseTo({ ...nothing, allowed: false, isAway: false, blocked: 'consumer' }).status).toBe(403)
  expect(responseTo({ ...nothing, allowed: false, isAway: true })).toMatchObject({ status: 503 })
  expect(responseTo({ ...nothing, allowed: true, isAway: true })).toEqual({ status: 200, headers: {}, body: '' })
})
