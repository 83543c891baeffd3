/** What runs out next, and how it comes to that. */
import { type Board, uidOf, VARIABLES } from './board.ts'
import { clickHouse, type Field, SUBJECT_FIELDS } from './panel.ts'
import { FORECAST_COLUMNS, HAS_RUN_OUT, newestForecasts, only, onlyOf, SUBJECT_ID, SUBJECT_TEXT } from './sql.ts'

const OF_BOARD = onlyOf('tenant', 'consumer', 'quota')
const OF_SUBJECT = `${only('quota')} AND ${SUBJECT_ID} = '\${subject}'`
const PROBABILITY = { warn: 0.3, bad: 0.7 } as const
/** A click on who it is opens the key; its names are in columns that are not shown. */
const WHO: Readonly<Record<string, Field>> = {
  who: { opens: { uid: uidOf('keys'), title: 'This key', variables: ['tenant', 'consumer'] } },
  tenant: { isHidden: true },
  consumer: { isHidden: true },
}
/** What will likely run out by when it will, then the others by how likely that is, then what has run out. */
const IN_ORDER = `${HAS_RUN_OUT}, if(probability < 0.5, 1 - probability, 0), ifNull(exhaustion_p50, window_end), quota, subject`
/** Denials that are happening count as now for so long. */
const NOW = 'minute >= now() - INTERVAL 15 MINUTE'

