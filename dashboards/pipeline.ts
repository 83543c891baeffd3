/** Whether everything that gateways send gets where it belongs, and how soon. */
import type { Board } from './board.ts'
import { clickHouse, type Panel, prometheus } from './panel.ts'
import { newly, ofRole } from './promql.ts'
import { HOURS } from './sql.ts'

const NO_METRICS = 'Prometheus has no measurements: let it scrape /metrics of every role'
const NEVER = 'Never in this time'
/** Several limiters of one machine are told apart by `process`. */
const PROCESS = '{{service_name}} {{process}} {{instance}}'

const rate = (title: string, question: string, metric: string, by: string, more: Partial<Panel> = {}): Panel => ({
  kind: 'series',
  title,
  question,
  queries: prometheus({ [`{{${by}}}`]: `sum by (${by}) (rate(${metric}[$__rate_interval]))` }),
  noData: NO_METRICS,
  unit: 'cps',
  width: 8,
  ...more,
})

const gauge = (
  title: string,
  question: string,
  expressions: Record<string, string>,
  more: Partial<Panel> = {},
): Panel => ({
  kind: 'series',
  title,
  question,
  queries: prometheus(expressions),
  noData: NO_METRICS,
  width: 8,
  ...more,
})

const stat = (title: string, question: string, expr: string, more: Partial<Panel> = {}): Panel => ({
  kind: 'stat',
  title,
  question,
  queries: prometheus({ [title]: expr }),
  noData: NO_METRICS,
  width: 6,
  ...more,
})

/** Each collector tells of all partitions, whoever stores them. */
const WAITING = 'max by (topic, partition) (quotacast_log_lag_entries)'

