/** A panel as it is described here: what it answers, what it asks for, how it is drawn. `draw.ts` makes Grafana's of it. */

/** A column of a table, or a series: what is special about it. */
export interface Field {
  unit?: string
  decimals?: number
  /** Drawn as a bar in its cell, from 0 to 1. */
  isGauge?: boolean
  thresholds?: Thresholds
  /** The board that a click opens, with the values of the row. */
  opens?: Link
  isHidden?: boolean
  /** Of a column, in pixels; the others share what is left. */
  width?: number
  /** Colour of the series. */
  color?: string
  isDashed?: boolean
}

/** Where a link goes, and which of the row's columns become variables there. */
export interface Link {
  uid: string
  title: string
  /** Names of variables that are columns of the row too. */
  variables: readonly string[]
}

/** From these values on something is worth a look, or bad. */
export interface Thresholds {
  warn: number
  bad: number
}

/** SQL for the ClickHouse data source, with its macros and the board's variables. */
interface ClickHouseQuery {
  source: 'clickhouse'
  sql: string
}

/** An expression for Prometheus. `legend` names its series. */
interface PrometheusQuery {
  source: 'prometheus'
  expr: string
  legend: string
}

export type Query = ClickHouseQuery | PrometheusQuery

export interface Panel {
  /** `series`: a time and numbers; `stat` and `table`: rows; `reliability`: numbers over numbers. */
  kind: 'series' | 'stat' | 'table' | 'reliability'
  title: string
  /** What it answers. */
  question: string
  /** What a reader should know of the answer. */
  notes?: string
  queries: readonly Query[]
  unit?: string
  decimals?: number
  max?: number
  /** Text where there is no data. */
  noData: string
  thresholds?: Thresholds
  /** Of the 24 columns of a board. */
  width: number
  height?: number
  fields?: Record<string, Field>
  isStacked?: boolean
  /** Draws the area between the series `p10` and `p90`. */
  isFan?: boolean
  /** Shortest step, as `1h`. */
  stepMin?: string
}

/** Columns that tables of calls have. */
export const CALL_FIELDS: Readonly<Record<string, Field>> = {
  'error share': { unit: 'percentunit', thresholds: { warn: 0.02, bad: 0.1 }, width: 95 },
  'limited share': { unit: 'percentunit', thresholds: { warn: 0.01, bad: 0.1 }, width: 105 },
  calls: { unit: 'short', width: 75 },
  tokens: { unit: 'short', width: 80 },
  cost: { decimals: 2, width: 75 },
}

/** Series of calls by how they ended. */
export const OUTCOME_FIELDS: Readonly<Record<string, Field>> = {
  ok: { color: 'green' },
  limited: { color: 'orange' },
  exhausted: { color: 'purple' },
  client_error: { color: 'yellow' },
  server_error: { color: 'red' },
  aborted: { color: 'gray' },
}

const FROM_NOW: Field = { unit: 'dateTimeFromNow', width: 110 }

/** Columns that tables of subjects of quotas have. */
export const SUBJECT_FIELDS: Readonly<Record<string, Field>> = {
  quota: { width: 165 },
  probability: { unit: 'percentunit', isGauge: true, thresholds: { warn: 0.3, bad: 0.7 }, width: 110 },
  'share used': { unit: 'percentunit', isGauge: true, thresholds: { warn: 0.8, bad: 1 }, width: 115 },
  'share denied': { unit: 'percentunit', isGauge: true, thresholds: { warn: 0.1, bad: 0.5 }, width: 115 },
  'runs out': FROM_NOW,
  p10: FROM_NOW,
  p50: FROM_NOW,
  p90: FROM_NOW,
  reset: FROM_NOW,
  'as of': FROM_NOW,
  last: FROM_NOW,
  used: { unit: 'short', width: 80 },
  limit: { unit: 'short', width: 80 },
  headroom: { unit: 'short', width: 90 },
  unit: { width: 100 },
  confidence: { width: 90 },
  'denied calls': { unit: 'short', width: 105 },
}

export const clickHouse = (sql: string): Query[] => [{ source: 'clickhouse', sql }]

/** The expressions by the names of their series. */
export const prometheus = (expressions: Record<string, string>): Query[] =>
  Object.entries(expressions).map(([legend, expr]) => ({ source: 'prometheus', expr, legend }))
