/** What Grafana asks of a file of alert rules before it starts: a wrong one keeps it from starting at all. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawBoard } from '../../dashboards/draw.ts'
import { exhaustion } from '../../dashboards/exhaustion.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'

const FILE = new URL('../../deploy/grafana/provisioning/alerting/quotacast.json', import.meta.url)
/** What templates of alert rules may call: Go's own, and those of Prometheus that Grafana lists. */
const FUNCTIONS = ['humanize', 'humanize1024', 'humanizeDuration', 'humanizePercentage', 'printf', 'title', 'toLower']

interface Model {
  refId: string
  expression?: string
  rawSql?: string
  conditions?: { evaluator: { type: string; params: number[] } }[]
}
interface Rule {
  uid: string
  title: string
  condition: string
  annotations: Record<string, string>
  data: { refId: string; datasourceUid: string; relativeTimeRange: object; model: Model }[]
}

const { groups } = JSON.parse(readFileSync(FILE, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(group => group.rules)

test('an alert leads to a panel that there is', () => {
  const { uid, panels = [] } = drawBoard(exhaustion)
  const ids = panels.filter(({ type }) => type !== 'row').map(({ id }) => String(id))
  for (const { annotations } of rules) {
    expect(annotations.__dashboardUid__).toBe(uid)
    expect(ids).toContain(annotations.__panelId__)
  }
})

test('texts call functions that Grafana has', () => {
  const texts = rules.flatMap(({ annotations }) => Object.values(annotations))
  const actions = texts.flatMap(text => Array.from(text.matchAll(/\{\{(.*?)\}\}/g), ([, action = '']) => action))
  expect(actions.length).toBeGreaterThan(0)
  // Not what is quoted, nor a variable with its fields.
  const called = actions.flatMap(action => action.replaceAll(/"[^"]*"|\$[\w.]+/g, '').match(/[a-z]\w*/gi) ?? [])
  expect(called.filter(name => !FUNCTIONS.includes(name))).toEqual([])
})

test('the condition is one of the queries, and each names its source, its time and itself', () => {
  expect(new Set(rules.map(({ uid }) => uid)).size).toBe(rules.length)
  for (const { uid, condition, data } of rules) {
    expect(uid.length).toBeLessThanOrEqual(40)
    const refIds = data.map(({ refId }) => refId)
    expect(refIds).toContain(condition)
    for (const { refId, datasourceUid, relativeTimeRange, model } of data) {
      expect(datasourceUid).toMatch(/./)
      expect(relativeTimeRange).toMatchObject({ from: expect.any(Number), to: 0 })
      expect(model.refId).toBe(refId)
      if (datasourceUid === '__expr__') expect(refIds).toContain(model.expression)
    }
  }
})

describe('on the engine', () => {
  const HOUR_MS = 3_600_000
  let store: TestStore
  beforeAll(async () => {
    store = await openTestStore()
  })
  afterAll(() => store?.close())

  const at = (ms: number) => new Date(Date.now() + ms).toISOString().replace('T', ' ').replace('Z', '')
  const forecast = (consumer: string, more: Record<string, unknown>) => ({
    ...{ quota: 'kept', subject: JSON.stringify({ consumer }), tenant: '', consumer, unit: 'requests' },
    ...{ window_start: at(-HOUR_MS), window_end: at(HOUR_MS), as_of: at(-60_000), mark: '3/12' },
    ...{ used: 5, limit: 10, probability: 0.1, burn_rate: null, confidence: 'normal', why: '', ...more },
  })
  const change = (key: string, kind: string, version: number, value: string) => ({
    ...{ change_id: `${kind} ${key} ${version}`, at: at(-HOUR_MS + version), by: 'test', kind, key },
    ...{
      expected_version: version - 1,
      version,
      value,
      reason: '',
      log_id: 'a',
      log_partition: 0,
      log_offset: version,
    },
  })
  const insert = (table: string, values: object[]) =>
    store.store.client.insert({ table, values, format: 'JSONEachRow' })

  test('each rings for those in its state, and for none that was taken back or is of a quota that is gone', async () => {
    const usedUp = { used: 10, probability: 1, mark: 'limit reached', exhaustion_p90: at(-120_000) }
    const likely = { probability: 0.8, mark: 'above threshold' }
    await insert('forecasts', [
      ...[forecast('fine', {}), forecast('likely', likely), forecast('gone', usedUp)],
      ...[
        forecast('unsure', { ...likely, confidence: 'none' }),
        forecast('ended', { ...usedUp, window_end: at(-30_000) }),
      ],
      ...[forecast('granted', { ...usedUp, as_of: at(-90_000) }), forecast('granted', { mark: 'below threshold' })],
      forecast('barred', { ...usedUp, limit: 0, exhaustion_p90: at(-HOUR_MS) }),
      forecast('refused', { ...usedUp, limit: 0, exhaustion_p90: at(-60_000) }),
      ...['deleted', 'removed'].map(quota => forecast('somebody', { ...usedUp, quota })),
    ])
    await insert('audit', [
      ...[change('kept', 'quota_config', 1, '{}'), change('kept', 'quota', 1, '{}'), change('kept', 'quota', 2, '')],
      ...[change('deleted', 'quota', 1, '{}'), change('deleted', 'quota', 2, '')],
      ...[change('removed', 'quota_config', 1, '{}'), change('removed', 'quota_config', 2, '')],
    ])
    const minute = at(-60_000).slice(0, 19)
    const sums = { subject: '{"consumer":"denied"}', unit: 'requests', quota: 'kept', minute }
    await insert('decisions', [
      { ...sums, denied: 3 },
      { ...sums, subject: '{"consumer":"passed"}', allowed: 3 },
    ])
    const ringing = rules.map(async ({ data: [query, threshold] }) => {
      const rows = await store.rows<Record<string, string | number>>(query?.model.rawSql ?? '')
      const [above = 0] = threshold?.model.conditions?.[0]?.evaluator.params ?? []
      return rows
        .filter(row => Object.values(row).some(value => Number(value) > above))
        .map(({ who }) => who)
        .toSorted()
    })
    expect(await Promise.all(ringing)).toEqual([['likely'], ['gone', 'refused'], ['denied']])
  })
})
