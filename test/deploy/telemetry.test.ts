import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

/** Counts once, makes one span, prints a scrape, closes. In a process of its own, as the SDK is the process' own. */
const SCRIPT = `
  const { startTelemetry } = await import(process.argv[1])
  const telemetry = await startTelemetry('limiter')
  const { metrics, trace } = await import('@opentelemetry/api')
  metrics.getMeter('test').createCounter('quotacast_test_total').add(3)
  trace.getTracer('test').startSpan('work').end()
  await new Promise(resolve => telemetry.serveMetrics({}, { setHeader() {}, end(text) { console.log(text); resolve() } }))
  const startedAtMs = performance.now()
  await telemetry.close()
  console.log(JSON.stringify({ isTracing: telemetry.isTracing, closeMs: performance.now() - startedAtMs }))
`
const MODULE = new URL('../../deploy/telemetry.ts', import.meta.url).href
const REPOSITORY = new URL('../..', import.meta.url).pathname

const received: string[] = []
const instances = new Set<string>()
const collector = createServer((request, response) => {
  received.push(request.url ?? '')
  request.setEncoding('latin1').on('data', (sent: string) => {
    for (const [, id = ''] of sent.matchAll(/service\.instance\.id[^0-9a-f]+([0-9a-f-]{36})/g)) instances.add(id)
  })
  request.on('end', () => response.end())
})
let endpoint: string
beforeEach(async () => {
  received.length = 0
  instances.clear()
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
})
afterEach(() => collector.close())

const run = async (environment: Record<string, string>) => {
  const args = ['--input-type=module', '-e', SCRIPT, MODULE]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: environment, cwd: REPOSITORY })
  const lines = stdout.trim().split('\n')
  return { scrape: lines.slice(0, -1).join('\n'), ...JSON.parse(lines.at(-1) ?? '') }
}

describe('telemetry', () => {
  test('is scraped, names the role and not the machine, and goes nowhere unless asked for', async () => {
    const { scrape, isTracing, closeMs } = await run({})
    expect(scrape).toContain('quotacast_test_total')
    expect(scrape).toContain('service_name="quotacast-limiter"')
    expect(scrape).not.toMatch(/process_|host_/)
    expect(isTracing).toBe(false)
    expect(closeMs).toBeLessThan(1000)
    expect(received).toEqual([])
  })

  test('goes to the collector that the standard variables name, and is scraped all the same', async () => {
    const { scrape, isTracing } = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: 'edge' })
    expect(scrape).toContain('service_name="edge"')
    expect(isTracing).toBe(true)
    expect(new Set(received)).toEqual(new Set(['/v1/metrics', '/v1/traces']))
  })

  test('tells one process of a role from another', async () => {
    for (const processes of [1, 2]) {
      await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
      expect(instances.size).toBe(processes)
    }
  })

  test('sends one signal without the other', async () => {
    await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' })
    expect(new Set(received)).toEqual(new Set(['/v1/metrics']))
  })
})
