/** Calls, errors, latency, tokens and cost, by everything that calls are known by. */
import { type Board, uidOf, VARIABLES } from './board.ts'
import { CALL_FIELDS, clickHouse, type Field, OUTCOME_FIELDS, type Panel } from './panel.ts'
import {
  byOutcome,
  CALLS,
  COST,
  callsBy,
  FAILED,
  HOURS,
  LATENCIES,
  onlyOf,
  REFUSED,
  shareOf,
  TOKENS,
  topSeries,
} from './sql.ts'

const OF_BOARD = `${HOURS} AND ${onlyOf('tenant', 'consumer', 'gateway', 'provider', 'model')}`
/** Digests are dear to merge: those of the calls that say most of latency are a fifth of all. */
const WENT_WELL = `${OF_BOARD} AND outcome = 'ok'`
const ROUTE = ['gateway', 'service', 'route'] as const
const NO_CALLS = 'No calls in this time, or none with these names'
const SUMS = [`${CALLS} AS calls`, `${TOKENS} AS tokens`, `${COST} AS cost`] as const

/** Errors of calls that were not refused by a limit. */
const TOTALS = `SELECT sum(calls) AS all_calls, sumIf(calls, ${FAILED}) AS failed,
  sumIf(calls, ${REFUSED}) AS refused, sumIf(calls, outcome = 'exhausted') AS exhausted, sum(tokens) AS all_tokens, sum(cost) AS all_cost
FROM (${byOutcome([], OF_BOARD, SUMS)})`

const total = (title: string, question: string, sql: string, more: Partial<Panel> = {}): Panel => ({
  kind: 'stat',
  title,
  question,
  queries: clickHouse(`SELECT ${sql} AS "${title}" FROM (${TOTALS})`),
  noData: NO_CALLS,
  width: 4,
  ...more,
})

const SHARES: Record<string, Field> = {
  ...CALL_FIELDS,
  p50: { unit: 'ms', width: 75 },
  p90: { unit: 'ms', width: 75 },
  p99: { unit: 'ms', width: 75 },
}

const table = (
  title: string,
  question: string,
  columns: readonly string[],
  fields: Record<string, Field> = {},
): Panel => ({
  kind: 'table',
  title,
  question,
  queries: clickHouse(callsBy(columns, OF_BOARD)),
  noData: NO_CALLS,
  width: 12,
  fields: { ...SHARES, ...fields },
})

const OPENS_KEY: Field = { opens: { uid: uidOf('keys'), title: 'This key', variables: ['tenant', 'consumer'] } }

