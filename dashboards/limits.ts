/** What the limiter decides, and how well it holds the limits. */
import { type Board, VARIABLES } from './board.ts'
import { clickHouse, type Panel, prometheus, SUBJECT_FIELDS } from './panel.ts'
import { HOURS, newestForecasts, onlyOf, SUBJECT_TEXT, told } from './sql.ts'

const OF_BOARD = `$__timeFilter(minute) AND ${onlyOf('tenant', 'consumer', 'quota')}`
const NOT_ASKED = 'No gateway asked the limiter in this time'
/** Quotas that are computed and never deny: those of the config, and those of the API. */
const SHADOW_QUOTAS = `SELECT key FROM (
    SELECT key, argMax(if(kind = 'quota_config', JSONExtractRaw(value, 'options'), value), at) AS quota
    FROM audit WHERE kind IN ('quota', 'quota_config') GROUP BY key
  ) WHERE JSONExtractString(quota, 'enforcement') = 'shadow'`
/** What a quota was overrun by at most in each window that was: as a share of its limit. */
const OVERSHOOT = `SELECT quota, subject, window_start, max(used) / any(limit) - 1 AS share, max(used - limit) AS units, any(unit) AS unit
  FROM forecasts WHERE $__timeFilter_ms(as_of) AND limit > 0 AND used > limit AND ${onlyOf('tenant', 'consumer', 'quota')}
  GROUP BY quota, subject, window_start`

const rateOf = (metric: string, by: string): string => `sum by (${by}) (rate(${metric}[$__rate_interval]))`
const doors = (quantile: number): string =>
  `histogram_quantile(${quantile}, sum by (le) (rate(quotacast_http_request_duration_seconds_bucket{http_route=~"/v1/check|/v1/auth.*|/v1/reservations.*"}[$__rate_interval]) or rate(quotacast_grpc_call_duration_seconds_bucket{rpc_method=~".*(RateLimit|Report|Authorization/Check)"}[$__rate_interval])))`

const overTime = (title: string, question: string, sql: string, more: Partial<Panel> = {}): Panel => ({
  kind: 'series',
  title,
  question,
  queries: clickHouse(sql),
  noData: NOT_ASKED,
  width: 12,
  stepMin: '5m',
  ...more,
})

