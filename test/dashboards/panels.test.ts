/**
 * Every statement of every dashboard on the real engine, over the demo's data, as the user that Grafana is: it runs, its
 * rows have the shape that its panel draws, and what sums over many consumers comes from a projection.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeCalls } from '../analyzer/store-calls.ts'
import { type DemoStore, openDemoStore } from './demo-store.ts'
import { type Expansion, expand, rangeOf, secondsOf, type Values } from './expand.ts'

const JSON_DIR = new URL('../../dashboards/json/', import.meta.url)
const ALERTS = new URL('../../deploy/grafana/provisioning/alerting/quotacast.json', import.meta.url)
/** Seconds on two free cores; others may want them too. */
const FILL_MS = 300_000
/** Points that a panel of half the width asks for. */
const POINTS = 800
/** Statements that read calls of the last hours only, which are found by arrival and minute. */
const RECENT = /arrived_at >= greatest\(/

interface Target {
  rawSql: string
  queryType: 'timeseries' | 'table'
}
interface Column {
  name: string
  type: string
}
interface Answer {
  columns: readonly Column[]
  rows: readonly (readonly unknown[])[]
}
type Variable = { name: string; type: string; query?: unknown; multi?: boolean }

const dashboards = readdirSync(JSON_DIR).map(file => ({
  file,
  dashboard: JSON.parse(readFileSync(new URL(file, JSON_DIR), 'utf8')) as Dashboard,
}))

const panelsOf = ({ panels = [] }: Dashboard): Panel[] =>
  panels.flatMap(panel => ('targets' in panel && panel.type !== 'row' ? [panel as Panel] : []))
const statementsOf = ({ targets = [] }: Panel): Target[] =>
  targets.map(target => target as unknown as Partial<Target>).filter((target): target is Target => 'rawSql' in target)
const variablesOf = ({ templating }: Dashboard): Variable[] =>
  ((templating?.list ?? []) as Variable[]).filter(({ type }) => type === 'query')

let demo: DemoStore
beforeAll(async () => {
  demo = await openDemoStore()
}, FILL_MS)
afterAll(() => demo?.close())

async function ask(sql: string): Promise<Answer> {
  const result = await demo.grafana.query({ query: sql, format: 'JSONCompact' })
  const { meta, data } = (await result.json()) as { meta: Column[]; data: unknown[][] }
  return { columns: meta, rows: data }
}

async function tablesRead(sql: string): Promise<string[]> {
  const rows = await demo.store.rows<{ explain: string }>(`EXPLAIN projections = 1 ${sql}`)
  const plan = rows.map(({ explain }) => explain).join('\n')
  return Array.from(plan.matchAll(/ReadFromMergeTree \(([^)]*)\)/g), ([, table = '']) => table)
}

/** All values of each variable, or the first one where only one can be chosen. */
async function expansionOf(dashboard: Dashboard, stepSeconds = 60): Promise<Expansion> {
  const variables: Record<string, Values> = {}
  const { from = '', to = '' } = dashboard.time ?? {}
  const expansion = { ...rangeOf({ from, to }, demo.nowMs), stepSeconds, variables }
  for (const { name, query, multi } of variablesOf(dashboard)) {
    const { rows } = await ask(expand(String(query), expansion))
    expect(rows.length, `${name} has values`).toBeGreaterThan(0)
    variables[name] = multi ? 'all' : [String(rows[0]?.[0])]
  }
  return expansion
}

