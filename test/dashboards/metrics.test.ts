/** Expressions for Prometheus name metrics that the roles export, and labels that these have. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BOARDS } from '../../dashboards/boards.ts'
import { descriptor, openClient } from '../analyzer/limit/grpc/client.ts'
import { type Quotacast, startQuotacast } from '../e2e/quotacast.ts'
import { freePorts } from '../free-ports.ts'
import { prometheusCheck, startPrometheus } from '../screenshots/prometheus.ts'
import { describeWith } from '../servers/describe-with.ts'

/** Sums of decisions are handed on every ten seconds. */
const SCRAPE_MS = 60_000
const PROMTOOL = 'promtool'
const ROLES = ['store', 'collector', 'limiter', 'analyzer'] as const
/** Where instruments get their names; those of events that have not happened yet are not exported. */
const SOURCES = ['collector/events.ts', 'analyzer/events.ts', 'deploy/http-telemetry.ts', 'deploy/rpc-telemetry.ts']
const EXPRESSIONS = BOARDS.flatMap(({ rows }) => rows.flatMap(({ panels }) => panels))
  .flatMap(({ queries }) => queries)
  .flatMap(query => (query.source === 'prometheus' ? [query.expr] : []))
const namesOf = (expr: string) => expr.match(/\b(quotacast_\w+|target_info)\b/g) ?? []

let quotacast: Quotacast
/** Labels by metric, as scraped. */
const scraped = new Map<string, Set<string>>()

beforeAll(async () => {
  const quota = {
    name: 'requests',
    per: ['tenant'],
    unit: 'requests',
    limit: 5,
    window: { kind: 'fixed', everySeconds: 3_600 },
  }
  quotacast = await startQuotacast({ quotas: [quota] })
  await quotacast.post('limiter', '/v1/check', { tenant: 'acme' })
  await quotacast.post('limiter', '/v1/reservations', { tenant: 'acme' })
  const doors = openClient(quotacast.limiterGrpcPort)
  const asked = { domain: 'edge', descriptors: [descriptor({ tenant: 'acme' })] }
  await doors.call('shouldRateLimit', asked, { headers: { 'x-quotacast-token': quotacast.token } })
  doors.close()
  await quotacast.post('collector', '/v1/calls', [
    { startedAtMs: Date.now(), tenant: 'acme', status: 200 },
    { status: 200 },
  ])
  const wanted = [
    'quotacast_rows_stored_total',
    'quotacast_decisions_total',
    'quotacast_tick_seconds_bucket',
    'quotacast_subjects_used_up',
  ]
  const untilMs = Date.now() + SCRAPE_MS
  while (wanted.some(name => !scraped.has(name))) {
    if (Date.now() > untilMs) throw new Error(`not scraped: ${wanted.filter(name => !scraped.has(name)).join(', ')}`)
    for (const role of ROLES) read((await quotacast.get(role, '/metrics')).body as string)
    await sleep(500)
  }
})
afterAll(async () => {
  await quotacast?.stop()
  quotacast?.remove()
})

function read(text: string): void {
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)\{([^}]*)\}/gm)) {
    const known = scraped.get(name) ?? new Set<string>()
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label)
    scraped.set(name, known)
  }
}

test('every metric is exported, or will be when its event happens', () => {
  const declared = SOURCES.map(file => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')).join('\n')
  const unknown = EXPRESSIONS.flatMap(namesOf).filter(name => !scraped.has(name) && !declared.includes(`'${name}'`))
  expect(unknown).toEqual([])
})

test('what is always there is really scraped', () => {
  const silent = EXPRESSIONS.flatMap(namesOf).filter(name => !scraped.has(name))
  // Events that a healthy installation does not have.
  const rare = /_(losses|differences|refused|duplicate|failed|dropped|corrected_units|expired)_|_differences_total$/
  expect(silent.filter(name => !rare.test(name))).toEqual([])
})

test('sums are by labels that the metric has', () => {
  const wrong = EXPRESSIONS.flatMap(expr =>
    [...expr.matchAll(/by \(([^)]+)\) \((?:rate\()?(\w+)/g)].flatMap(([, labels = '', name = '']) => {
      const known = scraped.get(name)
      // Prometheus itself adds the instance.
      return labels
        .split(', ')
        .filter(label => known !== undefined && label !== 'instance' && !known.has(label))
        .map(label => `${name} has no ${label}`)
    }),
  )
  expect(wrong).toEqual([])
})

describeWith([prometheusCheck], 'with Prometheus', () => {
  test('its tool finds nothing wrong with what a role exports', async () => {
    for (const role of ROLES) {
      const { body } = await quotacast.get(role, '/metrics')
      const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'metrics'], { input: body, encoding: 'utf8' })
      expect({ role, status, said: stdout + stderr }).toEqual({ role, status: 0, said: '' })
    }
  })

  test('it reads OpenMetrics of every role, with units', { timeout: SCRAPE_MS }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'quotacast-prometheus-'))
    const [port = 0] = await freePorts(1)
    const ports = ROLES.map(role => Number(new URL(quotacast.health[role]).port))
    const prometheus = await startPrometheus({ dir, port, ports, tokenFile: join(quotacast.dir, 'token') })
    try {
      const answerOf = async (path: string) =>
        (await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json()).data
      const isUp = async () => {
        const { activeTargets } = await answerOf('targets')
        return activeTargets.map(({ health, lastError }: Record<string, string>) => ({ health, lastError }))
      }
      await expect.poll(isUp, { timeout: SCRAPE_MS / 2 }).toEqual(ROLES.map(() => ({ health: 'up', lastError: '' })))
      const metadata = await answerOf('metadata')
      expect(metadata.quotacast_tick_seconds).toMatchObject([{ type: 'histogram', unit: 'seconds' }])
      expect(metadata.quotacast_decisions).toMatchObject([{ type: 'counter' }])
      expect(metadata.target).toMatchObject([{ type: 'info' }])
      // A target is up some moments before what was scraped of it can be asked for.
      await expect.poll(async () => (await answerOf('query?query=quotacast_decisions_total')).result).toHaveLength(1)
      const memory = EXPRESSIONS.find(expr => expr.startsWith('quotacast_memory_bytes')) ?? ''
      const held = async (): Promise<string[]> => {
        const { result } = await answerOf(`query?query=${encodeURIComponent(memory)}`)
        return result.map(({ metric }: { metric: { service_name: string } }) => metric.service_name).toSorted()
      }
      await expect.poll(held).toEqual(ROLES.map(role => `quotacast-${role}`).toSorted())
    } finally {
      await prometheus.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  })
})
