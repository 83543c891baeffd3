/**
 * Every statement of the usage queries, explained by the real engine: sums of whole hours over many consumers must come
 * from a projection, and the newest calls must be found without reading the old ones. Both are missed in silence.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CALLED_SQL } from '../../../analyzer/tick/concerned.ts'
import { writeKept } from '../../../analyzer/tick/kept-forecasts.ts'
import { endedSql, keptForecastsSql, ofSample, sampleSql } from '../../../analyzer/tick/outcomes.ts'
import { ofShard } from '../../../analyzer/tick/shard.ts'
import { type Asked, askedParams } from '../../../analyzer/usage/asked.ts'
import { costsSql } from '../../../analyzer/usage/costs.ts'
import { hourlyUsageSql, rawUsageSql } from '../../../analyzer/usage/current.ts'
import { decisionsSql } from '../../../analyzer/usage/decisions.ts'
import { denialsSql } from '../../../analyzer/usage/denials.ts'
import { alertEndsSql, ENDED_ALERTS_SQL } from '../../../analyzer/usage/ended-alerts.ts'
import { freshSql } from '../../../analyzer/usage/fresh.ts'
import { gatewaysSql } from '../../../analyzer/usage/gateways.ts'
import { latencySql, outcomesSql, PERFORMANCE_COLUMNS } from '../../../analyzer/usage/performance.ts'
import { pointsSql } from '../../../analyzer/usage/points.ts'
import { recentCallsSql } from '../../../analyzer/usage/recent-calls.ts'
import type { Selection } from '../../../analyzer/usage/selection.ts'
import { hoursSql, readTopSubjects, stepsSql, topSubjectsSql } from '../../../analyzer/usage/series.ts'
import { HEARD_SQL } from '../../../analyzer/usage/silence.ts'
import { UNITS } from '../../../analyzer/usage/units.ts'
import { unseenSql } from '../../../analyzer/usage/unseen.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { resettingQuota } from '../quotas.ts'
import { storeCalls } from '../store-calls.ts'
import { forecast } from './forecast-fixture.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const params = {
  fromMs: nowMs - DAY_MS,
  toMs: nowMs,
  fromSeconds: (nowMs - DAY_MS) / 1000,
  toSeconds: nowMs / 1000,
  startMs: nowMs - DAY_MS,
  stepMs: 60_000,
  stepSeconds: 3600,
  pointsMax: 1000,
  topFromMs: nowMs - DAY_MS,
  topToMs: nowMs,
  topRecentFromMs: nowMs - HOUR_MS,
  topCountedFromMs: nowMs - 2 * HOUR_MS,
  topMax: 1000,
  nowMs,
  quota: 'quota',
  model: ['large'],
  newMs: nowMs - HOUR_MS,
  heldFromMs: nowMs - DAY_MS,
  sampleQuota: 'quota',
  sampleUnit: 'requests',
  samplePer: ['tenant', 'consumer'],
  sampleFromMs: nowMs - DAY_MS,
  sampleToMs: nowMs,
  subjectsMax: 100,
  forecastsMax: 10,
  per0: 'tenant',
  per1: 'consumer',
  tenant: 'acme',
  knownFromSeconds: (nowMs - DAY_MS) / 1000,
  newFromSeconds: (nowMs - HOUR_MS) / 1000,
  valuesMax: 10,
  callsMax: 50,
  rowsMax: 100,
  tenantsMax: 100,
  rowsPerTenantMax: 100,
  beginMs: nowMs - 2 * DAY_MS,
  afterMs: nowMs,
  afterKey: '',
  keys: ['key'],
}

const selection = (columns: string[], unit: Selection['unit'] = 'total_tokens'): Selection => ({
  unit,
  match: { sql: 'model IN {model:Array(String)}', params: {} },
  columns,
})

let testStore: TestStore
beforeAll(async () => {
  testStore = await openTestStore()
  // Enough rows that the planner prefers the projection, in parts of different days.
  for (let day = 0; day < 3; day++) {
    const from = nowMs - (day + 1) * DAY_MS
    const calls = Array.from({ length: 20_000 }, (_, index) => ({
      startedAtMs: from + Math.floor((index * DAY_MS) / 20_000),
      consumer: `app-${index % 100}`,
      model: index % 2 ? 'large' : 'small',
    }))
    await storeCalls(testStore.store, calls)
  }
})
afterAll(() => testStore?.close())

async function explain(query: string, more: object = {}): Promise<string> {
  const asked = { ...params, ...more }
  const rows = await testStore.rows<{ explain: string }>(`EXPLAIN indexes = 1, projections = 1 ${query}`, asked)
  return rows.map(({ explain }) => explain).join('\n')
}

describe('sums over many consumers come from the hourly projection', () => {
  for (const unit of UNITS) {
    test(`of ${unit}`, async () => {
      for (const columns of [[], ['tenant', 'consumer'], ['model'], ['provider_key']]) {
        const asked = selection(columns, unit)
        for (const query of [hoursSql, hourlyUsageSql, topSubjectsSql]) {
          expect(await explain(query(asked))).toContain('usage_by_hour')
        }
        const whoAsked: Asked = { quota: 'quota', unit, names: columns, condition: { sql: '1', params: {} } }
        expect(await explain(topSubjectsSql(asked, whoAsked), askedParams(whoAsked))).toContain('usage_by_hour')
        expect(await explain(pointsSql(asked, HOUR_MS))).toContain('usage_by_hour')
        expect(await explain(pointsSql(asked, DAY_MS))).toContain('usage_by_hour')
      }
    })
  }
})

test('so do those of the most used subjects only', async () => {
  const asked = { ...selection(['tenant', 'consumer']), match: { sql: '1', params: {} } }
  const range = { fromMs: params.fromMs, toMs: params.toMs, subjectsMax: 10 }
  const { top } = await readTopSubjects(testStore.store.client, asked, range)
  for (const query of [hoursSql, hourlyUsageSql]) {
    const plan = await explain(query(top))
    expect(plan).toContain('ReadFromMergeTree (usage_by_hour)')
    expect(plan).not.toMatch(/ReadFromMergeTree \(quotacast\.calls\)/)
  }
})

test('and those of the subjects that one of several analyzers follows', async () => {
  const asked = selection(['tenant', 'consumer'])
  const ofSome = ofShard(asked, { index: 1, count: 3 }, resettingQuota({}))
  const shardParams = ofSome.match.params
  for (const query of [hoursSql, hourlyUsageSql]) {
    const plan = await explain(query(ofSome), shardParams)
    expect(plan).toContain('ReadFromMergeTree (usage_by_hour)')
    expect(plan).not.toMatch(/ReadFromMergeTree \(quotacast\.calls\)/)
  }
})

test('and of the subjects whose forecasts are scored, which are found by their key', async () => {
  const window = { windowStartMs: nowMs - 2 * HOUR_MS, windowEndMs: nowMs - HOUR_MS }
  const kept = Array.from({ length: 100 }, (_, app) => ({ ...forecast('quota', `app-${app}`, 0.5), ...window }))
  await writeKept(
    testStore.store.client,
    kept.map(one => ({ mark: '0/12', forecast: one })),
  )
  const ofSubjects = ofSample(resettingQuota({}), { sampleSubjects: kept.map(one => JSON.stringify(one.subject)) })
  const plan = await explain(hoursSql(ofSubjects), ofSubjects.match.params)
  expect(plan).toContain('ReadFromMergeTree (usage_by_hour)')
  expect(plan).not.toMatch(/ReadFromMergeTree \(quotacast\.calls\)/)
  for (const query of [sampleSql(endedSql(false)), keptForecastsSql(endedSql(false))])
    expect(await explain(query, ofSubjects.match.params)).toContain('PrimaryKey')
})

test('models that are new come from the hourly projection, networks from the newest calls', async () => {
  expect(await explain(unseenSql(selection(['tenant', 'consumer']), 'model'))).toContain('usage_by_hour')
  expect(await explain(unseenSql(selection(['tenant', 'consumer']), 'network'))).toContain('minute_range')
})

test('latency and errors come from the projection of the routes', async () => {
  for (const by of PERFORMANCE_COLUMNS) {
    for (const query of [latencySql(by, false), outcomesSql(by, true)]) {
      const plan = await explain(query)
      expect(plan).toMatch(/ReadFromMergeTree \((routes|usage)_by_hour\)/)
      expect(plan).not.toMatch(/ReadFromMergeTree \(quotacast\.calls\)/)
    }
  }
})

test('hours in which anything came, and who ever called, are found in a projection', async () => {
  for (const query of [...HEARD_SQL.records, CALLED_SQL]) {
    const plan = await explain(query)
    expect(plan).toMatch(/ReadFromMergeTree \((totals|routes|usage)_by_hour\)/)
    expect(plan).not.toMatch(/ReadFromMergeTree \(quotacast\.calls\)/)
  }
})

test('the newest calls of a consumer are found by the order of the table, what arrived lately by its parts', async () => {
  const calls = await explain(recentCallsSql("tenant = 'acme' AND consumer = 'app-1'"))
  expect(kept(calls, 'Granules').read).toBeLessThan(kept(calls, 'Granules').all)
  expect(await explain(gatewaysSql(false))).toContain('Min-Max')
})

/** Granules or parts that an index let through, and all there were: `Parts: 1/3`. */
function kept(plan: string, what: 'Parts' | 'Granules'): { read: number; all: number } {
  const [, read, all] = [...plan.matchAll(new RegExp(`${what}: (\\d+)/(\\d+)`, 'g'))].at(-1) ?? []
  return { read: Number(read), all: Number(all) }
}