const isTime = ({ type }: Column) => /^(Nullable\()?DateTime/.test(type)
const isNumber = ({ type }: Column) => /^(Nullable\()?(U?Int|Float)/.test(type)
const isText = ({ type }: Column) => /^(LowCardinality\()?String/.test(type)

/** What is wrong with the answer for such a panel, or nothing. */
function shapeProblem({ type }: Panel, { columns, rows }: Answer): string | null {
  if (rows.length === 0) return 'no rows'
  const [first, ...others] = columns
  switch (type) {
    case 'timeseries': {
      if (first === undefined || !isTime(first)) return 'the first column is no time'
      if (!others.some(isNumber)) return 'no number'
      if (!others.every(column => isNumber(column) || isText(column))) return 'neither number nor name of a series'
      const times = rows.map(([time]) => String(time))
      return times.every((time, index) => index === 0 || time >= (times[index - 1] ?? '')) ? null : 'not in order'
    }
    case 'stat':
      // Of other columns Grafana's stat shows nothing.
      return rows.length === 1 && columns.length === 1 && columns.every(isNumber) ? null : 'not one number'
    case 'xychart':
      return columns.length >= 2 && columns.every(isNumber) ? null : 'not numbers over numbers'
    default:
      return columns.every(column => isTime(column) || isNumber(column) || isText(column)) ? null : 'odd columns'
  }
}

describe.each(dashboards)('$file', ({ dashboard }) => {
  test('every statement of a panel answers rows that the panel can draw', async () => {
    const problems: string[] = []
    const expansion = await expansionOf(dashboard)
    const rangeSeconds = (expansion.toMs - expansion.fromMs) / 1000
    for (const panel of panelsOf(dashboard)) {
      const stepSeconds = Math.max(secondsOf(panel.interval ?? '1s'), Math.ceil(rangeSeconds / POINTS))
      for (const { rawSql, queryType } of statementsOf(panel)) {
        expect(queryType === 'timeseries').toBe(panel.type === 'timeseries')
        const problem = shapeProblem(panel, await ask(expand(rawSql, { ...expansion, stepSeconds })))
        if (problem !== null) problems.push(`${panel.title}: ${problem}`)
      }
    }
    expect(problems).toEqual([])
  })

  test('every statement runs for one value of each variable, whatever quotes are in it', async () => {
    const { variables, ...range } = await expansionOf(dashboard)
    const odd = Object.fromEntries(
      Object.entries(variables).map(([name, values]) => [name, values === 'all' ? ["o'neill", 'b'] : values]),
    )
    for (const panel of panelsOf(dashboard)) {
      for (const { rawSql } of statementsOf(panel)) await ask(expand(rawSql, { ...range, variables: odd }))
    }
  })

  test('what sums over many consumers comes from a projection', async () => {
    const expansion = await expansionOf(dashboard, 3_600)
    const reading: string[] = []
    for (const panel of panelsOf(dashboard)) {
      for (const { rawSql } of statementsOf(panel)) {
        // One consumer is found by the key of the table.
        if (rawSql.includes('consumer IN (${consumer:sqlstring})') && expansion.variables.consumer !== 'all') continue
        if (RECENT.test(rawSql)) continue
        const tables = await tablesRead(expand(rawSql, expansion))
        if (tables.includes('quotacast.calls')) reading.push(`${panel.title} reads every call`)
      }
    }
    expect(reading).toEqual([])
  })

  test('changes of limits are annotated, and not that something has ended', async () => {
    const [rawSql = ''] = (dashboard.annotations?.list ?? []).map(({ target }) => (target as unknown as Target).rawSql)
    const { columns, rows } = await ask(expand(rawSql, await expansionOf(dashboard)))
    expect(columns.map(({ name }) => name)).toEqual(['time', 'title', 'text', 'tags'])
    expect(columns[0]).toSatisfy(isTime)
    expect(rows.length).toBeGreaterThan(0)
    expect(rows.filter(([, title]) => title === 'block over')).toEqual([])
  })
})

test('alert rules answer names and one number, by which instances are told apart', async () => {
  const { groups } = JSON.parse(readFileSync(ALERTS, 'utf8')) as {
    groups: { rules: { title: string; data: { model: { rawSql?: string } }[] }[] }[]
  }
  const rules = groups.flatMap(group => group.rules)
  expect(rules.length).toBeGreaterThan(0)
  for (const { title, data } of rules) {
    const { columns, rows } = await ask(data[0]?.model.rawSql ?? '')
    expect(columns.filter(isNumber), title).toHaveLength(1)
    expect(columns.filter(column => !isNumber(column)).every(isText), title).toBe(true)
    const names = rows.map(row => JSON.stringify(row.slice(0, -1)))
    expect(new Set(names).size, title).toBe(rows.length)
    expect(rows.length, title).toBeGreaterThan(0)
  }
})

test('statements about the last hours read only the newest parts of the table', async () => {
  const recent = dashboards.flatMap(({ dashboard }) =>
    panelsOf(dashboard).flatMap(panel => statementsOf(panel).map(({ rawSql }) => ({ dashboard, rawSql }))),
  )
  const found = recent.filter(({ rawSql }) => RECENT.test(rawSql))
  expect(found.length).toBeGreaterThan(0)
  for (const { dashboard, rawSql } of found) {
    const sql = expand(rawSql, await expansionOf(dashboard))
    const plan = await demo.store.rows<{ explain: string }>(`EXPLAIN indexes = 1 ${sql}`)
    const [, read, all] = /Parts: (\d+)\/(\d+)/.exec(plan.map(({ explain }) => explain).join('\n')) ?? []
    expect(Number(read)).toBeLessThan(Number(all))
  }
})

test('where a provider does not say what is left, nothing is not what is left', async () => {
  const said = (remaining: number | null) =>
    JSON.stringify({ units: { requests: { limit: 100, remaining, resetAtMs: null } }, retryAfterMs: null })
  const startedAtMs = demo.nowMs - 60_000
  await storeCalls(demo.store.store, [
    { startedAtMs, provider_key: 'says', upstream_limits: said(40) },
    { startedAtMs, provider_key: 'does not', upstream_limits: said(null) },
  ])
  const left = dashboards.flatMap(({ dashboard }) =>
    panelsOf(dashboard).flatMap(panel =>
      panel.title === 'Left at the provider' ? statementsOf(panel).map(({ rawSql }) => ({ dashboard, rawSql })) : [],
    ),
  )
  expect(left).toHaveLength(1)
  for (const { dashboard, rawSql } of left) {
    const { rows } = await ask(expand(rawSql, await expansionOf(dashboard)))
    const ofThese = rows.map(([, key, share]) => [key, share]).filter(([key]) => key === 'says' || key === 'does not')
    expect(ofThese).toEqual([['says', 0.4]])
  }
})
