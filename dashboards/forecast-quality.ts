/** Whether forecasts come true. The exact scores are those of `GET /v1/forecasts/accuracy`. */
import { type Board, VARIABLES } from './board.ts'
import { clickHouse, type Field, type Panel } from './panel.ts'
import { HAS_RUN_OUT, onlyOf } from './sql.ts'

const OF_BOARD = onlyOf('tenant', 'consumer', 'quota')
/** Calls are logged when they end: a window that ended just now is not known yet. */
const ENDED = 'window_end >= $__fromTime AND window_end <= least($__toTime, now() - INTERVAL 10 MINUTE)'
const ALERT = 0.7

/**
 * Kept forecasts of windows that ended in the board's time, made before the limit was reached, with when that was: the
 * first later forecast that found it used up, or the first denial by the quota in the window. Each window is put together
 * first, so that the table is read once, and subjects are numbers, which are cheaper to group by.
 */
const SCORED = `WITH windows AS (
    SELECT quota, cityHash64(quota, subject) AS who, window_start, max(window_end) AS ends_at, minOrNullIf(as_of, ${HAS_RUN_OUT}) AS used_up_at,
      groupArrayIf((as_of, probability, exhaustion_p10, exhaustion_p90), NOT ${HAS_RUN_OUT} AND position(mark, '/') > 0) AS forecasts
    FROM forecasts WHERE ${ENDED} AND ${OF_BOARD} GROUP BY quota, who, window_start
  ),
  denials AS (SELECT cityHash64(quota, subject) AS who, toDateTime64(minute, 3, 'UTC') AS at FROM decisions WHERE denied > 0 AND minute >= $__fromTime - INTERVAL 32 DAY AND ${OF_BOARD}),
  ended AS (
    SELECT windows.*, if(denials.at >= window_start AND denials.at < ends_at, denials.at, NULL) AS refused_at, least(used_up_at, refused_at) AS reached_at
    FROM windows ASOF LEFT JOIN denials ON windows.who = denials.who AND windows.window_start <= denials.at
  ),
  scored AS (
    SELECT quota, who, window_start, ends_at AS window_end, reached_at, reached_at IS NOT NULL AS has_run_out,
      forecast.1 AS as_of, forecast.2 AS probability, forecast.3 AS exhaustion_p10, forecast.4 AS exhaustion_p90
    FROM ended ARRAY JOIN forecasts AS forecast WHERE reached_at IS NULL OR as_of < reached_at
  )`
const NO_WINDOWS = 'No window with forecasts ended in this time'
const COVERED = `if(has_run_out,
    (exhaustion_p10 IS NULL OR reached_at >= exhaustion_p10) AND (exhaustion_p90 IS NULL OR reached_at <= exhaustion_p90),
    exhaustion_p90 IS NULL)`
const BRIER = 'avg(pow(probability - has_run_out, 2))'
const SCORES = `count() AS forecasts, uniqExact(who, window_start) AS windows, avg(has_run_out) AS "ran out", avg(probability) AS said,
  ${BRIER} AS Brier, "ran out" * (1 - "ran out") AS "Brier of the base rate", avg(${COVERED}) AS "in the band"`
const FIELDS: Record<string, Field> = {
  'ran out': { unit: 'percentunit' },
  said: { unit: 'percentunit' },
  Brier: { decimals: 3, thresholds: { warn: 0.15, bad: 0.25 } },
  'Brier of the base rate': { decimals: 3 },
  'in the band': { unit: 'percentunit' },
}

const stat = (title: string, question: string, sql: string, more: Partial<Panel>): Panel => ({
  kind: 'stat',
  title,
  question,
  queries: clickHouse(`${SCORED}\nSELECT ${sql} FROM scored HAVING count() > 0`),
  noData: NO_WINDOWS,
  width: 6,
  ...more,
})

const table = (title: string, question: string, by: string): Panel => ({
  kind: 'table',
  title,
  question,
  notes:
    'Below the Brier score of the base rate a forecast knows more than how often such windows run out; 0 is perfect.',
  queries: clickHouse(
    `${SCORED}\nSELECT ${by} AS "by", ${SCORES} FROM scored GROUP BY "by" ORDER BY min(window_end - as_of), "by" LIMIT 200`,
  ),
  noData: NO_WINDOWS,
  width: 24,
  height: 7,
  fields: FIELDS,
})

