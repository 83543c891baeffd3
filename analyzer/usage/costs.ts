/** What calls cost in one unit, by kind of call: what limiters learn of them from the store. */
import type { ClickHouseClient } from '@clickhouse/client'
import { readRows } from './selection.ts'
import { UNIT_SQL, type Unit } from './units.ts'

/** Rows of one answer: the kinds with the most calls. */
const ROWS_MAX = 200_000
/** Amounts within a twelfth of each other are one. */
const STEPS_PER_DOUBLING = 8

export interface CallCosts {
  /** Unknown is an empty text. */
  readonly tenant: string
  readonly consumer: string
  readonly model: string
  readonly route: string
  /** What each of so many calls cost, rounded to one of eight steps for each doubling. */
  readonly amount: number
  readonly calls: number
}

type Row = [tenant: string, consumer: string, model: string, route: string, amount: number, calls: number]

/** Calls of these minutes, the last one left out, whose cost is known. Rejects when the store does not answer. */
export async function readCosts(
  client: ClickHouseClient,
  unit: Unit,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  handle: (costs: CallCosts) => void,
): Promise<void> {
  const minutes = { fromSeconds: Math.floor(fromMs / 1000), toSeconds: Math.floor(toMs / 1000) }
  await readRows<Row>(client, costsSql(unit), minutes, row => {
    const [tenant, consumer, model, route, amount, calls] = row
    handle({ tenant, consumer, model, route, amount, calls })
  })
}

/** The statement of `readCosts`. */
export function costsSql(unit: Unit): string {
  const { known, excludedOutcomes } = UNIT_SQL[unit]
  const outcomes = excludedOutcomes.map(outcome => `'${outcome}'`).join(', ')
  const rounded = `exp2(round(log2(amount) * ${STEPS_PER_DOUBLING}) / ${STEPS_PER_DOUBLING})`
  return `SELECT tenant, consumer, model, route, if(amount = 0, 0, round(${rounded})) AS step, count() AS calls
   FROM (
     SELECT tenant, consumer, model, route, assumeNotNull(${known}) AS amount FROM calls
     WHERE minute >= toDateTime({fromSeconds:UInt32}) AND minute < toDateTime({toSeconds:UInt32})
       AND outcome NOT IN (${outcomes}) AND (${known}) IS NOT NULL
   )
   GROUP BY tenant, consumer, model, route, step
   ORDER BY calls DESC
   LIMIT ${ROWS_MAX}`
}
