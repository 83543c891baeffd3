/**
 * Real gateways in front of a backend: calls pass until the quota is used up, the one after it gets 429 with the header
 * fields, and without a limiter the gateway does what it is configured to.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePorts } from '../../free-ports.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { caddyChecks, startCaddy } from '../../servers/gateways/caddy.ts'
import { envoyChecks, startEnvoy } from '../../servers/gateways/envoy.ts'
import type { Gateway } from '../../servers/gateways/gateway.ts'
import { haproxyChecks, startHaproxy } from '../../servers/gateways/haproxy.ts'
import { nginxChecks, startNginx } from '../../servers/gateways/nginx.ts'
import { testQuota } from '../quotas.ts'
import { type DoorWorld, openDoors } from './door-world.ts'
import { envoyBootstrap } from './envoy-bootstrap.ts'
import { HAPROXY_ACTION } from './haproxy-action.ts'

const START_MS = 60_000
/** Calls that the quota of each consumer lets pass. */
const LIMIT = 3
const KEY = 'sk-proj-1234567890abcdefghij'

let backend: Server
let backendPort: number
/** What reached the backend, by the path that was called. */
const served = new Map<string, { count: number; headers: Record<string, unknown> }>()

beforeAll(async () => {
  backend = createServer((request, response) => {
    const path = request.url ?? ''
    served.set(path, { count: (served.get(path)?.count ?? 0) + 1, headers: request.headers })
    request.resume()
    response.end('from the backend')
  })
  await new Promise<void>(resolve => backend.listen(0, '127.0.0.1', resolve))
  backendPort = (backend.address() as AddressInfo).port
})
afterAll(() => new Promise(resolve => backend.close(resolve)))

const quota = testQuota({ name: 'calls', per: ['tenant', 'consumer'], limit: LIMIT })
/** A gateway that says nothing of its tenant is that of the tenant `acme`. */
const openWorld = () =>
  openDoors({ quotas: [quota], keys: [{ ids: ['web'], consumer: 'web' }], limiter: { legacyHeaders: true } })