export const pipeline: Board = {
  slug: 'pipeline',
  title: 'Pipeline',
  question: 'Does everything that gateways send get where it belongs, and how soon?',
  from: 'now-6h',
  to: 'now',
  refresh: '30s',
  needsPrometheus: true,
  variables: [],
  rows: [
    {
      title: 'Is it well?',
      panels: [
        stat(
          'Roles up',
          'How many roles answer?',
          'count(count by (service_name) (target_info{service_name=~"quotacast-.+"}))',
          {
            notes: 'Of four, where the store is embedded; else of three.',
          },
        ),
        stat('Not stored yet', 'How many entries of the log wait for the store?', `sum(${WAITING})`, {
          thresholds: { warn: 100_000, bad: 1_000_000 },
        }),
        stat('Delay', 'How old is the oldest entry that is not stored yet?', 'max(quotacast_log_lag_seconds)', {
          unit: 's',
          thresholds: { warn: 60, bad: 600 },
        }),
        stat(
          'Lost',
          'Were entries of the log lost, or do log and store differ?',
          `${newly('quotacast_log_losses_total', '$__range')} + ${newly('quotacast_store_audit_differences_total', '$__range')}`,
          {
            thresholds: { warn: 1, bad: 1 },
          },
        ),
      ],
    },
    {
      title: 'In',
      panels: [
        rate('Calls accepted', 'How many calls come in, and which way?', 'quotacast_calls_accepted_total', 'receiver', {
          isStacked: true,
        }),
        rate('Calls rejected', 'How many calls cannot be read, and why?', 'quotacast_calls_rejected_total', 'reason', {
          noData: NEVER,
          isStacked: true,
        }),
        rate(
          'Sent back',
          'How many deliveries must come again, because the log was full or away?',
          'quotacast_deliveries_refused_total',
          'receiver',
          { noData: NEVER },
        ),
        {
          kind: 'table',
          title: 'Rejections',
          question: 'What cannot be read, from whom, and why?',
          notes:
            'With one of the messages. `quotacast rejections` shows inputs, `quotacast replay` decodes them again.',
          queries: clickHouse(
            'SELECT source, dialect, reason, count() AS rejections, max(arrived_at) AS last, any(message) AS example FROM rejections WHERE $__timeFilter_ms(arrived_at) GROUP BY source, dialect, reason ORDER BY rejections DESC LIMIT 100',
          ),
          noData: 'Everything could be read',
          width: 16,
          fields: {
            source: { width: 110 },
            dialect: { width: 100 },
            reason: { width: 130 },
            rejections: { unit: 'short', width: 95 },
            last: { unit: 'dateTimeFromNow', width: 110 },
          },
        },
        gauge(
          'Lines and sources lost',
          'Did datagrams come too fast, or did a way in break?',
          {
            'lines dropped {{source}}': 'sum by (source) (rate(quotacast_lines_dropped_total[$__rate_interval]))',
            'broken {{source}}': 'sum by (source) (rate(quotacast_sources_failed_total[$__rate_interval]))',
          },
          { noData: NEVER, unit: 'cps' },
        ),
      ],
    },
    {
      title: 'Through',
      panels: [
        rate('Rows stored', 'How many rows does the store take?', 'quotacast_rows_stored_total', 'topic', {
          isStacked: true,
          unit: 'wps',
        }),
        gauge(
          'Waiting for the store',
          'How far is the store behind the log?',
          { '{{topic}}': `sum by (topic) (${WAITING})` },
          { unit: 'short' },
        ),
        rate('Duplicates', 'How much came twice, and was stored once?', 'quotacast_entries_duplicate_total', 'topic', {
          noData: NEVER,
        }),
        rate(
          'Writes that failed',
          'How often does the store not take a batch?',
          'quotacast_store_writes_failed_total',
          'code',
          { noData: NEVER },
        ),
        {
          kind: 'series',
          title: 'From the call to its arrival',
          question: 'How late do gateways tell of their calls?',
          notes:
            'From the start of the call; gateways log when it has ended. Calls that started in the last six hours of the board, each minute apart.',
          queries: clickHouse(`SELECT $__timeInterval(minute) AS time, late[1] AS p50, late[2] AS p99 FROM (
  SELECT minute, quantiles(0.5, 0.99)(dateDiff('millisecond', started_at, arrived_at)) AS late FROM calls
  WHERE minute >= greatest(toStartOfMinute($__fromTime), $__toTime - INTERVAL 6 HOUR) AND minute <= $__toTime
    AND arrived_at >= greatest(toStartOfMinute($__fromTime), $__toTime - INTERVAL 6 HOUR)
  GROUP BY minute
) ORDER BY time`),
          noData: 'No calls in this time',
          unit: 'ms',
          width: 8,
          stepMin: '1m',
        },
        {
          kind: 'series',
          title: 'Calls stored by hour',
          question: 'Is there an hour that is missing?',
          queries: clickHouse(
            `SELECT $__timeInterval(hour) AS time, gateway, count() AS Value FROM calls WHERE ${HOURS} GROUP BY time, gateway ORDER BY time`,
          ),
          noData: 'No calls in this time',
          width: 8,
          isStacked: true,
          stepMin: '1h',
        },
      ],
    },
    {
      title: 'Out',
      panels: [
        gauge(
          'Ticks',
          'How long does the analyzer need for its forecasts?',
          {
            p50: 'histogram_quantile(0.5, sum by (le) (rate(quotacast_tick_seconds_bucket[$__rate_interval])))',
            p99: 'histogram_quantile(0.99, sum by (le) (rate(quotacast_tick_seconds_bucket[$__rate_interval])))',
          },
          { unit: 's' },
        ),
        gauge(
          'Forecasts',
          'How many forecasts are made, and how many subjects left out?',
          {
            'made a second': 'sum(rate(quotacast_forecasts_total[$__rate_interval]))',
            'subjects left out': 'max(quotacast_subjects_cut)',
          },
          { unit: 'short' },
        ),
        gauge(
          'Requests',
          'How many requests does each role answer, and which fail?',
          {
            '{{instance}} {{http_response_status_code}}':
              'sum by (instance, http_response_status_code) (rate(quotacast_http_request_duration_seconds_count[$__rate_interval]))',
          },
          { unit: 'reqps' },
        ),
      ],
    },
    {
      title: 'What it takes',
      panels: [
        gauge(
          'Processor',
          'How much of a processor does each role take?',
          { [PROCESS]: ofRole('rate(quotacast_cpu_seconds_total[$__rate_interval])') },
          { unit: 'percentunit' },
        ),
        gauge(
          'Event loop',
          'Which role has those wait who ask it?',
          { [PROCESS]: ofRole('rate(quotacast_event_loop_busy_seconds_total[$__rate_interval])') },
          { unit: 'percentunit', notes: 'The share of the time for which it was busy.' },
        ),
        gauge(
          'Memory',
          'How much memory does each role hold?',
          { [PROCESS]: ofRole('quotacast_memory_bytes') },
          { unit: 'bytes', notes: "The embedded store's engine, a process of its own, is in none of the three." },
        ),
      ],
    },
  ],
}
