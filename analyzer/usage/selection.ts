/** What is added up: which calls, in which unit, by which dimensions. The shared beginning of every usage query. */
import type { ClickHouseClient } from '@clickhouse/client'
import { withLongParams } from './long-params.ts'
import { createSlices } from './slices.ts'
import { UNIT_SQL, type Unit } from './units.ts'

/** A query that takes longer is given up: its answer would come too late for anybody. */
const QUERY_SECONDS_MAX = 60
/** Rows are handled for so long before others get their turn: a store next door sends faster than we handle, and callers wait. */
const SLICE_MS = 2

/** Which calls, in which unit, by which dimensions. */
export interface Selection {
  unit: Unit
  /** A condition over `calls` and its parameters. */
  match: { readonly sql: string; readonly params: Readonly<QueryParams> }
  /** The columns whose values make a subject, in this order; none is one subject for all calls. */
  columns: readonly string[]
}

/** The values of a selection's columns, in their order; unknown is an empty text. */
export type SubjectValues = readonly string[]

/** Equal for equal subjects only. */
export const keyOfSubject = (subject: SubjectValues): string => JSON.stringify(subject)

/**
 * The condition that keeps what spends the unit and, where refusals can be costed, what a limit refused. Refused calls
 * are told apart by the expression `LIMITED`.
 */
export function spendsOrRefused({ unit, match }: Selection): string {
  const { excludedOutcomes } = UNIT_SQL[unit]
  const kept = canCostRefusals(unit) ? excludedOutcomes.filter(outcome => outcome !== 'limited') : excludedOutcomes
  return kept.length === 0 ? match.sql : `${match.sql} AND outcome NOT IN (${quoted(kept)})`
}

/** The condition that keeps what spends the unit and nothing else. */
export const spends = ({ unit, match }: Selection): string =>
  `${match.sql} AND outcome NOT IN (${quoted(UNIT_SQL[unit].excludedOutcomes)})`

/** 1 for calls that a limit refused. */
export const LIMITED = "outcome = 'limited'"

/** A refused call would have been like the others, but nobody knows whether it would have failed. */
const canCostRefusals = (unit: Unit): boolean => unit !== 'errors'

/** Outcomes are a closed set of our own words: they need no escaping. */
const quoted = (outcomes: readonly string[]): string => outcomes.map(outcome => `'${outcome}'`).join(', ')

/** `columns` as the beginning of a list, with the comma that joins it to what follows. */
export const listed = (columns: readonly string[]): string => columns.map(column => `${column}, `).join('')

export type QueryParams = Record<string, string | number | string[] | number[] | string[][]>

/** Reads a statement's rows as they come, without ever holding all of them. */
export async function readRows<Row>(
  client: ClickHouseClient,
  query: string,
  params: QueryParams,
  handle: (row: Row) => void,
): Promise<void> {
  const result = await client.query({
    ...withLongParams(query, params),
    format: 'JSONCompactEachRow',
    clickhouse_settings: { max_execution_time: QUERY_SECONDS_MAX, output_format_json_quote_64bit_integers: 0 },
  })
  const slices = createSlices(SLICE_MS)
  for await (const rows of result.stream<Row>()) {
    for (const row of rows) {
      handle(row.json())
      if (slices.isOver()) await slices.next()
    }
  }
}
