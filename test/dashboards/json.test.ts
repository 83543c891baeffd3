/** What is committed is what the code makes, and every panel says what a reader needs. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { alertFile } from '../../dashboards/alerts.ts'
import { BOARDS } from '../../dashboards/boards.ts'
import { drawBoard } from '../../dashboards/draw.ts'
import { jsonFileOf, withPanelTable } from '../../dashboards/json.ts'
import { prometheusRuleFile } from '../../dashboards/prometheus-rules.ts'

const DASHBOARDS = new URL('../../dashboards/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, DASHBOARDS), 'utf8')

test('the committed files are those that `npm run dashboards` writes', () => {
  const files = BOARDS.map(jsonFileOf)
  expect(readdirSync(new URL('json', DASHBOARDS)).toSorted()).toEqual(files.map(({ name }) => name).toSorted())
  for (const { name, content } of files) expect(read(`json/${name}`)).toBe(content)
})

test('so are the alert rules', () => {
  expect(read('../deploy/grafana/provisioning/alerting/quotacast.json')).toBe(alertFile())
  expect(read('../deploy/grafana/prometheus.rules.json')).toBe(prometheusRuleFile())
})

test('so is the table of the README', () => {
  const readme = read('README.md')
  expect(withPanelTable(readme, BOARDS)).toBe(readme)
  expect(() => withPanelTable('no marks', BOARDS)).toThrow('has no')
})

describe.each(BOARDS)('$title', board => {
  const { panels = [], templating, annotations, links, uid, time } = drawBoard(board)
  const drawn = panels.filter(panel => panel.type !== 'row')

  test('every panel has a description, a text where there is no data, and a source', () => {
    for (const panel of drawn) {
      expect(panel).toMatchObject({
        title: expect.stringMatching(/./),
        description: expect.stringMatching(/\?/),
        datasource: { uid: expect.stringMatching(/^\$\{(clickhouse|prometheus)\}$/) },
        fieldConfig: { defaults: { noValue: expect.stringMatching(/./), thresholds: { mode: 'absolute' } } },
      })
      // Columns of a table have units of their own.
      if (panel.type !== 'table') expect(panel).toHaveProperty('fieldConfig.defaults.unit')
    }
  })

  test('panels have ids of their own and lie beside each other', () => {
    const ids = panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const places = drawn.map(({ gridPos }) => gridPos ?? { x: 0, y: 0, w: 0, h: 0 })
    for (const [index, { x, y, w, h }] of places.entries()) {
      expect(w > 0 && h > 0 && x + w <= 24).toBe(true)
      const isOver = places.some(
        (other, at) =>
          at !== index && x < other.x + other.w && other.x < x + w && y < other.y + other.h && other.y < y + h,
      )
      expect(isOver, `${drawn[index]?.title} lies over another panel`).toBe(false)
    }
  })

  test('links keep the time and the variables, changes of limits are annotated', () => {
    expect(uid).toBe(`quotacast-${board.slug}`)
    expect(time).toEqual({ from: board.from, to: board.to })
    expect(links).toEqual([expect.objectContaining({ tags: ['quotacast'], keepTime: true, includeVars: true })])
    expect(annotations?.list).toEqual([expect.objectContaining({ name: 'Limit changes', enable: true })])
    const names = (templating?.list ?? []).map(({ name }) => name)
    expect(names).toContain('clickhouse')
    expect(names.includes('prometheus')).toBe(board.needsPrometheus)
  })

  test('data links lead to boards that there are, with variables that these have', () => {
    const links = board.rows
      .flatMap(row => row.panels)
      .flatMap(panel => Object.values(panel.fields ?? {}))
      .flatMap(({ opens }) => opens ?? [])
    for (const link of links) {
      const target = BOARDS.find(({ slug }) => `quotacast-${slug}` === link.uid)
      expect(target?.variables.map(({ name }) => name)).toEqual(expect.arrayContaining([...link.variables]))
    }
  })
})
