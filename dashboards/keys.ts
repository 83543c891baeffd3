/** One key: what it uses of each quota, what it calls, and what is unusual about it. */
import { type Board, VARIABLES } from './board.ts'
import { CALL_FIELDS, clickHouse, OUTCOME_FIELDS, type Panel, SUBJECT_FIELDS } from './panel.ts'
import {
  byOutcome,
  CALLS,
  COST,
  callsBy,
  FROM_HOUR,
  HOURS,
  MINUTES,
  newestForecasts,
  offered,
  only,
  SUBJECT_TEXT,
  TOKENS,
} from './sql.ts'

const CONSUMER = 'consumer IN (${consumer:sqlstring})'
/** Tenant and consumer, one each: the key of the table, so that only its calls are read. */
const TENANT = 'tenant IN (${tenant:sqlstring})'
const OF_CONSUMER = `${TENANT} AND ${CONSUMER}`
const NO_CALLS = 'This key made no calls in this time'
/** As far back as calls are kept. */
const KEPT = "hour >= toStartOfHour(now('UTC') - INTERVAL 30 DAY)"
/** Of which not all is known yet. */
const THIS_HOUR = "toStartOfHour(now('UTC'))"
/** What is told when a key shows a new value of it, and its column. */
const WATCHED = { model: 'model', route: 'route', gateway: 'gateway', network: 'client_ip' } as const

const stat = (title: string, question: string, sql: string, more: Partial<Panel> = {}): Panel => ({
  kind: 'stat',
  title,
  question,
  queries: clickHouse(sql),
  noData: NO_CALLS,
  width: 6,
  ...more,
})

const used = (title: string, question: string, columns: readonly string[]): Panel => ({
  kind: 'table',
  title,
  question,
  queries: clickHouse(callsBy(columns, `${HOURS} AND ${OF_CONSUMER}`)),
  noData: NO_CALLS,
  width: 24,
  height: 6,
  fields: CALL_FIELDS,
})

