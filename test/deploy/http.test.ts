import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import Type from 'typebox'
import { afterEach, describe, expect, test } from 'vitest'
import type { Principal, Routes, Scope } from '../../collector/principal.ts'
import { createServer, type ServerDeps } from '../../deploy/http.ts'
import { principalOf } from '../../deploy/http-access.ts'
import { closeServer } from '../../deploy/http-closing.ts'
import { listen } from '../../deploy/http-listening.ts'
import { WAITING_MAX } from '../../deploy/http-pipelines.ts'
import { freePorts } from '../free-ports.ts'

const principal = (name: string, scopes: Scope[], tenant: string | null = null): [string, Principal] => [
  `${name}-token`,
  { name, scopes: new Set(scopes), tenant },
]
const principals = new Map([
  principal('reader', ['read'], 'acme'),
  principal('gateway', ['check']),
  principal('scraper', ['read']),
  principal('root', ['admin']),
])

let server: FastifyInstance
const open = async (routes: Routes[], deps: Partial<ServerDeps> = {}) => {
  server = await createServer({
    role: 'limiter',
    version: '1.2.3',
    log: pino({ level: 'silent' }),
    routes,
    verify: token => principals.get(token) ?? null,
    readiness: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => 'metrics',
    isTracing: false,
    ...deps,
  })
  return server
}
afterEach(() => server?.close())

const Body = Type.Object({ count: Type.Integer(), note: Type.Optional(Type.String()) }, { additionalProperties: false })
const count = (headers: Record<string, string>) =>
  server.inject({
    ...{ method: 'POST', url: '/v1/count', payload: { count: 1 } },
    headers: { ...asReader, ...headers },
  })
const asReader = { authorization: 'Bearer reader-token' }

test('JSON that claims to be compressed is refused, and says what to do', async () => {
  await open([routes])
  expect((await count({ 'content-encoding': 'identity' })).statusCode).toBe(200)
  const refused = await count({ 'content-encoding': 'gzip' })
  expect([refused.statusCode, refused.json()]).toMatchObject([
    400,
    { code: 'BODY_UNREADABLE', detail: expect.stringContaining('Content-Encoding says gzip: leave that header out') },
  ])
})

test.each([
  ['{"count":1,"__proto__":{"a":1}}', /`__proto__`/],
  ['{"count":1,"note":{"constructor":{"prototype":{}}}}', /`constructor`/],
  ['{"count":1,"__proto__":', /not valid JSON/],
])('JSON that is refused for its names is not said to be none: %s', async (payload, detail) => {
  await open([routes])
  const headers = { ...asReader, 'content-type': 'application/json' }
  const refused = await server.inject({ method: 'POST', url: '/v1/count', payload, headers })
  expect([refused.statusCode, refused.json()]).toMatchObject([400, { detail: expect.stringMatching(detail) }])
})

const Alarm = Type.Object(
  { at: Type.Number({ default: 0.8 }), mail: Type.String() },
  { additionalProperties: false, default: { mail: 'ops' } },
)
const routes: Routes = scope => {
  scope.get(
    '/v1/who',
    {
      config: { access: 'read' },
      schema: {
        querystring: Type.Object(
          { limit: Type.Integer({ default: 10, maximum: 100 }) },
          { additionalProperties: false },
        ),
      },
    },
    request => ({ who: principalOf(request).name, tenant: principalOf(request).tenant, query: request.query }),
  )
  scope.post('/v1/count', { config: { access: 'read' }, schema: { body: Body } }, request => request.body)
  const Alarms = Type.Object({ alarm: Alarm, others: Type.Array(Alarm, { default: [] }) })
  scope.post('/v1/alarms', { config: { access: 'read' }, schema: { body: Alarms } }, request => request.body)
  scope.route({
    method: ['GET', 'POST'],
    url: '/v1/auth',
    config: { access: 'check' },
    handler: request => principalOf(request).name,
  })
  scope.get('/v1/auth/:token', { config: { access: 'check' } }, request => principalOf(request).name)
  scope.get<{ Params: { kind: string } }>('/v1/fail/:kind', { config: { access: 'read' } }, request => {
    const errors: Record<string, object> = {
      bug: {},
      conflict: { statusCode: 409, code: 'VERSION_CONFLICT' },
      full: { code: 'LOG_FULL', retryable: true },
      away: { code: 'ECONNREFUSED' },
      // ClickHouse's own codes: too much time, too much memory.
      slow: { code: '159' },
      large: { code: '241' },
      refused: { statusCode: 502, code: 'ALERT_UNDELIVERED' },
      limited: { statusCode: 429, code: 'LIMITED', retryAfterSeconds: 2.5 },
    }
    throw Object.assign(new Error(`secret of ${request.params.kind}`), errors[request.params.kind])
  })
}
const bearer = (name: string) => ({ authorization: `Bearer ${name}-token` })
const get = (url: string, headers: Record<string, string> = {}) => server.inject({ url, headers })

