/** What it costs, by whom, and what the month will have cost. */
import { type Board, uidOf, VARIABLES } from './board.ts'
import { clickHouse, type Panel, SUBJECT_FIELDS } from './panel.ts'
import { COST, HOURS, newestForecasts, onlyOf, SUBJECT_TEXT, TOKENS, topSeries } from './sql.ts'

const OF_NAMES = onlyOf('tenant', 'consumer', 'provider', 'model')
const OF_BOARD = `${HOURS} AND ${OF_NAMES}`
/** As far as calls are kept: 30 days, so of a month's last day its first is not known any more. */
const MONTH = "toDateTime(toStartOfMonth(now('UTC')), 'UTC')"
const THIS_MONTH = `hour >= ${MONTH} AND ${OF_NAMES}`
const MONTHS_SHARE = `dateDiff('second', ${MONTH}, now()) / dateDiff('second', ${MONTH}, ${MONTH} + INTERVAL 1 MONTH)`
/** Of `months`, the budgets of a month, which may begin on any day of any time zone. */
const BUDGETS_BEGIN = `(SELECT if(count() = 0, ${MONTH}, toDateTime(toStartOfHour(min(window_start)), 'UTC')) FROM months)`
const BUDGETS = newestForecasts(`unit = 'cost' AND ${onlyOf('tenant', 'consumer')}`)
const NO_COST = 'No call with a known cost: configure `prices`, or have the gateway tell costs'
const CURRENCY = 'In the configured currency.'

const series = (title: string, question: string, column: string): Panel => ({
  kind: 'series',
  title,
  question,
  notes: `The ten dearest, and all others. ${CURRENCY}`,
  queries: clickHouse(topSeries(column, COST, OF_BOARD)),
  noData: NO_COST,
  decimals: 2,
  width: 8,
  isStacked: true,
  stepMin: '3h',
})

