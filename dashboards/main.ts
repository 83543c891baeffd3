/** `npm run dashboards` writes `json/`, the alert rules of `deploy/grafana/`, for Grafana and for Prometheus, and the table of the README. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { alertFile } from './alerts.ts'
import { BOARDS } from './boards.ts'
import { jsonFileOf, withPanelTable } from './json.ts'
import { prometheusRuleFile } from './prometheus-rules.ts'

const DIR = import.meta.dirname
const README = join(DIR, 'README.md')

for (const { name, content } of BOARDS.map(jsonFileOf)) writeFileSync(join(DIR, 'json', name), content)
writeFileSync(join(DIR, '../deploy/grafana/provisioning/alerting/quotacast.json'), alertFile())
writeFileSync(join(DIR, '../deploy/grafana/prometheus.rules.json'), prometheusRuleFile())
writeFileSync(README, withPanelTable(readFileSync(README, 'utf8'), BOARDS))