export const overview: Board = {
  slug: 'overview',
  title: 'Overview',
  question: 'What is called, how does it fare, and what does it take?',
  from: 'now-24h',
  to: 'now',
  refresh: '1m',
  needsPrometheus: false,
  variables: [VARIABLES.tenant, VARIABLES.consumer, VARIABLES.gateway, VARIABLES.provider, VARIABLES.model],
  rows: [
    {
      title: 'In all',
      panels: [
        total('Calls', 'How many calls were there?', 'all_calls'),
        total('Errors', 'Which share of the calls failed?', shareOf('failed', 'all_calls'), {
          notes: 'Errors of clients and servers, and providers whose quota was gone.',
          unit: 'percentunit',
          thresholds: { warn: 0.02, bad: 0.1 },
        }),
        total('Limited', 'Which share of the calls did a limit refuse?', shareOf('refused', 'all_calls'), {
          unit: 'percentunit',
          thresholds: { warn: 0.01, bad: 0.1 },
        }),
        total('Exhausted', 'How many calls found the quota of the provider gone?', 'exhausted', {
          thresholds: { warn: 1, bad: 100 },
        }),
        total('Tokens', 'How many tokens were used?', 'all_tokens'),
        total('Cost', 'What did it cost?', 'all_cost', { notes: 'In the configured currency.', decimals: 2 }),
      ],
    },
    {
      title: 'Over time',
      panels: [
        {
          kind: 'series',
          title: 'Calls by outcome',
          question: 'How many calls are there an hour, and how do they end?',
          queries: clickHouse(
            `SELECT $__timeInterval(hour) AS time, outcome, ${CALLS} AS Value FROM calls WHERE ${OF_BOARD} GROUP BY time, outcome ORDER BY time`,
          ),
          noData: NO_CALLS,
          width: 12,
          isStacked: true,
          stepMin: '1h',
          fields: OUTCOME_FIELDS,
        },
        {
          kind: 'series',
          title: 'Share of errors by gateway',
          question: 'Where do calls fail?',
          queries:
            clickHouse(`SELECT time, if(gateway = '', '(unknown)', gateway) AS series, ${shareOf(`sumIf(calls, ${FAILED})`, 'sum(calls)')} AS Value
FROM (SELECT $__timeInterval(hour) AS time, gateway, outcome, ${CALLS} AS calls FROM calls WHERE ${OF_BOARD} GROUP BY time, gateway, outcome)
GROUP BY time, series ORDER BY time`),
          noData: NO_CALLS,
          unit: 'percentunit',
          width: 12,
          stepMin: '1h',
        },
        {
          kind: 'series',
          title: 'Latency',
          question: 'How long do callers wait?',
          notes:
            'Of the calls that went well, as the client of the gateway sees it: half of them, nine in ten, 99 in 100 are faster.',
          queries: clickHouse(`SELECT time, q[1] AS p50, q[2] AS p90, q[3] AS p99
FROM (SELECT $__timeInterval(hour) AS time, ${LATENCIES} AS q FROM calls WHERE ${WENT_WELL} GROUP BY time) ORDER BY time`),
          noData: NO_CALLS,
          unit: 'ms',
          width: 12,
          stepMin: '1h',
        },
        {
          kind: 'series',
          title: 'Tokens',
          question: 'How many tokens go in and out?',
          notes: 'Cached ones are a part of those that go in.',
          queries: clickHouse(
            `SELECT $__timeInterval(hour) AS time, ifNull(sum(input_tokens), 0) AS input, ifNull(sum(cached_input_tokens), 0) AS cached, ifNull(sum(output_tokens), 0) AS output FROM calls WHERE ${OF_BOARD} GROUP BY time ORDER BY time`,
          ),
          noData: NO_CALLS,
          width: 12,
          stepMin: '1h',
        },
        {
          kind: 'series',
          title: 'Cost by tenant',
          question: 'Whose calls cost how much?',
          notes: 'The ten dearest, and all others; in the configured currency.',
          queries: clickHouse(topSeries('tenant', COST, OF_BOARD)),
          noData: NO_CALLS,
          decimals: 2,
          width: 12,
          isStacked: true,
          stepMin: '1h',
        },
        {
          kind: 'series',
          title: 'Calls by model',
          question: 'Which models are called?',
          queries: clickHouse(topSeries('model', CALLS, OF_BOARD)),
          noData: NO_CALLS,
          width: 12,
          isStacked: true,
          stepMin: '1h',
        },
      ],
    },
    {
      title: 'By name',
      panels: [
        table('Tenants', 'What does each tenant use?', ['tenant'], {
          tenant: { opens: { uid: uidOf('cost'), title: 'Its cost', variables: ['tenant'] } },
        }),
        table('Models', 'What is asked of each model and provider?', ['provider', 'model']),
        {
          ...table('Consumers', 'What does each consumer use?', ['tenant', 'consumer'], { consumer: OPENS_KEY }),
          width: 24,
        },
        {
          kind: 'table',
          title: 'Routes',
          question: 'How does each route of each gateway fare, and how long does it take?',
          notes: 'Latency of the calls that went well.',
          queries:
            clickHouse(`SELECT gateway, service, route, sum(n) AS calls, ${shareOf(`sumIf(n, ${FAILED})`, 'calls')} AS "error share", ${shareOf(`sumIf(n, ${REFUSED})`, 'calls')} AS "limited share",
  any(q)[1] AS p50, any(q)[2] AS p90, any(q)[3] AS p99
FROM (${byOutcome(ROUTE, OF_BOARD, [`${CALLS} AS n`])}) AS counts
LEFT JOIN (SELECT ${ROUTE.join(', ')}, ${LATENCIES} AS q FROM calls WHERE ${WENT_WELL} GROUP BY ${ROUTE.join(', ')}) AS latencies USING (${ROUTE.join(', ')})
GROUP BY ${ROUTE.join(', ')} ORDER BY calls DESC LIMIT 100`),
          noData: NO_CALLS,
          width: 24,
          fields: SHARES,
        },
      ],
    },
  ],
}