export const limits: Board = {
  slug: 'limits',
  title: 'Limits',
  question: 'What does the limiter decide, for whom, and how exactly does it hold the limits?',
  from: 'now-24h',
  to: 'now',
  refresh: '30s',
  needsPrometheus: true,
  variables: [VARIABLES.tenant, VARIABLES.consumer, VARIABLES.quota],
  rows: [
    {
      title: 'Decisions',
      panels: [
        overTime(
          'Decisions',
          'How often is each quota asked, and how often does it deny?',
          `SELECT $__timeInterval(minute) AS time, sum(allowed) AS allowed, sum(denied) AS denied FROM decisions WHERE ${OF_BOARD} GROUP BY time ORDER BY time`,
          {
            notes: 'One for each quota that covers the call; of a denied call only those that were in the way.',
            isStacked: true,
            fields: { allowed: { color: 'green' }, denied: { color: 'red' } },
          },
        ),
        overTime(
          'Share denied by quota',
          'Which quotas deny most?',
          `SELECT $__timeInterval(minute) AS time, quota, sum(denied) / sum(allowed + denied) AS Value FROM decisions WHERE ${OF_BOARD} GROUP BY time, quota ORDER BY time`,
          { unit: 'percentunit', max: 1, stepMin: '15m' },
        ),
        {
          kind: 'table',
          title: 'Denials by quota and subject',
          question: 'Who is denied, by which quota, and how much did they ask for in vain?',
          notes: 'The quota is the reason: it was in the way.',
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, sum(denied) AS "denied calls", sum(denied) / sum(allowed + denied) AS "share denied", ${told('sum(denied_cost)')} AS "units denied", ${told('sum(spent)')} AS "units spent", any(unit) AS unit, max(minute) AS last
FROM decisions WHERE ${OF_BOARD} GROUP BY quota, subject HAVING "denied calls" > 0 ORDER BY "denied calls" DESC LIMIT 100`),
          noData: 'Nothing was denied in this time',
          width: 24,
          fields: {
            ...SUBJECT_FIELDS,
            'units denied': { unit: 'short', width: 100 },
            'units spent': { unit: 'short', width: 95 },
          },
        },
        {
          kind: 'series',
          title: 'Time to decide',
          question: 'How long do gateways wait for the limiter?',
          notes: 'Checks, forward-auth and reservations over HTTP, and what gateways ask over gRPC, server side.',
          queries: prometheus({ p50: doors(0.5), p99: doors(0.99) }),
          noData: 'Prometheus has no measurements of the limiter: let it scrape /metrics of port 7412',
          unit: 's',
          width: 8,
        },
        overTime(
          'Calls that a limit refused',
          'How many calls did gateways log as refused by a limit, of which tenant?',
          `SELECT $__timeInterval(hour) AS time, tenant, count() AS Value FROM calls WHERE ${HOURS} AND outcome = 'limited' AND ${onlyOf('tenant', 'consumer')} GROUP BY time, tenant ORDER BY time`,
          {
            notes: 'A limit of the gateway or one of ours.',
            noData: 'No call was refused in this time',
            isStacked: true,
            stepMin: '1h',
            width: 8,
          },
        ),
        overTime(
          'Demand and spending',
          'How much was asked for, and how much of it was let pass?',
          `SELECT $__timeInterval(minute) AS time, quota, sum(denied_cost) / sum(spent + denied_cost) AS Value FROM decisions WHERE ${OF_BOARD} AND spent + denied_cost > 0 GROUP BY time, quota ORDER BY time`,
          {
            notes: 'The share of the units asked for that was refused, by quota.',
            unit: 'percentunit',
            max: 1,
            stepMin: '15m',
            width: 8,
          },
        ),
      ],
    },
    {
      title: 'Shadow, and overshoot',
      panels: [
        {
          kind: 'table',
          title: 'Shadow quotas',
          question: 'What would the quotas refuse that are only tried?',
          notes: 'Shares above 100 % would be refused. As of the newest kept forecast.',
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, if(limit = 0, 1, used / limit) AS "share used", greatest(0, used - limit) AS "over the limit", unit, probability, window_end AS reset
FROM (${newestForecasts(onlyOf('tenant', 'consumer', 'quota'))})
WHERE quota IN (${SHADOW_QUOTAS}) ORDER BY "share used" DESC LIMIT 100`),
          noData: 'No quota is a shadow: `enforcement: shadow` tries one out',
          width: 24,
          height: 7,
          fields: {
            ...SUBJECT_FIELDS,
            'over the limit': { unit: 'short', width: 105 },
          },
        },
        {
          kind: 'table',
          title: 'Overshoot',
          question: 'How far was a limit exceeded?',
          notes:
            'By calls that nobody asked about, by costs that turned out higher, or for a quota that does not deny. Windows with a forecast in this time.',
          queries: clickHouse(
            `SELECT quota, ${SUBJECT_TEXT} AS who, count() AS windows, max(share) AS "most over", ${told('max(units)')} AS units, any(unit) AS unit FROM (${OVERSHOOT}) GROUP BY quota, subject ORDER BY "most over" DESC LIMIT 100`,
          ),
          noData: 'No limit was exceeded',
          width: 24,
          height: 6,
          fields: {
            ...SUBJECT_FIELDS,
            windows: { width: 80 },
            'most over': { unit: 'percentunit', thresholds: { warn: 0.01, bad: 0.1 }, width: 85 },
            units: { unit: 'short', width: 80 },
          },
        },
      ],
    },
    {
      title: 'Reservations and estimates',
      panels: [
        {
          kind: 'series',
          title: 'Reservations',
          question: 'How many estimates are held, settled, released, and left to expire?',
          notes:
            'Requests a second over HTTP. Most reservations are settled by the record of their call, without a request.',
          queries: prometheus({
            '{{http_route}}': rateOf(
              'quotacast_http_request_duration_seconds_count{http_route=~"/v1/reservations.*",http_request_method="POST"}',
              'http_route',
            ),
            expired: 'sum(rate(quotacast_reservations_expired_total[$__rate_interval]))',
          }),
          noData: 'No gateway reserves',
          unit: 'reqps',
          width: 8,
        },
        {
          kind: 'series',
          title: 'Estimates that were too low',
          question: 'How often did a call cost more than was estimated of it?',
          notes: 'By the quantile of the config, half of them are meant to.',
          queries: prometheus({
            overran:
              'sum(rate(quotacast_estimated_calls_total{result="overran"}[$__rate_interval])) / (sum(rate(quotacast_estimated_calls_total[$__rate_interval])) > 0)',
          }),
          noData: 'No true costs came to be known in this time',
          unit: 'percentunit',
          max: 1,
          width: 8,
        },
        {
          kind: 'series',
          title: 'Needless denials',
          question: 'How often did an estimate deny a call that would have fitted?',
          queries: prometheus({ '{{result}}': rateOf('quotacast_estimated_denials_total', 'result') }),
          noData: 'No reservation was denied on an estimate',
          unit: 'reqps',
          width: 8,
        },
        {
          kind: 'series',
          title: 'Records and their checks',
          question: 'Do the records of calls find the checks that let them pass?',
          notes: 'Linked ones replace an estimate; unlinked ones spend as they arrive.',
          queries: prometheus({ '{{result}}': rateOf('quotacast_settled_records_total', 'result') }),
          noData: 'Prometheus has no measurements of the limiter',
          unit: 'reqps',
          width: 12,
          isStacked: true,
        },
        {
          kind: 'series',
          title: 'Corrected against the store',
          question: 'By how much were counters wrong?',
          notes: 'Units by which counters differed from the stored calls, and were corrected.',
          queries: prometheus({ '{{direction}}': rateOf('quotacast_usage_corrected_units_total', 'direction') }),
          noData: 'Never wrong in this time',
          width: 12,
        },
      ],
    },
  ],
}