describe('access', () => {
  test('a route that states none keeps the server from starting', async () => {
    await expect(open([scope => void scope.get('/v1/naked', () => 'x')])).rejects.toThrow('states no access')
  })

  test('is refused without a token, with an unknown one and without the scope; health alone is open', async () => {
    await open([routes])
    const answers = [
      await get('/v1/who'),
      await get('/v1/who', bearer('stranger')),
      await get('/v1/who', bearer('gateway')),
      await get('/metrics'),
      await get('/openapi.json'),
      await get('/healthz'),
      await get('/readyz'),
    ]
    expect(answers.map(answer => answer.statusCode)).toEqual([401, 401, 403, 401, 401, 200, 200])
    expect(answers[0]?.headers['www-authenticate']).toMatch(/^Bearer/)
    expect(answers[2]?.json()).toMatchObject({ status: 403, code: 'SCOPE_MISSING' })
  })

  test('whoever may read all tenants gets the metrics, in the format that they say they are in', async () => {
    await open([routes])
    const { body, headers } = await get('/metrics', bearer('scraper'))
    expect(body).toBe('metrics')
    expect(headers).toMatchObject({ 'content-type': 'text/plain; version=0.0.4; charset=utf-8', vary: 'Accept' })
    const ofOne = await get('/metrics', bearer('reader'))
    expect(ofOne.statusCode).toBe(403)
    expect(ofOne.json()).toMatchObject({ code: 'TENANT_FORBIDDEN' })
    const chosen = await get('/metrics', { ...bearer('scraper'), accept: 'application/openmetrics-text' })
    expect(chosen.body).toBe('# EOF\n')
    expect(chosen.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  })

  test('is granted by bearer or by our own header, whose principal the handler gets; admin may do all', async () => {
    await open([routes])
    expect((await get('/v1/who', bearer('reader'))).json()).toMatchObject({ who: 'reader', tenant: 'acme' })
    expect((await get('/v1/who', { 'x-quotacast-token': 'reader-token' })).json()).toMatchObject({ who: 'reader' })
    expect((await get('/v1/who', { ...bearer('gateway'), 'x-quotacast-token': 'root-token' })).json()).toMatchObject({
      who: 'root',
    })
  })

  test('to forward-auth never comes from Authorization, which is the credential of the caller', async () => {
    await open([routes])
    const refused = await get('/v1/auth?x=1', bearer('gateway'))
    expect(refused.statusCode).toBe(401)
    expect(refused.json().detail).toContain('needed in X-Quotacast-Token')
    expect(
      (await get('/v1/auth', { authorization: 'Bearer sk-caller', 'x-quotacast-token': 'gateway-token' })).body,
    ).toBe('gateway')
    expect((await get('/v1/auth/gateway-token')).body).toBe('gateway')
    expect((await get('/v1/auth/stranger', bearer('gateway'))).statusCode).toBe(401)
  })

  test('is checked before the body is read', async () => {
    await open([routes])
    const answer = await server.inject({
      method: 'POST',
      url: '/v1/count',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.statusCode).toBe(401)
  })
})

describe('requests', () => {
  const post = (payload: unknown, url = '/v1/count') =>
    server.inject({
      method: 'POST',
      url,
      payload: JSON.stringify(payload),
      headers: { ...bearer('reader'), 'content-type': 'application/json' },
    })

  test('with a wrong body are refused with every place that is wrong; nothing is coerced or dropped', async () => {
    await open([routes])
    expect((await post({ count: 1 })).json()).toEqual({ count: 1 })
    for (const [wrong, path, message] of [
      [{ count: '1' }, '/count', 'must be integer, not "1"'],
      [{ count: 1, 'more/': true }, '/more~1', 'is unknown; known are count, note'],
      [{}, '/count', 'is missing'],
      [7, '', 'must be object, not 7'],
    ] as const) {
      const answer = await post(wrong)
      expect(answer.statusCode).toBe(400)
      expect(answer.headers['content-type']).toContain('application/problem+json')
      expect(answer.json()).toMatchObject({ code: 'REQUEST_INVALID', errors: [{ path, message }] })
    }
    expect((await post({ others: [{ mail: 'me' }, { mail: 5 }] }, '/v1/alarms')).json().errors).toEqual([
      { path: '/others/1/mail', message: 'must be string, not 5' },
    ])
  })

  test('have their bodies completed, and the reference says what may be left out', async () => {
    await open([routes])
    const alarm = { at: 0.8, mail: 'ops' }
    expect((await post({}, '/v1/alarms')).json()).toEqual({ alarm, others: [] })
    const others = [{ mail: 'me' }, { at: 0.5, mail: 'you' }]
    expect((await post({ others }, '/v1/alarms')).json()).toEqual({
      alarm,
      others: [{ at: 0.8, mail: 'me' }, others[1]],
    })
    const { paths } = (await get('/openapi.json', bearer('root'))).json()
    expect(paths['/v1/alarms'].post.requestBody.content['application/json'].schema).toMatchObject({
      required: [],
      properties: { alarm: { required: ['mail'] } },
    })
    expect(paths['/v1/who'].get.parameters[0]).toMatchObject({ name: 'limit', required: false })
  })

  test('have their queries completed and converted', async () => {
    await open([routes])
    expect((await get('/v1/who', bearer('reader'))).json()).toMatchObject({ query: { limit: 10 } })
    expect((await get('/v1/who?limit=7', bearer('reader'))).json()).toMatchObject({ query: { limit: 7 } })
    expect((await get('/v1/who?limit=101', bearer('reader'))).statusCode).toBe(400)
    // Nothing else becomes a number.
    for (const wrong of ['1.9', 'true', '', '%20', '0x7', '7&limit=8']) {
      expect((await get(`/v1/who?limit=${wrong}`, bearer('reader'))).statusCode, wrong).toBe(400)
    }
    expect((await get('/v1/who?limt=1', bearer('reader'))).statusCode).toBe(400)
  })
})

describe('problems', () => {
  test.each([
    ['bug', 500, 'This is our fault; the log of the role says more.', undefined],
    ['full', 503, 'Not now: try again.', 'LOG_FULL'],
    ['away', 503, 'Not now: try again.', 'STORE_UNAVAILABLE'],
    ['slow', 503, expect.stringMatching(/^The store gave up.* Ask for less/), 'STORE_OVERLOADED'],
    ['large', 503, expect.stringMatching(/^The store gave up.* Ask for less/), 'STORE_OVERLOADED'],
    ['refused', 502, 'secret of refused', 'ALERT_UNDELIVERED'],
    ['conflict', 409, 'secret of conflict', 'VERSION_CONFLICT'],
    ['limited', 429, 'secret of limited', 'LIMITED'],
  ])('%s is %d', async (kind, status, detail, code) => {
    await open([routes])
    const answer = await get(`/v1/fail/${kind}`, bearer('reader'))
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status, detail, ...(code && { code }) })
  })

  test('say when to come back, in whole seconds', async () => {
    await open([routes])
    expect((await get('/v1/fail/full', bearer('reader'))).headers['retry-after']).toBe('1')
    expect((await get('/v1/fail/limited', bearer('reader'))).headers['retry-after']).toBe('3')
  })

  test('also are what the framework itself refuses', async () => {
    await open([routes])
    for (const url of ['/v1/nowhere', '/v1/%']) {
      const answer = await get(url, bearer('reader'))
      expect(answer.headers['content-type']).toContain('application/problem+json')
      expect(answer.statusCode).toBe(404)
    }
  })

  test.each([
    ['PUT', '/v1/count', 'POST'],
    ['GET', '/v1/count', 'POST'],
    ['POST', '/v1/who', 'GET, HEAD'],
    ['OPTIONS', '/v1/fail/bug', 'GET, HEAD'],
    ['TRACE', '/healthz', 'GET, HEAD'],
  ] as const)('say to %s %s which methods there are: %s', async (method, url, allow) => {
    await open([routes])
    const answer = await server.inject({ method: method as 'GET', url, headers: { 'content-type': 'a/b' } })
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, allow])
    expect(answer.json()).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' })
  })

  test.each(['text/plain', 'application/xml', ''])('say what to do about a body of the type %j', async type => {
    await open([routes])
    const headers = { ...bearer('reader'), 'content-type': type }
    const answer = await server.inject({ method: 'POST', url: '/v1/count', payload: '{"count":1}', headers })
    expect(answer.statusCode).toBe(415)
    expect(answer.json().detail).toContain('/openapi.json')
  })

  test('are not made of a body that comes byte by byte, which is no more than its bytes', async () => {
    await open([routes])
    let grownBytes = 0
    const pieces = async function* () {
      const before = process.memoryUsage().heapUsed
      for (let sent = 0; sent < 2 ** 19; sent += 1) yield Buffer.from(' ')
      grownBytes = process.memoryUsage().heapUsed - before
      yield Buffer.from('{"count":1}')
    }
    const headers = { ...bearer('reader'), 'content-type': 'application/json' }
    const payload = Readable.from(pieces(), { objectMode: false })
    const answer = await server.inject({ method: 'POST', url: '/v1/count', payload, headers })
    expect(answer.statusCode).toBe(200)
    expect(grownBytes).toBeLessThan(50 * 2 ** 20)
  })

  test('are told of large bodies when too many bytes are under way; small ones have room, and who goes gives his back', async () => {
    await open([routes])
    const [port = 0] = await freePorts(1)
    await listen(server, { host: '127.0.0.1', port })
    const head =
      'POST /v1/count HTTP/1.1\r\nhost: a\r\nauthorization: Bearer reader-token\r\ncontent-type: application/json\r\n'
    const begun = `${head}content-length: 1000000\r\n\r\n{"note":"${'x'.repeat(990_000)}`
    const sendSlowly = async (senders: number) => {
      const answers: string[] = []
      const accepted: Socket[] = []
      server.server.on('connection', socket => accepted.push(socket))
      const sockets = Array.from({ length: senders }, () => connect(port, '127.0.0.1'))
      for (const socket of sockets) {
        socket.on('error', () => undefined).on('data', answer => answers.push(String(answer)))
        socket.write(begun)
      }
      const whole = () => accepted.filter(({ bytesRead }) => bytesRead === begun.length).length
      await expect.poll(() => answers.length + whole(), { timeout: 60_000 }).toBeGreaterThanOrEqual(senders)
      return { answers, leave: () => sockets.map(socket => socket.destroy()) }
    }
    const many = await sendSlowly(40)
    await expect.poll(() => many.answers.length).toBeGreaterThanOrEqual(7)
    expect(many.answers[0]).toContain('HTTP/1.1 503 ')
    expect(many.answers[0]).toContain('retry-after: 2')
    expect((await count({})).statusCode).toBe(200)
    many.leave()
    await expect.poll(() => promisify(server.server.getConnections.bind(server.server))()).toBe(0)
    const fewer = await sendSlowly(30)
    expect((await count({})).statusCode).toBe(200)
    expect(fewer.answers).toEqual([])
    fewer.leave()
  })

  test('are told behind more requests at once than a connection may have', async () => {
    await open([routes])
    const [port = 0] = await freePorts(1)
    await listen(server, { host: '127.0.0.1', port })
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined).write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2 * WAITING_MAX))
    let answer = ''
    for await (const part of socket) answer += part
    const [head = '', body = ''] = answer.slice(answer.lastIndexOf('HTTP/1.1 503 ')).split('\r\n\r\n')
    expect(head).toContain('application/problem+json')
    expect(head).toContain('retry-after: 1')
    expect(body).toContain('"code":"TOO_MANY_WAITING"')
    expect(body).toContain('read answers before you send more')
  })

  test.each([
    ['GET /v1/a b HTTP/1.1\r\n\r\n', 400],
    [`GET /v1/who HTTP/1.1\r\nx: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ['CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n', 400],
    ['GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['GET /nowhere HTTP/1.1\r\nHost: a\r\nhost: b\r\nConnection: close\r\n\r\n', 400],
    ['POST /v1/count HTTP/1.1\r\nHost: a\r\nExpect: something\r\nContent-Length: 2\r\n\r\n{}', 417],
  ])('are told of what is no request: %.30s', async (bytes, status) => {
    await open([routes])
    const [port = 0] = await freePorts(1)
    await listen(server, { host: '127.0.0.1', port })
    const socket = connect(port, '127.0.0.1')
    // What comes after the answer may meet a closed connection.
    socket.on('error', () => undefined).write(bytes)
    let answer = ''
    for await (const part of socket) answer += part
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(head).toContain('application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ type: 'about:blank', status, detail: expect.stringMatching(/.{20}/) })
  })
})

test.each([
  [200, true],
  [503, false],
])('readiness is %i, with what is wrong', async (status, isReady) => {
  const readiness = { isReady, reasons: ['the store does not answer'] }
  await open([], { readiness: async () => readiness })
  const answer = await get('/readyz')
  expect(answer.statusCode).toBe(status)
  expect(answer.json()).toEqual(readiness)
})

test('the API reference is OpenAPI 3.1 of the routes', async () => {
  await open([routes])
  const { openapi, paths, info, components } = (await get('/openapi.json', bearer('root'))).json()
  expect(openapi).toBe('3.1.0')
  expect(info.version).toBe('1.2.3')
  expect(components.schemas.Problem.properties.detail.type).toBe('string')
  expect(paths['/v1/who'].get.responses.default.content['application/problem+json'].schema).toEqual({
    $ref: '#/components/schemas/Problem',
  })
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/v1/who', '/v1/count', '/v1/auth/{token}', '/healthz']))
  const text = { schema: { type: 'string' } }
  const { content } = paths['/metrics'].get.responses['200']
  expect(content).toEqual({ 'text/plain': text, 'application/openmetrics-text': text })
  expect(Object.keys(paths['/readyz'].get.responses['503'].content)).toEqual([
    'application/problem+json',
    'application/json',
  ])
  expect(paths['/v1/count'].post.requestBody.content['application/json'].schema.properties.count).toEqual({
    type: 'integer',
  })
})

describe('a server that closes', () => {
  /** A request whose handler has begun and ends when it may. In an object: a promise would be awaited with its function. */
  const startSlowRequest = async () => {
    const begun = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const slow: Routes = scope =>
      void scope.get('/v1/slow', { config: { access: 'read' } }, async () => {
        begun.resolve()
        await ended.promise
        return 'done'
      })
    await open([slow])
    const [port = 0] = await freePorts(1)
    const url = await listen(server, { host: '127.0.0.1', port })
    const answer = fetch(`${url}/v1/slow`, { headers: bearer('reader') }).then(response => response.text())
    await begun.promise
    return { answer, end: () => ended.resolve() }
  }

  test('finishes what is under way, and does not wait for its client to hang up', async () => {
    const { answer, end } = await startSlowRequest()
    const closed = closeServer(server, 5000)
    end()
    await closed
    expect(await answer).toBe('done')
  })

  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['localhost', '127.0.0.1'],
    ['localhost', '::1'],
  ])(
    'answers what comes meanwhile on connections that were kept, and says that they end: %s, %s',
    async (host, address) => {
      const quick = { method: 'GET', path: '/v1/quick', access: 'read' } as const
      const answer = () => ({ status: 200, headers: {}, body: 'done' })
      const whole: Routes = scope => void scope.get('/v1/whole', { config: { access: 'read' } }, async () => 'done')
      await open([whole], { quick: [{ ...quick, answer }] })
      const [port = 0] = await freePorts(1)
      await listen(server, { host, port }, async () => ['127.0.0.1', '::1'])
      const requestOf = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Quotacast-Token: reader-token\r\n\r\n`
      const sockets = ['/v1/whole', '/v1/quick'].map(path => ({ path, socket: connect(port, address) }))
      /** Whether the connection stays, of each answer. */
      const ask = () =>
        Promise.all(
          sockets.map(async ({ path, socket }) => {
            socket.write(requestOf(path))
            const [told] = await once(socket, 'data')
            return /^connection: (.*)\r$/im.exec(String(told))?.[1]
          }),
        )
      expect(await ask()).toEqual(['keep-alive', 'keep-alive'])
      const closed = closeServer(server, 5000)
      expect(await ask()).toEqual(['close', 'close'])
      await closed
    },
  )

  test('cuts off what takes too long', async () => {
    const { answer, end } = await startSlowRequest()
    const cutOff = expect(answer).rejects.toThrow()
    await closeServer(server, 10)
    await cutOff
    end()
  })
})
