/**
 * What a call costs in each unit, as one table: which fields are added up, and which outcomes spend nothing. The
 * function and the SQL are both made from it, so that the limiter, the forecasts and the API cannot disagree.
 *
 * An unknown amount counts 0: it is not free, but nobody can spend a number that is not there.
 */

/** What call records tell. `cost` is in millionths of the configured currency. */
export const UNITS = ['requests', 'input_tokens', 'output_tokens', 'total_tokens', 'cost', 'bytes', 'errors'] as const
export type Unit = (typeof UNITS)[number]
/** Units of `cost` in one of the currency. */
export const MICROS = 1_000_000
/** A millionth of the currency can be told. */
const COST_DIGITS_MAX = 6

/** An amount of the unit for people: costs are told in the currency. */
export const amountWords = (amount: number, unit: string): string =>
  unit === 'cost'
    ? (amount / MICROS).toLocaleString('en-US', { maximumFractionDigits: COST_DIGITS_MAX })
    : amount.toLocaleString('en-US')
/** What a quota can count: what records tell, and calls that are under way. */
export const QUOTA_UNITS = [...UNITS, 'concurrent_requests'] as const
export type QuotaUnit = (typeof QUOTA_UNITS)[number]

/** What a call record must have to be costed. */
export interface Costed {
  readonly outcome: string
  readonly inputTokens: number | null
  readonly outputTokens: number | null
  readonly totalTokens: number | null
  readonly costMicros: number | null
  readonly requestBytes: number | null
  readonly responseBytes: number | null
}

type AmountField = Exclude<keyof Costed, 'outcome'>

const COLUMNS: Record<AmountField, string> = {
  inputTokens: 'input_tokens',
  outputTokens: 'output_tokens',
  totalTokens: 'total_tokens',
  costMicros: 'cost_micros',
  requestBytes: 'request_bytes',
  responseBytes: 'response_bytes',
}

/** A call that a limit refused never reached what the quota protects. */
const REFUSED = ['limited'] as const
/** An error is a call that reached the upstream and failed; one that its client gave up is nobody's error. */
const NOT_ERRORS = ['ok', 'limited', 'aborted'] as const

/** `fields` null: every call counts one. */
const TABLE: Record<Unit, { fields: readonly AmountField[] | null; excludedOutcomes: readonly string[] }> = {
  requests: { fields: null, excludedOutcomes: REFUSED },
  input_tokens: { fields: ['inputTokens'], excludedOutcomes: REFUSED },
  output_tokens: { fields: ['outputTokens'], excludedOutcomes: REFUSED },
  total_tokens: { fields: ['totalTokens'], excludedOutcomes: REFUSED },
  cost: { fields: ['costMicros'], excludedOutcomes: REFUSED },
  bytes: { fields: ['requestBytes', 'responseBytes'], excludedOutcomes: REFUSED },
  errors: { fields: null, excludedOutcomes: NOT_ERRORS },
}

/** What the call spends of the unit: a whole number, 0 for unknown amounts and outcomes that spend nothing. */
export function unitCost(record: Costed, unit: Unit): number {
  const { fields, excludedOutcomes } = TABLE[unit]
  if (excludedOutcomes.includes(record.outcome)) return 0
  if (fields === null) return 1
  let cost = 0
  for (const field of fields) cost += record[field] ?? 0
  return cost
}

/** As `unitCost`, but null where nothing of it is known, or where the outcome spends nothing. */
export function knownCost(record: Costed, unit: Unit): number | null {
  const { fields, excludedOutcomes } = TABLE[unit]
  if (excludedOutcomes.includes(record.outcome)) return null
  return fields?.some(field => record[field] !== null) === false ? null : unitCost(record, unit)
}

export interface UnitSql {
  /** An aggregate over `calls` that its hourly projections can answer too. Never NULL. */
  readonly sum: string
  /** The cost of one row; NULL where nothing of it is known. */
  readonly known: string
  /** Rows with these outcomes spend nothing: filter `outcome NOT IN (…)`. */
  readonly excludedOutcomes: readonly string[]
}

/** The same table for ClickHouse. */
export const UNIT_SQL: Readonly<Record<Unit, UnitSql>> = Object.fromEntries(
  UNITS.map(unit => {
    const { fields, excludedOutcomes } = TABLE[unit]
    const sum = fields === null ? 'count()' : fields.map(field => `ifNull(sum(${COLUMNS[field]}), 0)`).join(' + ')
    const columns = (fields ?? []).map(field => COLUMNS[field])
    const filled = columns.map(column => `ifNull(${column}, 0)`).join(' + ')
    const known = fields === null ? '1' : `if(isNull(coalesce(${columns.join(', ')})), NULL, ${filled})`
    return [unit, { sum, known, excludedOutcomes }]
  }),
) as Record<Unit, UnitSql>