export const keys: Board = {
  slug: 'keys',
  title: 'Keys',
  question: 'What does one key do, of a consumer or at a provider?',
  from: 'now-24h',
  to: 'now',
  refresh: '1m',
  needsPrometheus: false,
  variables: [
    { ...VARIABLES.tenant, isSingle: true },
    { ...VARIABLES.consumer, isSingle: true },
    {
      name: 'provider_key',
      label: 'Provider key',
      sql: `SELECT ${offered('provider_key')} FROM calls WHERE ${HOURS} AND provider_key != '' GROUP BY provider_key ORDER BY count() DESC LIMIT 1000`,
    },
  ],
  rows: [
    {
      title: 'The key of a consumer',
      panels: [
        stat(
          'Calls',
          'How often did it call?',
          `SELECT ${CALLS} AS calls FROM calls WHERE ${HOURS} AND ${OF_CONSUMER}`,
        ),
        stat(
          'Tokens',
          'How many tokens did it use?',
          `SELECT ${TOKENS} AS tokens FROM calls WHERE ${HOURS} AND ${OF_CONSUMER}`,
        ),
        stat('Cost', 'What did it cost?', `SELECT ${COST} AS cost FROM calls WHERE ${HOURS} AND ${OF_CONSUMER}`, {
          notes: 'In the configured currency.',
          decimals: 2,
        }),
        stat(
          'Last seen',
          'When did it call last?',
          `SELECT 1000 * toUnixTimestamp(max(minute)) AS "last call" FROM calls WHERE ${KEPT} AND ${OF_CONSUMER} HAVING count() > 0`,
          {
            unit: 'dateTimeFromNow',
            noData: 'Not in 30 days',
          },
        ),
        {
          kind: 'table',
          title: 'Its quotas',
          question: 'How much of each quota has it used, and will that last?',
          notes: 'Its own quotas, and those that it shares with all of its tenant. As of the newest kept forecast.',
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, if(limit = 0, 1, used / limit) AS "share used", used, limit, unit, probability, exhaustion_p50 AS "runs out", headroom_p50 AS headroom, window_end AS reset, as_of AS "as of"
FROM (${newestForecasts(`${TENANT} AND (${CONSUMER} OR consumer = '')`)})
ORDER BY "share used" DESC LIMIT 100`),
          noData: 'No quota with a reset covers it, or it has no forecast yet',
          width: 24,
          height: 7,
          fields: SUBJECT_FIELDS,
        },
        {
          kind: 'series',
          title: 'Calls',
          question: 'When does it call, and how do its calls end?',
          queries: clickHouse(
            `SELECT $__timeInterval(minute) AS time, outcome, ${CALLS} AS Value FROM calls WHERE ${MINUTES} AND ${OF_CONSUMER} GROUP BY time, outcome ORDER BY time`,
          ),
          noData: NO_CALLS,
          width: 12,
          isStacked: true,
          stepMin: '5m',
          fields: OUTCOME_FIELDS,
        },
        {
          kind: 'series',
          title: 'Tokens',
          question: 'How many tokens does it use, of which model?',
          queries: clickHouse(
            `SELECT $__timeInterval(minute) AS time, model, ${TOKENS} AS Value FROM calls WHERE ${MINUTES} AND ${OF_CONSUMER} GROUP BY time, model ORDER BY time`,
          ),
          noData: NO_CALLS,
          width: 12,
          isStacked: true,
          stepMin: '5m',
        },
        used('Models', 'Which models does it call?', ['provider', 'model', 'provider_key']),
        used('Routes', 'Which routes does it call?', ['gateway', 'route']),
      ],
    },
    {
      title: 'Unusual activity',
      panels: [
        {
          kind: 'series',
          title: 'Calls an hour, and what is usual',
          question: 'Does it call more, or less, than at this hour of other days?',
          notes:
            'The band is two standard deviations around the mean of the same hour of the 14 days before. `GET /v1/anomalies` tells more exactly what is unusual.',
          queries: clickHouse(`SELECT time, calls, greatest(0, mean - 2 * deviation) AS p10, mean + 2 * deviation AS p90
FROM (
  SELECT hour AS time, calls, avg(calls) OVER days AS mean, stddevPop(calls) OVER days AS deviation
  FROM (
    SELECT hour, ${CALLS} AS calls FROM calls
    WHERE hour >= ${FROM_HOUR} - INTERVAL 14 DAY AND hour < ${THIS_HOUR} AND ${OF_CONSUMER}
    GROUP BY hour ORDER BY hour WITH FILL TO ${THIS_HOUR} STEP INTERVAL 1 HOUR
  )
  WINDOW days AS (PARTITION BY toHour(hour) ORDER BY hour ROWS BETWEEN 14 PRECEDING AND 1 PRECEDING)
)
WHERE time >= ${FROM_HOUR} AND time <= $__toTime ORDER BY time`),
          noData: NO_CALLS,
          width: 12,
          isFan: true,
          fields: { p10: { color: 'green' }, p90: { color: 'green' }, calls: { color: 'blue' } },
        },
        {
          kind: 'table',
          title: 'New in two days',
          question: 'What did it use for the first time in the last two days?',
          notes: 'Models, routes, gateways and networks of clients that were not seen in the 28 days before.',
          queries: clickHouse(`SELECT seen.1 AS what, seen.2 AS value, min(begin) AS first, sum(n) AS calls
FROM (
  SELECT ${Object.values(WATCHED).join(', ')}, min(minute) AS begin, ${CALLS} AS n FROM calls
  WHERE ${KEPT} AND ${OF_CONSUMER} GROUP BY ${Object.values(WATCHED).join(', ')}
) ARRAY JOIN [${Object.entries(WATCHED)
            .map(([what, column]) => `('${what}', ${column})`)
            .join(', ')}] AS seen
GROUP BY what, value HAVING value != '' AND first >= now() - INTERVAL 2 DAY ORDER BY calls DESC LIMIT 100`),
          noData: 'Nothing new',
          width: 12,
          fields: { what: { width: 90 }, first: { width: 165 }, calls: { unit: 'short', width: 80 } },
        },
      ],
    },
    {
      title: 'The key at a provider',
      panels: [
        {
          kind: 'table',
          title: 'Provider keys',
          question: 'What is asked of each provider with which key, and how often is its quota gone?',
          queries:
            clickHouse(`SELECT provider, provider_key, sum(n) AS calls, sumIf(n, outcome = 'exhausted') AS exhausted, sum(t) AS tokens, sum(c) AS cost
FROM (${byOutcome(['provider', 'provider_key'], `${HOURS} AND provider_key != '' AND ${only('provider_key')}`, [`${CALLS} AS n`, `${TOKENS} AS t`, `${COST} AS c`])})
GROUP BY provider, provider_key ORDER BY exhausted DESC, calls DESC LIMIT 100`),
          noData: 'No gateway tells which key of a provider it used',
          width: 12,
          fields: { ...CALL_FIELDS, exhausted: { thresholds: { warn: 1, bad: 100 }, width: 85 } },
        },
        {
          kind: 'series',
          title: 'Exhausted at the provider',
          question: 'When does the provider say that the quota of a key is gone?',
          queries: clickHouse(`SELECT $__timeInterval(hour) AS time, provider_key, ${CALLS} AS Value FROM calls
WHERE ${HOURS} AND outcome = 'exhausted' AND ${only('provider_key')} GROUP BY time, provider_key ORDER BY time`),
          noData: 'No provider said so in this time',
          width: 12,
          isStacked: true,
          stepMin: '1h',
        },
        {
          kind: 'series',
          title: 'Left at the provider',
          question: 'What do the limit headers of the provider say is left?',
          notes: 'The least that they said of requests, as a share of their limit, in the last six hours of the board.',
          queries: clickHouse(`SELECT $__timeInterval(minute) AS time, provider_key, min(remaining / limit) AS Value
FROM (
  SELECT minute, provider_key, JSONExtract(upstream_limits, 'units', 'requests', 'remaining', 'Nullable(Float64)') AS remaining, JSONExtractFloat(upstream_limits, 'units', 'requests', 'limit') AS limit
  FROM calls
  WHERE minute >= greatest(toStartOfMinute($__fromTime), $__toTime - INTERVAL 6 HOUR) AND minute <= $__toTime
    AND arrived_at >= greatest(toStartOfMinute($__fromTime), $__toTime - INTERVAL 6 HOUR)
    AND upstream_limits != '' AND ${only('provider_key')}
)
WHERE limit > 0 AND isNotNull(remaining) GROUP BY time, provider_key ORDER BY time`),
          noData: 'No gateway passes the limit headers of a provider on',
          unit: 'percentunit',
          max: 1,
          width: 24,
          stepMin: '1m',
        },
      ],
    },
  ],
}