export const exhaustion: Board = {
  slug: 'exhaustion',
  title: 'Exhaustion',
  question: 'What runs out next, when, and who is refused already?',
  from: 'now-24h',
  to: 'now+24h',
  refresh: '30s',
  needsPrometheus: false,
  variables: [
    VARIABLES.tenant,
    VARIABLES.consumer,
    VARIABLES.quota,
    {
      name: 'subject',
      label: 'Subject',
      isSingle: true,
      sql: `SELECT ${SUBJECT_ID}, concat(quota, ': ', ${SUBJECT_TEXT})
FROM (${newestForecasts(OF_BOARD)})
ORDER BY ${IN_ORDER} LIMIT 1000`,
    },
  ],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Likely to run out',
          question: 'How many subjects will probably run out before their reset?',
          notes: 'Newest kept forecast of each; probability of 0.7 and more.',
          queries: clickHouse(
            `SELECT countIf(probability >= 0.7 AND NOT ${HAS_RUN_OUT}) AS subjects FROM (${newestForecasts(OF_BOARD)})`,
          ),
          noData: 'No forecasts yet: they come some minutes after the first calls of a quota',
          thresholds: { warn: 1, bad: 5 },
          width: 6,
        },
        {
          kind: 'stat',
          title: 'Run out',
          question: 'How many subjects have used up a quota whose reset is still to come?',
          queries: clickHouse(`SELECT countIf(${HAS_RUN_OUT}) AS subjects FROM (${newestForecasts(OF_BOARD)})`),
          noData: 'No forecasts yet',
          thresholds: { warn: 1, bad: 1 },
          width: 6,
        },
        {
          kind: 'stat',
          title: 'Denied in 15 minutes',
          question: 'How many decisions went against the caller in the last quarter of an hour?',
          notes: 'Of a denied call one for each quota that was in the way.',
          queries: clickHouse(`SELECT sum(denied) AS denials FROM decisions WHERE ${NOW} AND ${OF_BOARD}`),
          noData: 'The limiter was not asked',
          thresholds: { warn: 1, bad: 100 },
          width: 6,
        },
        {
          kind: 'stat',
          title: 'Next to run out',
          question: 'When does the next subject probably run out?',
          notes: 'The middle (p50) of the earliest instant.',
          queries: clickHouse(
            `SELECT toUnixTimestamp64Milli(min(exhaustion_p50)) AS next FROM (${newestForecasts(OF_BOARD)}) WHERE probability >= 0.5 AND NOT ${HAS_RUN_OUT} AND exhaustion_p50 > now()`,
          ),
          unit: 'dateTimeFromNow',
          noData: 'Nothing',
          width: 6,
        },
      ],
    },
    {
      title: 'What runs out next',
      panels: [
        {
          kind: 'table',
          title: 'What runs out next',
          question: 'What runs out next, in order, how probably, when, and how much will be left at the reset?',
          notes:
            'The newest kept forecast of each open window: one in each twelfth of it, and whenever the probability crosses the threshold of alerts or the limit is reached. An empty instant is one after the reset.',
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, tenant, consumer, probability, exhaustion_p10 AS p10, exhaustion_p50 AS p50, exhaustion_p90 AS p90,
  if(limit = 0, 1, used / limit) AS "share used", headroom_p50 AS headroom, unit, window_end AS reset, confidence, as_of AS "as of"
FROM (${newestForecasts(OF_BOARD)})
ORDER BY ${IN_ORDER} LIMIT 200`),
          noData: 'No forecasts: send calls that a quota covers, or choose all quotas',
          width: 24,
          height: 12,
          fields: {
            ...SUBJECT_FIELDS,
            ...WHO,
          },
        },
      ],
    },
    {
      title: 'One subject',
      panels: [
        {
          kind: 'series',
          title: 'Used and forecast against the limit',
          question: 'How does the chosen subject get to its limit, and how sure is that?',
          notes:
            'Use as the kept forecasts of its windows say it; from the newest one on, the middle and the band that holds the use at the reset eight times in ten.',
          queries:
            clickHouse(`WITH kept AS (SELECT ${FORECAST_COLUMNS} FROM forecasts WHERE ${OF_SUBJECT} AND as_of >= $__fromTime AND as_of <= $__toTime),
  newest AS (SELECT * FROM (${newestForecasts(OF_SUBJECT)}) LIMIT 1)
SELECT * FROM (
SELECT as_of AS time, toNullable(used) AS used, toNullable(limit) AS limit, CAST(NULL AS Nullable(Float64)) AS p10, CAST(NULL AS Nullable(Float64)) AS p50, CAST(NULL AS Nullable(Float64)) AS p90
FROM kept
UNION ALL SELECT as_of, used, limit, used, used, used FROM newest
UNION ALL SELECT window_end, NULL, limit, usage_p10, usage_p50, usage_p90 FROM newest
) ORDER BY time`),
          noData: 'No forecasts of this subject in this time',
          width: 16,
          height: 10,
          isFan: true,
          fields: {
            limit: { color: 'red', isDashed: true },
            used: { color: 'blue' },
            p50: { color: 'orange', isDashed: true },
            p10: { color: 'orange' },
            p90: { color: 'orange' },
          },
        },
        {
          kind: 'series',
          title: 'Probability',
          question: 'How did the probability of running out change?',
          queries: clickHouse(
            `SELECT as_of AS time, probability FROM forecasts WHERE ${OF_SUBJECT} AND as_of >= $__fromTime AND as_of <= $__toTime ORDER BY time`,
          ),
          noData: 'No forecasts of this subject in this time',
          unit: 'percentunit',
          max: 1,
          thresholds: PROBABILITY,
          width: 8,
          height: 10,
        },
      ],
    },
    {
      title: 'Refused now',
      panels: [
        {
          kind: 'series',
          title: 'Denials',
          question: 'How many calls does each quota refuse?',
          queries: clickHouse(`SELECT $__timeInterval(minute) AS time, quota, sum(denied) AS Value
FROM decisions WHERE $__timeFilter(minute) AND ${OF_BOARD}
GROUP BY time, quota HAVING Value > 0 ORDER BY time`),
          noData: 'Nothing was denied in this time',
          width: 12,
          isStacked: true,
          stepMin: '5m',
        },
        {
          kind: 'table',
          title: 'Who is refused now',
          question: 'Who was refused in the last quarter of an hour, and by which quota?',
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, tenant, consumer, sum(denied) AS "denied calls", sum(denied) / sum(allowed + denied) AS "share denied", max(minute) AS last
FROM decisions WHERE ${NOW} AND ${OF_BOARD}
GROUP BY quota, subject, tenant, consumer HAVING "denied calls" > 0 ORDER BY "denied calls" DESC LIMIT 100`),
          noData: 'Nobody',
          width: 12,
          fields: {
            ...SUBJECT_FIELDS,
            ...WHO,
          },
        },
      ],
    },
  ],
}
