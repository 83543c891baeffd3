/** Programs with what the page of Node tells to paste, in front of a real limiter. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { CheckAnswer } from '../../../deploy/gateways/client.ts'
import { limitRequests, responseTo } from '../../../deploy/gateways/middleware.ts'
import { EXAMPLE_DESTINATION } from '../../../deploy/gateways/render.ts'
import { guided } from '../../e2e/gateways/guided.ts'
import { prepareQuotacast, type Quotacast } from '../../e2e/quotacast.ts'
import { freePorts } from '../../free-ports.ts'
import { startGateway } from '../../servers/gateways/gateway.ts'

const LIMIT = 3
const UNLIMITED = '/unlimited'
const LINKED_MS = 30_000
const FASTIFY = import.meta.resolve('fastify')
const read = (name: string) => readFileSync(new URL(`../../../deploy/gateways/${name}`, import.meta.url), 'utf8')

let quotacast: Quotacast
let limiter: { stop(): Promise<void> }
let collector: { stop(): Promise<void> }

beforeAll(async () => {
  const window = { kind: 'calendar', every: 'year', timezone: 'UTC' }
  const calls = { name: 'calls', per: ['gateway', 'consumer'], unit: 'requests', limit: LIMIT, window }
  const tokens = { name: 'tokens', match: { consumer: 'chat-app' }, per: ['consumer'], unit: 'total_tokens', window }
  quotacast = await prepareQuotacast({ quotas: [calls, { ...tokens, limit: 1000 }] })
  limiter = await quotacast.serve('limiter')
  collector = await quotacast.serve('collector')
  await quotacast.ready(['limiter'])
})
afterAll(async () => {
  await Promise.all([limiter?.stop(), collector?.stop()])
  quotacast?.remove()
})

/** The guide's own words within a server; a slow machine gets more than a tenth of a second. */
const pasted = (title: string, source: string) => {
  const { collector: url, limiter: limiterUrl } = quotacast.urls
  const to = { ...EXAMPLE_DESTINATION, source, url, limiterUrl, token: quotacast.token }
  const [client = '', asking = client] = guided('node', [title], to, null).snippets
  return { client: client.replace('deadlineMs: 100', 'deadlineMs: 10_000'), asking }
}

/** As Express calls it; `records` before all else. */
const plainServer = (port: number, records = '', source = 'plain') => {
  const { client, asking } = pasted('Express', source)
  return `import { createServer, type ServerResponse } from 'node:http'
${client}
const used = []
const app = { use: handler => used.push(handler) }
${records}
${asking}
createServer((request, response) => {
  const next = (index, error) => {
    if (error !== undefined) response.writeHead(500).end(String(error))
    else if (index < used.length) used[index](request, response, problem => next(index + 1, problem))
    else response.setHeader('x-joined-by', request.headers['x-quotacast-decision-id'] ?? '').end('served')
  }
  next(0)
}).listen(${port}, '127.0.0.1')`
}

const fastifyServer = (port: number, records = '', source = 'fastify') => {
  const { client, asking } = pasted('Fastify', source)
  return `import Fastify from '${FASTIFY}'
${client}
const app = Fastify()
${records}
app.register(async app => {
  ${asking.replaceAll(/^import .*$/gm, '')}
  app.get('/*', async (request, reply) => {
    reply.header('x-joined-by', request.headers['x-quotacast-decision-id'] ?? '')
    return 'served'
  })
})
app.get('${UNLIMITED}', async () => 'served')
await app.listen({ host: '127.0.0.1', port: ${port} })
${asking.match(/^import .*$/m)?.[0]}`
}

