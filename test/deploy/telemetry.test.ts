import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

/**
 * Counts once, makes one span, prints a scrape, closes. In a process of its own, as the SDK is the process' own. Of the
 * time that closing takes, `ranMs` leaves out what the machine stood still for.
 */
const SCRIPT = `
  const { startTelemetry } = await import(process.argv[1])
  const { countRunningTime } = await import(process.argv[2])
  const telemetry = await startTelemetry('limiter')
  const { metrics, trace } = await import('@opentelemetry/api')
  metrics.getMeter('test').createCounter('quotacast_test_total').add(3)
  trace.getTracer('test').startSpan('work').end()
  console.log(await telemetry.metrics())
  const time = countRunningTime()
  const startedAtMs = performance.now()
  await telemetry.close()
  const closeMs = performance.now() - startedAtMs
  console.log(JSON.stringify({ isTracing: telemetry.isTracing, closeMs, ranMs: time.stop() }))
  process.exit()
`
const MODULE = new URL('../../deploy/telemetry.ts', import.meta.url).href
const RUNNING_TIME = new URL('../running-time.ts', import.meta.url).href
const REPOSITORY = new URL('../..', import.meta.url).pathname

/** Until the receiver has got so many requests of a path. */
const UNTIL = `
  const { setTimeout: sleep } = await import('node:timers/promises')
  const untilReceived = async (path, count) => {
    const received = async () => Number(await (await fetch(process.env.OTEL_EXPORTER_OTLP_ENDPOINT + path)).text())
    while ((await received()) < count) await sleep(20)
  }
`

/** Makes spans until the receiver has refused two batches, and prints what was logged. */
const FAILING = `${UNTIL}
  const { startTelemetry } = await import(process.argv[1])
  const telemetry = await startTelemetry('limiter')
  const { trace } = await import('@opentelemetry/api')
  const logged = []
  telemetry.logTo({ warn: ({ reason }) => logged.push(reason) })
  trace.getTracer('test').startSpan('work').end()
  while (logged.length === 0) await sleep(20)
  trace.getTracer('test').startSpan('work').end()
  await untilReceived('/v1/traces', 2)
  await sleep(300)
  console.log(JSON.stringify({ logged }))
`

/** Scrapes twice, while a quota comes and another one goes. */
const COMING_AND_GOING = `
  const { startTelemetry } = await import(process.argv[1])
  const telemetry = await startTelemetry('analyzer')
  const { metrics } = await import('@opentelemetry/api')
  let there = ['gone', 'stays']
  const observe = result => there.forEach(quota => result.observe(1, { quota }))
  metrics.getMeter('test').createObservableGauge('quotacast_test').addCallback(observe)
  await telemetry.metrics()
  there = ['stays', 'came']
  console.log(await telemetry.metrics())
  console.log('{}')
`

/** As many quotas as there may be, each with two results: more series than the SDK tells apart unless it is told to. */
const MANY = `
  const { startTelemetry } = await import(process.argv[1])
  const telemetry = await startTelemetry('limiter')
  const { metrics } = await import('@opentelemetry/api')
  const decisions = metrics.getMeter('test').createCounter('quotacast_test_total')
  const quotas = Array.from({ length: 10_000 }, (_, index) => 'quota-' + index)
  for (const quota of quotas) for (const result of ['allowed', 'denied']) decisions.add(1, { quota, result })
  metrics.getMeter('test').createObservableGauge('quotacast_test').addCallback(result =>
    quotas.forEach(quota => result.observe(1, { quota })))
  const lines = (await telemetry.metrics()).split('\\n')
  const count = name => lines.filter(line => line.startsWith(name + '{quota=')).length
  console.log(JSON.stringify({ gauges: count('quotacast_test'), counters: count('quotacast_test_total') }))
`

const RUN_MS_MAX = 60_000
/** For as long what is left is sent. */
const CLOSE_MS_MAX = 2_000

