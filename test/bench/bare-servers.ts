/**
 * The baselines: servers that answer at once, each in a process of its own. `node bare-servers.ts KIND` prints its port.
 * `http` is bare node:http, `fastify` parses the JSON body and answers through a response schema, as the product does,
 * `http2` reads a gRPC message and answers the bytes of a decision of Envoy's rate limit service.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import type { Server } from 'node:net'
import Fastify from 'fastify'

/** As Quotacast's: at a low rate some connections have nothing to carry for seconds. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000

/** What `/v1/check` answers for three quotas, so that both servers write the same bytes. */
const ANSWER = {
  allowed: true,
  decisionId: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  asOfMs: 1_790_000_000_000,
  binding: 'bench-1',
  retryAfterMs: null,
  degraded: false,
  blocked: null,
  quotas: [1, 2, 3].map(number => ({
    quota: `bench-${number}`,
    unit: 'requests',
    limit: 1_000_000,
    used: 1000,
    reserved: 0,
    remaining: 999_000,
    resetAtMs: 1_790_000_000_000,
    countsLongerMs: 0,
    overshootMax: 0,
    enforcement: 'deny',
  })),
}
const text = JSON.stringify(ANSWER)

function answerBare(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', chunk => {
    bytes += chunk.length
  })
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(request.url === '/v1/calls' ? `{"accepted":${bytes > 0 ? 500 : 0},"rejected":[]}` : text)
  })
}

async function listenFastify(): Promise<number> {
  const quota = {
    type: 'object',
    properties: {
      quota: { type: 'string' },
      unit: { type: 'string' },
      limit: { type: 'number' },
      used: { type: 'number' },
      reserved: { type: 'number' },
      remaining: { type: 'number' },
      resetAtMs: { type: 'number' },
      countsLongerMs: { type: 'number' },
      overshootMax: { type: 'number', nullable: true },
      enforcement: { type: 'string' },
    },
  }
  const schema = {
    response: {
      200: {
        type: 'object',
        properties: {
          allowed: { type: 'boolean' },
          decisionId: { type: 'string' },
          asOfMs: { type: 'number' },
          binding: { type: 'string', nullable: true },
          retryAfterMs: { type: 'number', nullable: true },
          degraded: { type: 'boolean' },
          blocked: { type: 'string', nullable: true },
          quotas: { type: 'array', items: quota },
        },
      },
    },
  }
  const server = Fastify({ bodyLimit: 2 ** 26, keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS })
  server.post('/v1/check', { schema }, async () => ANSWER)
  server.all('/v1/auth', async () => '')
  return new URL(await server.listen({ port: 0, host: '127.0.0.1' })).port as unknown as number
}

/** A framed answer of the same length as ours: three quotas in statuses, a header of 90 characters for the upstream. */
const RLS_ANSWER = Buffer.concat([Buffer.from([0, 0, 0, 0, 230]), Buffer.alloc(230, 8)])

function answerStream(stream: ServerHttp2Stream): void {
  stream.on('data', () => undefined)
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(RLS_ANSWER)
  })
}

async function listenBare(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a listening server has an address')
  return address.port
}

const KINDS: Record<string, () => Promise<number>> = {
  http: () => listenBare(createServer({ keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS }, answerBare)),
  http2: () => listenBare(createHttp2Server().on('stream', answerStream)),
  fastify: listenFastify,
}
process.stdout.write(`${await KINDS[process.argv[2] ?? '']?.()}\n`)
