/** The rules for Prometheus, as Prometheus' own tool reads them: when they ring, when they do not, and what they say. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { pipeline } from '../../dashboards/pipeline.ts'
import { newly } from '../../dashboards/promql.ts'
import { describeWith } from '../servers/describe-with.ts'
import { programCheck } from '../servers/program.ts'

const RULES = new URL('../../deploy/grafana/prometheus.rules.json', import.meta.url).pathname
const DECLARED = ['collector/events.ts', 'analyzer/events.ts']
  .map(file => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'))
  .join('\n')
const promtoolCheck = programCheck('promtool', 'promtool', ['--version'], 'apt-get install prometheus')

interface Rule {
  alert: string
  expr: string
}
const { groups } = JSON.parse(readFileSync(RULES, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(group => group.rules)

test('name metrics that the roles export', () => {
  const names = rules.flatMap(({ expr }) => expr.match(/\bquotacast_\w+/g) ?? [])
  expect(names.length).toBeGreaterThan(0)
  expect(names.filter(name => !DECLARED.includes(`'${name.replace(/_count$/, '')}'`))).toEqual([])
})

describeWith([promtoolCheck], 'with promtool', () => {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  interface Case {
    series: Record<string, string>
    /** Alerts that ring after half an hour, with their summaries. */
    rings: readonly string[]
    values?: Record<string, number>
  }

  /** Samples are a minute apart; what promtool finds wrong is thrown. */
  async function judge({ series, rings, values = {} }: Case): Promise<void> {
    const at = '30m'
    const inputSeries = Object.entries(series).map(([one, samples]) => ({ series: one, values: samples }))
    const asked = Object.entries(values).map(([expr, value]) => ({
      ...{ expr, eval_time: at },
      exp_samples: [{ labels: '{}', value }],
    }))
    // Of all rules, each that rings does so once.
    const summaries = rules.map(({ alert }) => ({
      expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
      eval_time: at,
      exp_samples: [{ labels: '{}', value: rings.includes(alert) ? 1 : 0 }],
    }))
    const content = {
      rule_files: [RULES],
      evaluation_interval: '1m',
      tests: [{ interval: '1m', input_series: inputSeries, promql_expr_test: [...asked, ...summaries] }],
    }
    const file = join(dir, 'test.json')
    writeFileSync(file, JSON.stringify(content))
    await promisify(execFile)('promtool', ['test', 'rules', file]).catch(error => {
      throw new Error(error.stdout + error.stderr)
    })
  }

  test('what waits is told by each collector, and drawn once', async () => {
    const expressions = pipeline.rows
      .flatMap(({ panels }) => panels.flatMap(({ queries }) => queries))
      .flatMap(query => (query.source === 'prometheus' && query.expr.includes('lag_entries') ? [query.expr] : []))
    expect(expressions).toHaveLength(2)
    const series = Object.fromEntries(
      ['a:7411', 'b:7411'].flatMap(instance =>
        [100, 50].map((entries, partition) => [
          `quotacast_log_lag_entries{instance="${instance}",topic="calls",partition="${partition}"}`,
          `${entries}x40`,
        ]),
      ),
    )
    const values = Object.fromEntries(expressions.map(expr => [`sum(${expr})`, 150]))
    await judge({ series, rings: [], values })
  })

  test('they are rules', async () => {
    await promisify(execFile)('promtool', ['check', 'rules', RULES])
  })

  test('the jobs are such as Prometheus takes', async () => {
    const token = join(dir, 'token')
    writeFileSync(token, 'qc_any')
    for (const name of ['prometheus', 'prometheus.compose', 'prometheus.kubernetes']) {
      const whole = readFileSync(new URL(`../../deploy/grafana/${name}.yaml`, import.meta.url), 'utf8')
      // Debian's Prometheus is built without the client of Kubernetes.
      const text = whole.replace(/ +kubernetes_sd_configs:\n( {6}.*\n)+/, '')
      const file = join(dir, `${name}.yaml`)
      writeFileSync(file, text.replace(/\S+-token/, token).replace(/\S+rules\.json/, `[${RULES}`))
      await promisify(execFile)('promtool', ['check', 'config', file])
    }
  })

  const HEALTHY = {
    'up{job="quotacast",instance="analyzer"}': '1x60',
    'quotacast_subjects_at_risk{quota="a",instance="one"}': '0x60',
    'quotacast_subjects_used_up{quota="a",instance="one"}': '0x60',
    'quotacast_decisions_total{quota="a",result="allowed"}': '0+5x60',
    'quotacast_log_lag_seconds{topic="calls",partition="0"}': '3x60',
    'quotacast_ticks_skipped_total{instance="analyzer"}': '4x60',
    'quotacast_tick_seconds_count{instance="analyzer"}': '0+12x60',
    'quotacast_store_audit_differences_total{kind="lost"}': '0x60',
  }

  test('none rings while all is well, nor where nothing is known', async () => {
    await judge({ series: HEALTHY, rings: [] })
    await judge({ series: {}, rings: [] })
  })

  test('each rings in its state, whichever of several analyzers knows', async () => {
    const series = {
      'quotacast_subjects_at_risk{quota="a",instance="one"}': '0x60',
      'quotacast_subjects_at_risk{quota="a",instance="two"}': '0 2x60',
      'quotacast_subjects_used_up{quota="b",instance="two"}': '1x60',
      'quotacast_decisions_total{quota="b",result="denied"}': '0+1x60',
      'up{job="quotacast",instance="limiter"}': '0x60',
      'quotacast_log_lag_seconds{topic="calls",partition="0"}': '0+60x60',
      'quotacast_ticks_skipped_total{instance="analyzer"}': '0+12x60',
      'quotacast_tick_seconds_count{instance="analyzer"}': '40x60',
      'quotacast_degraded_decisions_total{instance="limiter"}': '0+9x60',
      'quotacast_sources_failed_total{source="kong"}': '0+1x60',
      // It begins with the loss itself.
      'quotacast_log_losses_total{topic="calls"}': '_x20 1x40',
    }
    await judge({ series, rings: rules.map(({ alert }) => alert) })
  })

  test('what is about to end rings no more', async () => {
    await judge({ series: { ...HEALTHY, 'quotacast_subjects_used_up{quota="a"}': '5x25 0x60' }, rings: [] })
  })

  test('something rare counts from its first time on, and what there was before does not', async () => {
    const counted = newly('rare_total', '20m')
    await judge({ series: {}, values: { [counted]: 0 }, rings: [] })
    await judge({ series: { 'rare_total{kind="a"}': '_x15 1x45' }, values: { [counted]: 1 }, rings: [] })
    await judge({ series: { 'rare_total{kind="a"}': '3x60' }, values: { [counted]: 0 }, rings: [] })
  })
})