const received: string[] = []
let sent = ''
/** How the receiver answers. */
let answer: 'ok' | 'refused' | 'nothing'
const instances = new Set<string>()
const collector = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(String(received.filter(path => path === request.url).length))
    return
  }
  received.push(request.url ?? '')
  request.setEncoding('latin1').on('data', (part: string) => {
    sent += part
    for (const [, id = ''] of part.matchAll(/service\.instance\.id[^0-9a-f]+([0-9a-f-]{36})/g)) instances.add(id)
  })
  request.on('end', () => {
    if (answer !== 'nothing') response.writeHead(answer === 'ok' ? 200 : 400).end()
  })
})
let endpoint: string
const listen = async () => {
  received.length = 0
  instances.clear()
  sent = ''
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
}
const close = async () => {
  const closed = new Promise(resolve => collector.close(resolve))
  collector.closeAllConnections()
  await closed
}
beforeEach(async () => {
  answer = 'ok'
  await listen()
})
afterEach(close)

const run = async (environment: Record<string, string>, script = SCRIPT) => {
  const args = ['--input-type=module', '-e', script, MODULE, RUNNING_TIME]
  const options = { env: environment, cwd: REPOSITORY, timeout: RUN_MS_MAX }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  const lines = stdout.trim().split('\n')
  return { scrape: lines.slice(0, -1).join('\n'), ...JSON.parse(lines.at(-1) ?? '') }
}

/** To the receiver, all of it: another time, to another address, where the machine stood still in the end. */
async function runToTheEnd(environment: Record<string, string> = {}) {
  for (;;) {
    const ran = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...environment })
    if (ran.closeMs < CLOSE_MS_MAX) return ran
    await close()
    await listen()
  }
}

