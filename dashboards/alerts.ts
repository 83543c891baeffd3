/** Grafana's alert rules for exhaustion, as a file of its provisioning. */
import assert from 'node:assert/strict'
import { uidOf } from './board.ts'
import { drawBoard } from './draw.ts'
import { exhaustion } from './exhaustion.ts'
import { HAS_RUN_OUT, MEANT_TO_DENY, newestForecasts, SUBJECT_TEXT } from './sql.ts'

/** Names of the data source and of the folder in `deploy/grafana/provisioning/`. */
const CLICKHOUSE_UID = 'quotacast-clickhouse'
const EXPRESSION_UID = '__expr__'
const FOLDER = 'Quotacast'
const PROBABILITY = 0.7

interface Rule {
  uid: string
  title: string
  /** Names, by which instances are told apart, and one number. */
  sql: string
  /** Rings above this. */
  above: number
  /** For so long, before it rings. */
  for: string
  severity: 'warning' | 'critical'
  /** Of the board of what runs out: where the alert leads. */
  panel: string
  /** Texts as Grafana fills them in: its functions are Prometheus' own. */
  summary: string
  description: string
}

const WHO = `quota, ${SUBJECT_TEXT} AS who`

const ALERT_RULES: readonly Rule[] = [
  {
    uid: 'quotacast-will-run-out',
    title: 'A quota will probably run out before its reset',
    sql: `SELECT ${WHO}, probability FROM (${newestForecasts('1')}) WHERE NOT ${HAS_RUN_OUT} AND confidence != 'none'`,
    above: PROBABILITY,
    for: '5m',
    severity: 'warning',
    panel: 'What runs out next',
    summary: '{{ $labels.who }} will probably run out of {{ $labels.quota }}',
    description:
      'The newest forecast gives {{ humanizePercentage $values.A.Value }} to running out before the reset. Spread or lower the calls, or grant more.',
  },
  {
    uid: 'quotacast-has-run-out',
    title: 'A quota has run out',
    sql: `SELECT ${WHO}, toFloat64(${HAS_RUN_OUT}) AS has_run_out FROM (${newestForecasts('1')}) WHERE NOT (${MEANT_TO_DENY})`,
    above: 0.5,
    for: '0s',
    severity: 'critical',
    panel: 'Run out',
    summary: '{{ $labels.who }} has used up {{ $labels.quota }}',
    description:
      'Until the reset calls are refused, or run into the limit of the provider. A grant gives more at once.',
  },
  {
    uid: 'quotacast-denies',
    title: 'Calls are denied',
    sql: `SELECT ${WHO}, toFloat64(sum(denied)) AS denials FROM decisions WHERE minute >= now() - INTERVAL 10 MINUTE GROUP BY quota, subject`,
    above: 0,
    for: '5m',
    severity: 'warning',
    panel: 'Who is refused now',
    summary: '{{ $labels.quota }} denies calls of {{ $labels.who }}',
    description: '{{ printf "%.0f" $values.A.Value }} decisions in ten minutes went against the caller.',
  },
]

/** The content of `alerting/quotacast.json`. */
export const alertFile = (): string =>
  `${JSON.stringify(
    {
      apiVersion: 1,
      groups: [
        { orgId: 1, name: 'quotacast-exhaustion', folder: FOLDER, interval: '1m', rules: ALERT_RULES.map(toRule) },
      ],
    },
    null,
    2,
  )}\n`

const toRule = (rule: Rule) => ({
  uid: rule.uid,
  title: rule.title,
  condition: 'B',
  for: rule.for,
  // A quota that has no forecast is not in danger, as far as anybody knows.
  noDataState: 'OK',
  execErrState: 'Error',
  labels: { severity: rule.severity, product: 'quotacast' },
  annotations: {
    summary: rule.summary,
    description: rule.description,
    // Grafana takes both or none, and does not start with one of them.
    __dashboardUid__: uidOf(exhaustion.slug),
    __panelId__: panelIdOf(rule.panel),
  },
  data: [
    {
      refId: 'A',
      datasourceUid: CLICKHOUSE_UID,
      relativeTimeRange: { from: 3_600, to: 0 },
      model: {
        refId: 'A',
        editorType: 'sql',
        pluginVersion: '4.0.0',
        queryType: 'table',
        format: 1,
        rawSql: rule.sql,
      },
    },
    {
      refId: 'B',
      datasourceUid: EXPRESSION_UID,
      relativeTimeRange: { from: 0, to: 0 },
      model: {
        refId: 'B',
        type: 'threshold',
        expression: 'A',
        conditions: [{ evaluator: { type: 'gt', params: [rule.above] } }],
      },
    },
  ],
})

function panelIdOf(title: string): string {
  const panel = drawBoard(exhaustion).panels?.find(drawn => drawn.title === title && drawn.type !== 'row')
  assert(panel?.id !== undefined, `the board has no panel ${title}`)
  return String(panel.id)
}