export const cost: Board = {
  slug: 'cost',
  title: 'Cost',
  question: 'What do calls cost, by whom, and what will the month have cost?',
  // To its end, where the forecast leads.
  from: 'now/M',
  to: 'now/M',
  refresh: '5m',
  needsPrometheus: false,
  variables: [VARIABLES.tenant, VARIABLES.consumer, VARIABLES.provider, VARIABLES.model],
  rows: [
    {
      title: 'The month',
      panels: [
        {
          kind: 'stat',
          title: 'Month to date',
          question: 'What has this month cost so far?',
          notes: `${CURRENCY} Months of UTC; calls are kept for 30 days.`,
          queries: clickHouse(`SELECT ${COST} AS "month to date" FROM calls WHERE ${THIS_MONTH}`),
          noData: NO_COST,
          decimals: 2,
          width: 6,
        },
        {
          kind: 'stat',
          title: 'At the same rate',
          question: 'What will the month have cost if it goes on like this?',
          notes: `The month to date over the share of it that has passed: no forecast. ${CURRENCY}`,
          queries: clickHouse(`SELECT ${COST} / (${MONTHS_SHARE}) AS "whole month" FROM calls WHERE ${THIS_MONTH}`),
          noData: NO_COST,
          decimals: 2,
          width: 6,
        },
        {
          kind: 'stat',
          title: 'Budgets at risk',
          question: 'How many budgets will probably not last until their reset?',
          notes: 'A budget is a quota whose unit is cost.',
          queries: clickHouse(`SELECT countIf(probability >= 0.5) AS budgets FROM (${BUDGETS})`),
          noData: 'There is no budget: make a quota with the unit cost',
          thresholds: { warn: 1, bad: 5 },
          width: 6,
        },
        {
          kind: 'stat',
          title: 'A million tokens',
          question: 'What does a million tokens cost on average?',
          notes: CURRENCY,
          queries: clickHouse(
            `SELECT if(tokens = 0, NULL, 1e6 * cost / tokens) AS "per million" FROM (SELECT ${COST} AS cost, ${TOKENS} AS tokens FROM calls WHERE ${OF_BOARD})`,
          ),
          noData: NO_COST,
          decimals: 2,
          width: 6,
        },
        {
          kind: 'table',
          title: 'Budgets, and what they will be at their reset',
          question: 'How much of each budget is spent, what will it be at the reset, and when is it gone?',
          notes: `The band p10 to p90 holds eight times in ten. As of the newest kept forecast. ${CURRENCY}`,
          queries:
            clickHouse(`SELECT quota, ${SUBJECT_TEXT} AS who, tenant, if(limit = 0, 1, used / limit) AS "share used", used AS spent, limit AS budget,
  usage_p10 AS p10, usage_p50 AS p50, usage_p90 AS p90, probability, exhaustion_p50 AS "runs out", window_end AS reset, as_of AS "as of"
FROM (${BUDGETS}) ORDER BY probability DESC, "share used" DESC LIMIT 100`),
          noData: 'There is no budget: make a quota with the unit cost',
          width: 24,
          fields: {
            ...SUBJECT_FIELDS,
            tenant: { isHidden: true },
            spent: { decimals: 2, width: 85 },
            budget: { decimals: 2, width: 85 },
            p10: { decimals: 2, width: 85 },
            p50: { decimals: 2, width: 85 },
            p90: { decimals: 2, width: 85 },
            quota: {
              width: 170,
              opens: { uid: uidOf('exhaustion'), title: 'How it gets there', variables: ['quota', 'tenant'] },
            },
          },
        },
        {
          kind: 'series',
          title: 'The month, and how it goes on',
          question: 'How does the cost of the month grow, and where will it be at its end?',
          notes: `The sum of all budgets of a month of the chosen tenants: spent by the hour since the first of them began, then the sums of their p10, p50 and p90, a band that is too wide for tenants that have nothing to do with each other. ${CURRENCY}`,
          queries:
            clickHouse(`WITH months AS (SELECT * FROM (${BUDGETS}) WHERE window_end - window_start BETWEEN 27 * 86400 AND 32 * 86400 AND consumer = '')
SELECT * FROM (
SELECT toDateTime(hour, 'UTC') AS time, toNullable(sum(cost) OVER (ORDER BY hour)) AS spent, (SELECT toNullable(sum(limit)) FROM months) AS budget,
  CAST(NULL AS Nullable(Float64)) AS p10, CAST(NULL AS Nullable(Float64)) AS p50, CAST(NULL AS Nullable(Float64)) AS p90
FROM (SELECT hour, ${COST} AS cost FROM calls WHERE hour >= ${BUDGETS_BEGIN} AND ${OF_NAMES} GROUP BY hour)
UNION ALL SELECT max(as_of), NULL, sum(limit), sum(used), sum(used), sum(used) FROM months HAVING count() > 0
UNION ALL SELECT max(window_end), NULL, sum(limit), sum(usage_p10), sum(usage_p50), sum(usage_p90) FROM months HAVING count() > 0
) ORDER BY time`),
          noData: NO_COST,
          decimals: 2,
          width: 24,
          height: 10,
          isFan: true,
          fields: {
            budget: { color: 'red', isDashed: true },
            spent: { color: 'blue' },
            p50: { color: 'orange', isDashed: true },
            p10: { color: 'orange' },
            p90: { color: 'orange' },
          },
        },
      ],
    },
    {
      title: 'Who, and what',
      panels: [
        series('By tenant', 'Whose calls cost how much?', 'tenant'),
        series('By model', 'Which models cost how much?', 'model'),
        series('By provider', 'What does each provider get?', 'provider'),
        {
          kind: 'table',
          title: 'The dearest',
          question: 'Which tenants, models and providers does the money go to?',
          notes: CURRENCY,
          queries: clickHouse(`SELECT tenant, provider, model, ${COST} AS cost, ${TOKENS} AS tokens, count() AS calls
FROM calls WHERE ${OF_BOARD} GROUP BY tenant, provider, model ORDER BY cost DESC LIMIT 100`),
          noData: NO_COST,
          width: 24,
          fields: {
            cost: { decimals: 2 },
            tokens: { unit: 'short' },
            calls: { unit: 'short' },
            tenant: { opens: { uid: uidOf('overview'), title: 'Its calls', variables: ['tenant'] } },
          },
        },
      ],
    },
  ],
}