describe('telemetry', () => {
  test('is scraped, names the role and not the machine, and goes nowhere unless asked for', async () => {
    const { scrape, isTracing, ranMs } = await run({})
    expect(scrape).toContain('quotacast_test_total')
    expect(scrape).toContain('service_name="quotacast-limiter"')
    expect(scrape).not.toMatch(/process_|host_/)
    expect(isTracing).toBe(false)
    expect(ranMs).toBeLessThan(1000)
    expect(received).toEqual([])
  })

  test('says which version it is, and what the process takes of its machine', async () => {
    const busy = `for (const untilMs = Date.now() + 50; Date.now() < untilMs; );\nawait turn()\n$&`
    const turn = 'const turn = () => new Promise(resolve => setTimeout(resolve))\nawait turn()\n'
    const { scrape } = await run({}, SCRIPT.replace('metrics.getMeter', turn + busy))
    expect(scrape).toContain(`service_version="${packageJson.version}"`)
    const measured = (name: string) => Number(new RegExp(`^${name}\\{.*\\} (.*)$`, 'm').exec(scrape)?.[1])
    expect(measured('quotacast_cpu_seconds_total')).toBeGreaterThan(0.05)
    expect(measured('quotacast_event_loop_busy_seconds_total')).toBeGreaterThan(0.01)
    expect(measured('quotacast_memory_bytes')).toBeGreaterThan(2e7)
  })

  test('goes to the collector that the standard variables name, and is scraped all the same', async () => {
    const { scrape, isTracing } = await runToTheEnd({ OTEL_SERVICE_NAME: 'edge' })
    expect(scrape).toContain('service_name="edge"')
    expect(isTracing).toBe(true)
    expect(new Set(received)).toEqual(new Set(['/v1/metrics', '/v1/traces']))
  })

  test('tells one process of a role from another', async () => {
    const all = new Set<string>()
    for (const processes of [1, 2]) {
      instances.clear()
      await runToTheEnd()
      expect(instances.size).toBe(1)
      for (const id of instances) all.add(id)
      expect(all.size).toBe(processes)
    }
  })

  test('says of itself what the standard variables say, except which process it is', async () => {
    const attributes = 'deployment.environment.name=prod,service.instance.id=mine'
    const { scrape } = await runToTheEnd({ OTEL_RESOURCE_ATTRIBUTES: attributes })
    expect(scrape).toContain('deployment_environment_name="prod"')
    expect(scrape).not.toContain('"mine"')
    expect(sent).toContain('prod')
  })

  test('goes as the standard variables say, metrics too', async () => {
    await runToTheEnd({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' })
    expect(sent).toContain('"name":"quotacast_test_total"')
    expect(sent).toContain('"name":"work"')
    sent = ''
    const [metrics, interval] = ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'OTEL_METRIC_EXPORT_INTERVAL']
    const often = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, [metrics]: 'http/json', [interval]: '50' }
    await run(often, SCRIPT.replace('const time', `${UNTIL}\nawait untilReceived('/v1/metrics', 3)\n$&`))
    expect(sent.split('"name":"quotacast_test_total"').length).toBeGreaterThan(3)
  })

  test('measures nothing when it is switched off, and says so', async () => {
    const { scrape, isTracing } = await run({ OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
    expect(scrape).toMatch(/^# OTEL_SDK_DISABLED/)
    expect(isTracing).toBe(false)
    expect(received).toEqual([])
  })

  test('leaves out of a scrape what is not measured in time', async () => {
    const stuck = `metrics.getMeter('test').createObservableGauge('stuck').addCallback(() => new Promise(() => {}))\n$&`
    const { scrape } = await run({}, SCRIPT.replace('metrics.getMeter', stuck))
    expect(scrape).toContain('quotacast_test_total')
    expect(scrape).not.toMatch(/^stuck/m)
  })

  test('leaves out of a scrape what is gone', async () => {
    const { scrape } = await run({}, COMING_AND_GOING)
    const quotas = Array.from(scrape.matchAll(/^quotacast_test\{.*quota="(\w+)"/gm), ([, quota]) => quota)
    expect(quotas).toEqual(['stays', 'came'])
  })

  test('no longer sends what is gone', async () => {
    const often = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_METRIC_EXPORT_INTERVAL: '50' }
    const sending = COMING_AND_GOING.replace(/await telemetry.metrics\(\)\n/, "await untilReceived('/v1/metrics', 2)\n")
    const forgotten = sending.replace("console.log('{}')", "await untilReceived('/v1/metrics', 4)\n$&\nprocess.exit()")
    await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...often }, UNTIL + forgotten)
    expect(sent).toContain('"gone"')
    expect(sent.slice(sent.lastIndexOf('"resourceMetrics"'))).not.toContain('"gone"')
  })

  test('tells as many quotas apart as there may be', async () => {
    const { gauges, counters } = await run({}, MANY)
    expect({ gauges, counters }).toEqual({ gauges: 10_000, counters: 20_000 })
  })

  test('logs once that it cannot be sent', async () => {
    answer = 'refused'
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' }
    const { logged } = await run({ ...environment, OTEL_METRICS_EXPORTER: 'none' }, FAILING)
    expect(received.length).toBe(2)
    expect(logged).toEqual([expect.stringMatching(/bad request/i)])
  })

  test('does not hold up the end when its receiver never answers', async () => {
    answer = 'nothing'
    const { closeMs, ranMs } = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
    expect(closeMs).toBeGreaterThan(1000)
    expect(ranMs).toBeLessThan(4000)
  })

  test.each(['grpc', 'http/protobuf', 'http/json'])('ends cleanly when nobody receives it by %s', async protocol => {
    await close()
    const { closeMs } = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: protocol })
    expect(closeMs).toBeGreaterThan(0)
    await listen()
  })

  test('sends one signal without the other', async () => {
    await runToTheEnd({ OTEL_TRACES_EXPORTER: 'none' })
    expect(new Set(received)).toEqual(new Set(['/v1/metrics']))
  })
})
