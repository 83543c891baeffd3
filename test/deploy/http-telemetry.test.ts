import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const REPOSITORY = new URL('../..', import.meta.url).pathname

/** Answers one forward-auth request with a token in its path, prints a scrape. In a process of its own, as the SDK is the process' own. */
const SCRIPT = `
  const { startTelemetry } = await import(process.argv[1] + 'telemetry.ts')
  const telemetry = await startTelemetry('limiter')
  const { createServer } = await import(process.argv[1] + 'http.ts')
  const { createLogger } = await import(process.argv[1] + 'logging.ts')
  const server = await createServer({
    role: 'limiter', version: '1', log: createLogger({ role: 'limiter' }, 'error'), readiness: async () => ({ isReady: true, reasons: [] }), isTracing: telemetry.isTracing,
    metrics: telemetry.metrics,
    verify: () => ({ name: 'gateway', scopes: new Set(['admin']), tenant: null }),
    routes: [scope => void scope.get('/v1/auth/:token', { config: { access: 'check' } }, () => 'yes'),
      scope => void scope.get('/v1/broken', { config: { access: 'check' } }, async () => { throw new Error('broken') }),
      scope => ['traces', 'metrics', 'logs'].forEach(signal => scope.post('/v1/' + signal, { config: { access: 'ingest' } }, () => 'yes'))],
  })
  const headers = { authorization: 'Bearer any', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }
  for (const url of ['/v1/auth/qc_secret', '/v1/broken']) await server.inject({ url, headers })
  await server.inject('/healthz')
  for (const url of ['/v1/traces', '/v1/metrics', '/v1/logs']) await server.inject({ method: 'POST', url, headers: { authorization: 'Bearer any' } })
  console.log((await server.inject({ url: '/metrics', headers: { authorization: 'Bearer any' } })).body)
  await telemetry.close()
`

test('requests are measured and traced by route, as children of their callers, and a token in a path stays out', async () => {
  const bodies: string[] = []
  const collector = createServer(async (request, response) => {
    if (request.url === '/v1/traces') bodies.push((await request.toArray()).join(''))
    response.end()
  })
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
  try {
    const folder = new URL('../../deploy/', import.meta.url).href
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', SCRIPT, folder],
      {
        cwd: REPOSITORY,
        env: {
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
          OTEL_METRICS_EXPORTER: 'none',
        },
      },
    )
    expect(stdout).toMatch(
      /quotacast_http_request_duration_seconds_count\{[^}]*http_route="\/v1\/auth\/:token"[^}]*\} 1/,
    )
    const traces = bodies.join('\n')
    expect(traces).toContain('"name":"GET /v1/auth/:token"')
    expect(traces).toContain('0af7651916cd43dd8448eb211c80319c')
    // Those that ask all day long whether all is well would be most of what is sent, and our own spans its cause.
    for (const signal of ['traces', 'metrics', 'logs'])
      expect(stdout).toContain(`http_route="/v1/${signal}",http_response_status_code="200"`)
    expect(traces.match(/"spanId"/g)).toHaveLength(2)
    const spanId = /"spanId":"(\w+)"[^{}]*"name":"GET \/v1\/broken"/.exec(traces)?.[1]
    expect(JSON.parse(stderr)).toMatchObject({ trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: spanId })
    expect(stdout + traces).not.toContain('qc_secret')
  } finally {
    collector.close()
  }
})