export const forecastQuality: Board = {
  slug: 'forecast-quality',
  title: 'Forecast quality',
  question: 'Do forecasts come true, and early enough?',
  from: 'now-7d',
  to: 'now',
  refresh: '15m',
  needsPrometheus: false,
  variables: [VARIABLES.tenant, VARIABLES.consumer, VARIABLES.quota],
  rows: [
    {
      title: 'In all',
      panels: [
        stat('Brier score', 'How far are probabilities from what happened?', `${BRIER} AS Brier`, {
          notes:
            'The mean square; 0 is perfect, always saying one half has 0.25. Forecasts of the twelfths of windows, made before the limit was reached.',
          decimals: 3,
          thresholds: { warn: 0.15, bad: 0.25 },
        }),
        stat('In the band', 'How often does the truth lie between p10 and p90?', `avg(${COVERED}) AS covered`, {
          notes: 'Eight times in ten is meant. Of windows that ran out the instant, of the others that they did not.',
          unit: 'percentunit',
        }),
        stat('Ran out', 'How often was a limit reached after a forecast?', 'avg(has_run_out) AS share', {
          unit: 'percentunit',
        }),
        stat('Windows', 'How many windows of subjects are scored?', 'uniqExact(who, window_start) AS windows', {}),
        {
          kind: 'reliability',
          title: 'Reliability',
          question: 'Of what was said to happen so often, how much did happen?',
          notes: 'Ten bins of probability. Forecasts can be trusted where both lines are alike.',
          queries: clickHouse(
            `${SCORED}\nSELECT avg(probability) AS said, avg(has_run_out) AS happened, said AS perfect FROM scored GROUP BY least(9, floor(10 * probability)) AS bin ORDER BY bin`,
          ),
          noData: NO_WINDOWS,
          unit: 'percentunit',
          width: 12,
          height: 10,
          fields: { perfect: { color: 'gray' }, happened: { color: 'blue' } },
        },
        {
          kind: 'series',
          title: 'Brier score over time',
          question: 'Do forecasts get better or worse?',
          queries: clickHouse(
            `${SCORED}\nSELECT toStartOfDay(toDateTime(window_end, 'UTC')) AS time, quota, ${BRIER} AS Value FROM scored GROUP BY time, quota ORDER BY time`,
          ),
          noData: NO_WINDOWS,
          decimals: 3,
          width: 12,
          height: 10,
        },
      ],
    },
    {
      title: 'Where they are good, and where not',
      panels: [
        table('By quota', 'Of which quotas are forecasts good?', 'quota'),
        table(
          'By the time that was left',
          'How far ahead are forecasts good?',
          "multiIf(window_end - as_of <= 3600, 'up to an hour', window_end - as_of <= 6 * 3600, 'up to 6 hours', window_end - as_of <= 86400, 'up to a day', window_end - as_of <= 7 * 86400, 'up to a week', 'longer')",
        ),
      ],
    },
    {
      title: 'Warnings',
      panels: [
        {
          kind: 'table',
          title: 'Lead time',
          question: 'How long before it ran out did an alert warn, and how often for nothing?',
          notes: `An alert rings from a probability of ${ALERT} on. Of windows that ran out the lead in parts of the window, 0 where nothing warned; of the others how often it rang.`,
          queries: clickHouse(`${SCORED}
SELECT quota, countIf(ran_out) AS "ran out", countIf(NOT ran_out) AS "did not", avgIf(lead, ran_out) AS lead, avgIf(has_warned, ran_out) AS warned, avgIf(has_warned, NOT ran_out) AS "false alarms"
FROM (
  SELECT quota, who, window_start, any(has_run_out) AS ran_out, countIf(probability >= ${ALERT}) > 0 AS has_warned,
    if(has_warned, dateDiff('second', minIf(as_of, probability >= ${ALERT}), any(reached_at)) / dateDiff('second', window_start, any(window_end)), 0) AS lead
  FROM scored GROUP BY quota, who, window_start
)
GROUP BY quota ORDER BY quota LIMIT 200`),
          noData: NO_WINDOWS,
          width: 24,
          fields: {
            lead: { unit: 'percentunit' },
            warned: { unit: 'percentunit' },
            'false alarms': { unit: 'percentunit', thresholds: { warn: 0.1, bad: 0.3 } },
          },
        },
      ],
    },
  ],
}
