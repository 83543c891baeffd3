/** What Grafana asks of a file of alert rules before it starts: a wrong one keeps it from starting at all. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { drawBoard } from '../../dashboards/draw.ts'
import { exhaustion } from '../../dashboards/exhaustion.ts'

const FILE = new URL('../../deploy/grafana/provisioning/alerting/quotacast.json', import.meta.url)
/** What templates of alert rules may call: Go's own, and those of Prometheus that Grafana lists. */
const FUNCTIONS = ['humanize', 'humanize1024', 'humanizeDuration', 'humanizePercentage', 'printf', 'title', 'toLower']

interface Rule {
  uid: string
  title: string
  condition: string
  annotations: Record<string, string>
  data: {
    refId: string
    datasourceUid: string
    relativeTimeRange: object
    model: { refId: string; expression?: string }
  }[]
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