describe('the newest calls are found without reading the old ones', () => {
  const newSeconds = params.newMs / 1000
  const recent = { ...params, fromMs: params.newMs, fromSeconds: newSeconds, sinceSeconds: newSeconds }
  const explainRecent = async (query: string) => {
    const rows = await testStore.rows<{ explain: string }>(`EXPLAIN indexes = 1 ${query}`, recent)
    return rows.map(({ explain }) => explain).join('\n')
  }

  test('by the minute, in steps and for the edges of a window', async () => {
    const asked = selection(['tenant', 'consumer'])
    for (const query of [pointsSql(asked, 60_000), stepsSql(asked), rawUsageSql(asked), costsSql('total_tokens')]) {
      const plan = await explainRecent(query)
      expect(plan).toMatch(/minute_range|started_at_range|PrimaryKey/)
      expect(plan).toContain('Parts: 1/')
    }
  })

  test('by arrival', async () => {
    const plan = await explainRecent(freshSql('calls', 'arrived_at >= fromUnixTimestamp64Milli({newMs:Int64})'))
    expect(kept(plan, 'Parts')).toMatchObject({ read: 1 })
  })
})

test('the other tables are read by their keys', async () => {
  const decision = { minute: params.toSeconds, quota: 'quota', subject: '{}', log_id: 'log', log_offset: 1 }
  await testStore.store.client.insert({ table: 'decisions', values: [decision], format: 'JSONEachRow' })
  expect(await explain(decisionsSql(true, '1'))).toContain('PrimaryKey')
  expect(await explain(decisionsSql(false, '1'))).toContain('Partition')
  expect(await explain(denialsSql([]))).toContain('Partition')
  const change = { at: params.toSeconds, kind: 'alert', key: 'key', log_id: 'log', log_offset: 1 }
  await testStore.store.client.insert({ table: 'audit', values: [change], format: 'JSONEachRow' })
  expect(await explain(alertEndsSql(['quota', 'tenant']))).toContain('PrimaryKey')
  expect(await explain(ENDED_ALERTS_SQL)).toContain('PrimaryKey')
})
