/** What the projections of `calls` are for: these queries must never read every row. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PROJECTED_HOURS_SQL, PROJECTIONS } from '../../../collector/store/audit-projections.ts'
import { CALLS_RETENTION_DAYS, LATENCY_QUANTILES_SQL } from '../../../collector/store/tables.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const SCHEMA = new URL('../../../collector/store/schema/', import.meta.url)
const TOTALS_PREFERRED = "SETTINGS preferred_optimize_projection_name = 'totals_by_hour'"

let opened: TestStore
beforeAll(async () => {
  opened = await openTestStore()
  await opened.store.client.command({
    query: `INSERT INTO calls (call_id, started_at, arrived_at, tenant, consumer, gateway, route, model, outcome,
        latency_ms, total_tokens, log_offset)
      SELECT generateUUIDv4(), now64(3) - number, now64(3), concat('t', toString(number % 5)),
        concat('c', toString(number % 50)), 'edge', '/v1/chat', 'gpt', 'ok', number % 100, number % 1000, number
      FROM numbers(50000)`,
  })
})
afterAll(() => opened?.close())

const SUMS = [
  'count()',
  'sum(request_bytes)',
  'sum(response_bytes)',
  'sum(input_tokens)',
  'sum(cached_input_tokens)',
  'sum(output_tokens)',
  'sum(total_tokens)',
  'sum(cost_micros)',
].join(', ')

describe('projections', () => {
  test.each([
    ['usage_by_hour', `SELECT hour, tenant, consumer, ${SUMS} FROM calls GROUP BY hour, tenant, consumer`],
    [
      'usage_by_hour',
      `SELECT consumer, ${SUMS} FROM calls WHERE hour >= now() - 86400 AND tenant = 't1' GROUP BY consumer`,
    ],
    [
      'usage_by_hour',
      "SELECT hour, sum(total_tokens) FROM calls WHERE outcome NOT IN ('limited') AND consumer IN ('c1', 'c2') GROUP BY hour",
    ],
    ['usage_by_hour', "SELECT sum(cost_micros) FROM calls WHERE provider = 'openai' AND provider_key LIKE 'm%'"],
    ['routes_by_hour', `SELECT hour, tenant, ${SUMS} FROM calls WHERE gateway = 'edge' GROUP BY hour, tenant`],
    [
      'routes_by_hour',
      `SELECT route, service, ${LATENCY_QUANTILES_SQL} FROM calls WHERE tenant = 't1' GROUP BY route, service`,
    ],
  ])('%s answers %s', async (projection, query) => {
    const plan = await opened.rows<{ explain: string }>(`EXPLAIN projections = 1 ${query}`)
    expect(plan.map(row => row.explain).join('\n')).toContain(`ReadFromMergeTree (${projection})`)
  })
  // It is taken where there are many tenants: then it is smaller than the others.
  test.each([
    `SELECT hour, route, ${SUMS} FROM calls WHERE gateway = 'edge' GROUP BY hour, route`,
    `SELECT hour, ${LATENCY_QUANTILES_SQL} FROM calls WHERE outcome = 'ok' GROUP BY hour`,
  ])('totals_by_hour can answer %s', async query => {
    const plan = await opened.rows<{ explain: string }>(`EXPLAIN projections = 1 ${query} ${TOTALS_PREFERRED}`)
    expect(plan.map(row => row.explain).join('\n')).toContain('ReadFromMergeTree (totals_by_hour)')
  })
  test.each(PROJECTIONS)('%s can be audited', async projection => {
    const plan = await opened.rows<{ explain: string }>(
      `EXPLAIN projections = 1 ${PROJECTED_HOURS_SQL} SETTINGS preferred_optimize_projection_name = '${projection}'`,
    )
    expect(plan.map(row => row.explain).join('\n')).toContain(`ReadFromMergeTree (${projection})`)
  })
  test('that came later agree with rows from before, too', async () => {
    const { client } = opened.store
    await client.command({ query: 'CREATE TABLE older AS calls' })
    await client.command({ query: 'ALTER TABLE older DROP PROJECTION totals_by_hour' })
    await client.command({ query: 'INSERT INTO older SELECT * FROM calls LIMIT 20000' })
    const migration = await readFile(new URL('008-totals.sql', SCHEMA), 'utf8')
    await client.command({ query: migration.replace('ALTER TABLE calls', 'ALTER TABLE older').replace(';', '') })
    await client.command({ query: 'INSERT INTO older SELECT * FROM calls LIMIT 20000, 30000' })
    const sql = `SELECT hour, route, ${SUMS} FROM older GROUP BY hour, route ORDER BY hour, route`
    const plan = await opened.rows<{ explain: string }>(`EXPLAIN projections = 1 ${sql} ${TOTALS_PREFERRED}`)
    expect(plan.map(row => row.explain).join('\n')).toContain('ReadFromMergeTree (totals_by_hour)')
    const raw = await opened.rows(`${sql} SETTINGS optimize_use_projections = 0`)
    expect(await opened.rows(`${sql} ${TOTALS_PREFERRED}`)).toEqual(raw)
    expect(raw).toEqual(await opened.rows(sql.replace('older', 'calls')))
  })
  test('agree with the rows', async () => {
    const sql = `SELECT hour, tenant, ${SUMS} FROM calls GROUP BY hour, tenant ORDER BY hour, tenant`
    const raw = await opened.rows(`${sql} SETTINGS optimize_use_projections = 0`)
    expect(await opened.rows(sql)).toEqual(raw)
    expect(raw.length).toBeGreaterThan(60)
  })
})

test('the tables drop their rows when `tables.ts` says so', async () => {
  const tables = await opened.rows<{ name: string; engine_full: string }>(
    "SELECT name, engine_full FROM system.tables WHERE database = 'quotacast' AND name IN ('calls', 'rejections', 'replays', 'decisions')",
  )
  expect(tables).toHaveLength(4)
  for (const { engine_full } of tables) expect(engine_full).toContain(`toIntervalDay(${CALLS_RETENTION_DAYS})`)
})