/** What a call takes is the length of its path. */
const holdingServer = (port: number, limiterUrl = quotacast.urls.limiter) => {
  const client = pasted('Express', 'node').client.replace(quotacast.urls.limiter, limiterUrl)
  const { asking } = pasted('Calls whose cost', 'node')
  return `import { createServer, type ServerResponse } from 'node:http'
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
      const headers = { 'x-api-key': key, 'x-quotacast-decision-id': 'forged' }
      const response = await fetch(`http://127.0.0.1:${port}/v1/chat?x=1`, { headers })
      return { status: response.status, headers: response.headers, body: await response.text() }
    }
    for (let turn = 1; turn <= LIMIT; turn++) {
      const { status, headers, body } = await call('key-one-1234567890')
      expect([status, body]).toEqual([200, 'served'])
      expect(headers.get('ratelimit')).toMatch(new RegExp(`^"calls";r=${LIMIT - turn};t=\\d+$`))
      expect(headers.get('x-joined-by')).toMatch(/^1\./)
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

test.each([
  ['Express', 'plain-records', plainServer],
  ['Fastify', 'fastify-records', fastifyServer],
] as const)('what was called and asked of %s is used once', async (title, source, server) => {
  const { client: remembering, asking: sending } = pasted(`Over HTTP, as records of ${title}`, source)
  const [port = 0] = await freePorts(1)
  const program = await startProgram(port, server(port, `${remembering}\n${sending}`, source))
  try {
    const key = `key-of-${source}-1234567890`
    const linked = async () => (await quotacast.get('limiter', '/v1/status')).body.records.linked
    const before = await linked()
    const statuses: number[] = []
    for (let turn = 1; turn <= LIMIT + 1; turn++) {
      const response = await fetch(`http://127.0.0.1:${port}/v1/chat?x=1`, { headers: { 'x-api-key': key } })
      statuses.push(response.status)
      await response.text()
    }
    expect(statuses).toEqual([...Array(LIMIT).fill(200), 429])
    await expect.poll(linked, { timeout: LINKED_MS }).toBe(before + LIMIT)
    const look = { credential: key, dimensions: { gateway: source }, cost: { requests: 0 }, dryRun: true }
    const { body } = await quotacast.post('limiter', '/v1/check', look)
    expect(body.quotas).toContainEqual(expect.objectContaining({ quota: 'calls', used: LIMIT }))
  } finally {
    await program.stop()
  }
})

const nothing = { isAway: false, binding: null, retryAfterMs: null, blocked: null, decisionId: null, quotas: [] }

/** What a request gets whose answer of the limiter comes behind `respond`. Vitest tells of what nobody catches. */
async function passedOn(answer: CheckAnswer, respond: (response: ServerResponse) => void, next: () => void) {
  const { promise: answered, resolve } = Promise.withResolvers<CheckAnswer>()
  const limited = limitRequests({ client: { check: () => answered }, callOf: () => ({}) })
  const server = createServer((request, response) => {
    limited(request, response, next)
    respond(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const asked = fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).then(response => response.text())
  await once(server, 'request')
  resolve(answer)
  const text = await asked
  server.closeAllConnections()
  server.close()
  return text
}

test.each([true, false])(
  'a request that was answered while the limiter was asked is left alone (%s)',
  async allowed => {
    const next = vi.fn()
    const quota = { quota: 'calls', unit: 'requests', limit: 3, used: 1, reserved: 0, remaining: 2, resetAtMs: 0 }
    const answer = { ...nothing, allowed, quotas: [{ ...quota, enforcement: 'deny' }] }
    expect(await passedOn(answer, response => response.end('timed out'), next)).toBe('timed out')
    expect(next).not.toHaveBeenCalled()
  },
)

test('what fails behind the middleware is told to whoever handles errors', async () => {
  const error = new Error('a bug of a handler')
  let respond = (_text: string): unknown => undefined
  const next = vi.fn((problem?: unknown) => {
    if (problem === undefined) throw error
    respond(String(problem))
  })
  const text = await passedOn(
    { ...nothing, allowed: true },
    response => {
      respond = told => response.end(told)
    },
    next,
  )
  expect(text).toBe(String(error))
  expect(next.mock.calls).toEqual([[], [error]])
})

test('what is pasted holds in strict TypeScript', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-pasted-'))
  const types = `import type { IncomingMessage, ServerResponse } from 'node:http'
declare const app: {
  use(handler: (request: IncomingMessage & { url: string }, response: ServerResponse, next: () => void) => void): void
}`
  const of = (title: string) => {
    const { client, asking } = pasted(title, 'node')
    const { client: remembering, asking: sending } = pasted(`Over HTTP, as records of ${title}`, 'node')
    return [client, asking, remembering, sending].join('\n')
  }
  mkdirSync(join(dir, 'quotacast'))
  for (const name of ['client.ts', 'middleware.ts']) writeFileSync(join(dir, 'quotacast', name), read(name))
  writeFileSync(join(dir, 'express.ts'), `${types}\n${of('Express')}`)
  writeFileSync(join(dir, 'fastify.ts'), `import Fastify from 'fastify'\nconst app = Fastify()\n${of('Fastify')}`)
  writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
  const { compilerOptions } = JSON.parse(readFileSync(new URL('../../../tsconfig.json', import.meta.url), 'utf8'))
  const modules = dirname(dirname(createRequire(import.meta.url).resolve('fastify/package.json')))
  symlinkSync(modules, join(dir, 'node_modules'))
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['.'] }))
  try {
    const tsc = promisify(execFile)(join(modules, '.bin', 'tsc'), ['-p', dir])
    const { stdout } = await tsc.catch((problem: { stdout: string }) => problem)
    expect(stdout).toBe('')
  } finally {
    rmSync(dir, { recursive: true })
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

test('a call that was made is served, and not given back, though nobody hears what it took', async () => {
  const paths: (string | undefined)[] = []
  const leaving = createServer((request, response) => {
    paths.push(request.url)
    if (request.url === '/v1/reservations') response.end('{"allowed":true,"id":"1","quotas":[]}')
    else response.writeHead(503).end()
  })
  await once(leaving.listen(0, '127.0.0.1'), 'listening')
  const [port = 0] = await freePorts(1)
  const program = await startProgram(
    port,
    holdingServer(port, `http://127.0.0.1:${(leaving.address() as AddressInfo).port}`),
  )
  try {
    const response = await fetch(`http://127.0.0.1:${port}/seven!`)
    expect([response.status, await response.text()]).toEqual([200, 'served'])
    expect(paths).toEqual(['/v1/reservations', '/v1/reservations/settle'])
  } finally {
    await program.stop()
    leaving.closeAllConnections()
    leaving.close()
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

test('clients are told how long to wait by the clock of the limiter, not by that of the program', async () => {
  const { body } = await quotacast.post('limiter', '/v1/check', { consumer: 'web', dimensions: { gateway: 'late' } })
  const aheadMs = 86_400_000
  const ahead = { ...body, nowMs: body.nowMs + aheadMs, isAway: false }
  ahead.quotas = body.quotas.map((one: { resetAtMs: number }) => ({ ...one, resetAtMs: one.resetAtMs + aheadMs }))
  const { ratelimit } = responseTo({ ...body, isAway: false }).headers
  expect(ratelimit).toMatch(/;t=[1-9]/)
  expect(responseTo(ahead).headers).toEqual({ ratelimit })
})

test('blocked callers get 403, and nobody is served by mistake while the limiter is away', () => {
  const nothing = { binding: null, retryAfterMs: null, blocked: null, quotas: [] }
  expect(responseTo({ ...nothing, allowed: false, isAway: false, blocked: 'consumer' }).status).toBe(403)
  expect(responseTo({ ...nothing, allowed: false, isAway: true })).toMatchObject({ status: 503 })
  expect(responseTo({ ...nothing, allowed: true, isAway: true })).toEqual({ status: 200, headers: {}, body: '' })
})