async function call(port: number, path: string, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${KEY}`, 'x-consumer': 'web', ...init.headers }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

/** Uses the quota up, with a body on each call, and answers the denial. */
async function useUp(port: number, path: string, init: RequestInit = { method: 'POST', body: '{"model":"gpt-5"}' }) {
  for (let turn = 0; turn < LIMIT; turn += 1) {
    const { status, body } = await call(port, path, init)
    expect([turn, status, body]).toEqual([turn, 200, 'from the backend'])
  }
  const denied = await call(port, path, init)
  expect(denied.status).toBe(429)
  expect(served.get(path)?.count).toBe(LIMIT)
  return denied
}

interface Case {
  gateway: Gateway
  world: DoorWorld
}
const running: Case[] = []
async function closeAll() {
  for (const { gateway, world } of running.splice(0)) {
    await gateway.stop()
    await world.close()
  }
}

describeWith(nginxChecks, 'nginx', () => {
  let port: number
  let world: DoorWorld
  beforeAll(async () => {
    world = await openWorld()
    ;[port = 0] = await freePorts(1)
    const gateway = await startNginx(port, nginxHttp(port, world.url))
    running.push({ gateway, world })
  }, START_MS)
  afterAll(closeAll)

  test('turns the 403 of its profile into 429, with the fields', async () => {
    const denied = await useUp(port, '/nginx')
    expect(denied.headers.get('retry-after')).toBe('3000')
    expect(denied.headers.get('ratelimit')).toBe('"calls";r=0;t=3000')
    expect(denied.headers.get('ratelimit-policy')).toContain('"calls";q=3;w=3600')
    expect(served.get('/nginx')?.headers['x-quotacast-decision-id']).toMatch(/^1\./)
  })

  test('lets calls pass while the limiter is away, as configured', async () => {
    await world.stopDoors()
    expect(await call(port, '/nginx-open')).toMatchObject({ status: 200, body: 'from the backend' })
  })
})

describeWith(caddyChecks, 'Caddy', () => {
  let port: number
  let world: DoorWorld
  beforeAll(async () => {
    world = await openWorld()
    ;[port = 0] = await freePorts(1)
    const gateway = await startCaddy(port, caddySite(port, world.url))
    running.push({ gateway, world })
  }, START_MS)
  afterAll(closeAll)

  test('hands the denial on as it is', async () => {
    const denied = await useUp(port, '/caddy')
    expect(denied.headers.get('retry-after')).toBe('3000')
    expect(denied.headers.get('ratelimit')).toBe('"calls";r=0;t=3000')
    expect(JSON.parse(denied.body)).toMatchObject({ status: 429, 'violated-policies': ['calls'] })
    expect(served.get('/caddy')?.headers['x-quotacast-decision-id']).toMatch(/^1\./)
  })

  test('refuses calls while the limiter is away', async () => {
    await world.stopDoors()
    expect((await call(port, '/caddy-closed')).status).toBe(502)
    expect(served.has('/caddy-closed')).toBe(false)
  })
})

describeWith(haproxyChecks, 'HAProxy', () => {
  let port: number
  let world: DoorWorld
  beforeAll(async () => {
    world = await openWorld()
    ;[port = 0] = await freePorts(1)
    const files = { 'quotacast.lua': HAPROXY_ACTION(`${world.url}/v1/auth`) }
    const gateway = await startHaproxy(port, haproxySections(port), files)
    running.push({ gateway, world })
  }, START_MS)
  afterAll(closeAll)

  test('answers what the limiter answered', async () => {
    const denied = await useUp(port, '/haproxy')
    expect(denied.headers.get('retry-after')).toBe('3000')
    expect(denied.headers.get('ratelimit')).toBe('"calls";r=0;t=3000')
    expect(JSON.parse(denied.body)).toMatchObject({ status: 429 })
  })

  test('lets calls pass while the limiter is away, as its action says', async () => {
    await world.stopDoors()
    expect((await call(port, '/haproxy-open')).status).toBe(200)
  })
})

describeWith(envoyChecks, 'Envoy', () => {
  let ports: { rls: number; rlsStrict: number; authz: number; authzHttp: number }
  let world: DoorWorld
  let isHanging = false
  beforeAll(async () => {
    world = await openDoors({
      quotas: [quota],
      limiter: { legacyHeaders: false },
      wrap: store => ({
        ...store,
        decideAtOnce: null,
        decide: request => (isHanging ? new Promise(() => undefined) : store.decide(request)),
      }),
    })
    const [rls = 0, rlsStrict = 0, authz = 0, authzHttp = 0] = await freePorts(4)
    ports = { rls, rlsStrict, authz, authzHttp }
    const limiter = { grpc: world.grpcPort, http: Number(new URL(world.url).port) }
    const gateway = await startEnvoy(rls, envoyBootstrap(ports, { limiter, backend: backendPort }))
    running.push({ gateway, world })
  }, 5 * START_MS)
  afterAll(closeAll)

  test('by its rate limit service: 429 with its own header fields, each once', async () => {
    const denied = await useUp(ports.rls, '/rls', { method: 'POST', body: 'x', headers: { 'x-consumer': 'rls' } })
    expect(denied.headers.get('retry-after')).toBe('3000')
    expect(denied.headers.get('x-ratelimit-limit')).toBe('3, 3;w=3600;name="calls"')
    expect(denied.headers.get('x-ratelimit-remaining')).toBe('0')
    expect(denied.headers.get('x-ratelimit-reset')).toBe('3000')
    expect(denied.headers.get('content-type')).toBe('application/problem+json')
    expect(JSON.parse(denied.body)).toMatchObject({ status: 429, 'violated-policies': ['calls'] })
    expect(served.get('/rls')?.headers['x-quotacast-decision-id']).toMatch(/^1\./)
  })

  test('by ext_authz over gRPC: 429 with the fields, also on calls that pass', async () => {
    const passing = call(ports.authz, '/authz-passing', { headers: { authorization: 'Bearer sk-other-1234567890abc' } })
    expect((await passing).headers.get('ratelimit')).toBe('"calls";r=2;t=3000')
    const denied = await useUp(ports.authz, '/authz')
    expect(denied.headers.get('retry-after')).toBe('3000')
    expect(denied.headers.get('ratelimit')).toBe('"calls";r=0;t=3000')
    expect(JSON.parse(denied.body)).toMatchObject({ status: 429 })
    expect(served.get('/authz')?.headers['x-quotacast-decision-id']).toMatch(/^1\./)
  })

  test('by ext_authz over HTTP: any path, any method', async () => {
    const headers = { authorization: 'Bearer sk-http-1234567890abcdef' }
    expect((await call(ports.authzHttp, '/any/path?x=1', { method: 'PROPFIND', headers })).status).toBe(200)
    expect((await call(ports.authzHttp, '/', { method: 'OPTIONS', headers })).status).toBe(200)
    expect((await call(ports.authzHttp, '/any', { method: 'POST', body: 'x', headers })).status).toBe(200)
    const denied = await call(ports.authzHttp, '/any/other', { headers })
    expect([denied.status, denied.headers.get('retry-after')]).toEqual([429, '3000'])
    expect(denied.headers.get('ratelimit')).toBe('"calls";r=0;t=3000')
    expect(denied.headers.get('content-type')).toContain('application/problem+json')
  })

  test('gives up on a limiter that does not answer, within its own deadline, and does as configured', async () => {
    isHanging = true
    expect((await call(ports.rls, '/rls-open')).status).toBe(200)
    expect((await call(ports.rlsStrict, '/rls-strict')).status).toBe(500)
    expect((await call(ports.authz, '/authz-closed')).status).toBe(403)
    isHanging = false
  })

  test('does so when the limiter is gone', async () => {
    await world.stopDoors()
    expect((await call(ports.rls, '/rls-open')).status).toBe(200)
    expect((await call(ports.rlsStrict, '/rls-strict')).status).toBe(500)
    expect((await call(ports.authz, '/authz-closed')).status).toBe(403)
    expect((await call(ports.authzHttp, '/authz-http-open')).status).toBe(200)
    expect(served.has('/rls-strict')).toBe(false)
    expect(served.has('/authz-closed')).toBe(false)
  })
})

const nginxHttp = (port: number, limiterUrl: string) => `
  access_log off;
  upstream backend { server 127.0.0.1:${backendPort}; }
  server {
    listen 127.0.0.1:${port};
    location = /_quotacast {
      internal;
      proxy_pass ${limiterUrl}/v1/auth/nginx;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Quotacast-Token gateway;
      proxy_set_header X-Quotacast-Tenant acme;
      proxy_set_header X-Quotacast-Consumer $http_x_consumer;
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_connect_timeout 500ms;
      proxy_read_timeout 2s;
    }
    location / {
      auth_request /_quotacast;
      auth_request_set $quotacast_status $upstream_http_x_quotacast_status;
      auth_request_set $quotacast_retry $upstream_http_retry_after;
      auth_request_set $quotacast_limit $upstream_http_ratelimit;
      auth_request_set $quotacast_policy $upstream_http_ratelimit_policy;
      auth_request_set $quotacast_id $upstream_http_x_quotacast_decision_id;
      proxy_set_header X-Quotacast-Decision-Id $quotacast_id;
      add_header RateLimit $quotacast_limit always;
      error_page 403 = @denied;
      error_page 500 = @open;
      proxy_pass http://backend;
    }
    location @denied {
      add_header Retry-After $quotacast_retry always;
      add_header RateLimit $quotacast_limit always;
      add_header RateLimit-Policy $quotacast_policy always;
      if ($quotacast_status = 429) { return 429; }
      return 403;
    }
    location @open { proxy_pass http://backend; }
  }
`

const caddySite = (port: number, limiterUrl: string) => `
http://127.0.0.1:${port} {
  forward_auth ${limiterUrl} {
    uri /v1/auth
    header_up X-Quotacast-Token gateway
    header_up X-Quotacast-Tenant acme
    header_up X-Quotacast-Consumer {http.request.header.X-Consumer}
    copy_headers X-Quotacast-Decision-Id
  }
  reverse_proxy 127.0.0.1:${backendPort}
}
`

const haproxySections = (port: number) => `
global
  lua-load quotacast.lua
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend api
  bind 127.0.0.1:${port}
  http-request lua.quotacast
  default_backend app
backend app
  server app 127.0.0.1:${backendPort}
`
