/**
 * Parts of statements. What they aggregate over many consumers they filter and group by `hour`, and by columns that one
 * projection of `calls` has: written otherwise, a statement reads every call.
 */
import { LATENCY_QUANTILES_SQL } from '../collector/store/tables.ts'

/** A condition that holds for the values that the variable has, and is left out where it has all. */
export const only = (column: string, variable = column): string =>
  `$__conditionalAll(${column} IN (\${${variable}:sqlstring}), $${variable})`

/** The same for several variables that are named as their columns. */
export const onlyOf = (...columns: readonly string[]): string => columns.map(column => only(column)).join(' AND ')

/**
 * What a variable offers: the value that makes a text of SQL, in which Grafana doubles quotes and leaves backslashes to mean
 * what they do there, and the name that is shown for it.
 */
export const offered = (column: string): string => String.raw`replaceAll(${column}, '\\', '\\\\'), ${column}`

/** The begin of the board's time, down to the hour: of UTC, as `hour` is, wherever the server lives. */
export const FROM_HOUR = "toStartOfHour($__fromTime, 'UTC')"
/**
 * The last instant at which an hour may begin that the board shows: of a time that is over, half of it must lie within.
 * Where days begin at half past, an hour would else belong to two of them.
 */
const TO_HOUR = 'if($__toTime < now() - INTERVAL 1 HOUR, $__toTime - INTERVAL 30 MINUTE, $__toTime)'
/** The hours that the board shows, the first one whole. */
export const HOURS = `hour >= ${FROM_HOUR} AND hour <= ${TO_HOUR}`
/** The minutes that the board shows; calls that arrived before it begins are in partitions that need not be read. */
export const MINUTES =
  'minute >= toStartOfMinute($__fromTime) AND minute <= $__toTime AND arrived_at >= toStartOfMinute($__fromTime)'

/** Calls and units of rows of `calls`, from the projection by who used them or by route. */
export const CALLS = 'count()'
export const TOKENS = 'ifNull(sum(total_tokens), 0)'
export const COST = 'ifNull(sum(cost_micros), 0) / 1e6'
/** Conditions on outcomes, for sums over what `byOutcome` answers. */
export const FAILED = "outcome IN ('client_error', 'server_error', 'exhausted')"
export const REFUSED = "outcome = 'limited'"
export const shareOf = (part: string, whole: string): string => `if(${whole} = 0, 0, ${part} / ${whole})`

/** Sums by outcome, to be added up outside: `countIf` of an outcome would miss the projection. */
export const byOutcome = (columns: readonly string[], where: string, sums: readonly string[]): string =>
  `SELECT ${[...columns, 'outcome', ...sums].join(', ')} FROM calls WHERE ${where} GROUP BY ${[...columns, 'outcome'].join(', ')}`

/** How many calls there were of each combination of the columns, how they fared, and what they took. */
export const callsBy = (columns: readonly string[], where: string): string =>
  `SELECT ${columns.join(', ')}, sum(n) AS calls, ${shareOf(`sumIf(n, ${FAILED})`, 'calls')} AS "error share",
  ${shareOf(`sumIf(n, ${REFUSED})`, 'calls')} AS "limited share", sum(t) AS tokens, sum(c) AS cost
FROM (${byOutcome(columns, where, [`${CALLS} AS n`, `${TOKENS} AS t`, `${COST} AS c`])})
GROUP BY ${columns.join(', ')} ORDER BY calls DESC LIMIT 100`

/** Series of a panel that have names. */
const TOP_MAX = 10

/** Median, p90 and p99 of the latency in milliseconds. */
export const LATENCIES = LATENCY_QUANTILES_SQL

/** Series over time of sums of `calls`: the greatest have their names. `calls` is read once. */
export const topSeries = (column: string, sum: string, where: string): string =>
  `SELECT point.1 AS time, multiIf(place > ${TOP_MAX}, 'others', name = '', '(unknown)', name) AS series, sum(point.2) AS Value
FROM (
  SELECT name, points, row_number() OVER (ORDER BY total DESC, name) AS place FROM (
    SELECT name, sum(units) AS total, groupArray((time, units)) AS points
    FROM (SELECT $__timeInterval(hour) AS time, ${column} AS name, ${sum} AS units FROM calls WHERE ${where} GROUP BY time, name)
    GROUP BY name
  )
) ARRAY JOIN points AS point
GROUP BY time, series ORDER BY time`

/** An amount of `unit` for people: costs, which are kept in millionths, are told in the currency. */
export const told = (amount: string): string => `${amount} / if(unit = 'cost', 1e6, 1)`

const AMOUNTS = [
  'used',
  'limit',
  ...['usage', 'headroom'].flatMap(name => [`${name}_p10`, `${name}_p50`, `${name}_p90`]),
]
/** All columns of `forecasts`, its amounts for people. */
export const FORECAST_COLUMNS = `* REPLACE (${AMOUNTS.map(column => `${told(column)} AS ${column}`).join(', ')})`

/** Quotas that were removed, wherever they came from: nobody is held to them any more. */
const REMOVED = `SELECT key FROM (
    SELECT key, argMax(value, version) AS latest FROM audit WHERE kind IN ('quota', 'quota_config') GROUP BY key, kind
  ) GROUP BY key HAVING max(latest) = ''`

/**
 * The newest forecast of every subject whose window is open. The longest window is a year, so its twelfths, of which one
 * forecast each is kept, are not older than 32 days.
 */
export const newestForecasts = (condition: string): string =>
  `SELECT ${FORECAST_COLUMNS} FROM forecasts
  WHERE as_of >= now() - INTERVAL 32 DAY AND window_end > now() AND quota NOT IN (${REMOVED}) AND ${condition}
  ORDER BY as_of DESC LIMIT 1 BY quota, subject`

/** Of a kept forecast: the limit that held then was reached. (`limit` is the one that will hold at the reset.) */
export const HAS_RUN_OUT = 'ifNull(exhaustion_p90 <= as_of, false)'

/** The limit is 0: it is meant to deny, and not of a provider that refuses and has said none, which is kept as 0, too. */
export const MEANT_TO_DENY = 'limit = 0 AND ifNull(exhaustion_p90 <= window_start, false)'

/** A subject for people: its values, without the names. */
export const SUBJECT_TEXT = "arrayStringConcat(JSONExtractKeysAndValues(subject, 'String').2, ' · ')"
/** A subject as the variable `subject` holds it: a number, so that no quote of a name gets into a statement. */
export const SUBJECT_ID = 'toString(cityHash64(quota, subject))'
