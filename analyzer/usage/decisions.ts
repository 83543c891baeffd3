/** What the limiter let pass and refused, by minute: the usage and demand of gateways that ask. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Condition } from './fresh.ts'
import { readRows } from './selection.ts'

const MINUTE_MS = 60_000
const HALF_MINUTE_MS = 30_000
/** Later than any decision that the table can hold. */
const INSTANT_MS_MAX = Date.UTC(2106, 0)

export interface DecisionSums {
  quota: string
  /** JSON of the subject's dimensions, keys in the order of the quota's `per`. */
  subject: string
  /** What `spent` and `deniedCost` count. A quota may have had another unit before its config changed. */
  unit: string
  /** Middle of the step that they fall into. */
  middleMs: number
  /** Checks that were let pass. */
  allowed: number
  /** Units that these spent. */
  spent: number
  /** Units that were asked for and refused. */
  deniedCost: number
}

export interface DecisionsAsk {
  /** Of this quota only, or of all. */
  quota: string | null
  /** The minutes whose middle lies in `[fromMs, toMs)`; without `toMs` all since. */
  fromMs: number
  toMs?: number
  condition: Condition
  /** Steps to add up by; minutes when absent. A minute over the edge of two steps belongs to the one with its middle. */
  grid?: { startMs: number; stepMs: number }
}

type DecisionSumsRow = [
  quota: string,
  subject: string,
  unit: string,
  step: number,
  allowed: number,
  spent: number,
  deniedCost: number,
]

/** Sums by quota, subject, unit and step of the decisions for which the condition holds, one subject after the other. */
export async function readDecisions(
  client: ClickHouseClient,
  { quota, fromMs, toMs = INSTANT_MS_MAX, condition, grid }: DecisionsAsk,
  handle: (sums: DecisionSums) => void,
): Promise<void> {
  const { startMs, stepMs } = grid ?? { startMs: 0, stepMs: MINUTE_MS }
  const range = { fromSeconds: secondsOfMinute(fromMs), toSeconds: secondsOfMinute(toMs) }
  const params = { ...condition.params, ...range, startMs, stepMs, ...(quota === null ? {} : { quota }) }
  await readRows<DecisionSumsRow>(client, decisionsSql(quota !== null, condition.sql), params, row => {
    const [name, subject, unit, step, allowed, spent, deniedCost] = row
    handle({ quota: name, subject, unit, middleMs: startMs + (step + 0.5) * stepMs, allowed, spent, deniedCost })
  })
}

/** A minute that begins at or after this second has its middle at or after the instant. */
const secondsOfMinute = (atMs: number): number => Math.max(0, Math.ceil((atMs - HALF_MINUTE_MS) / 1000))

/** The statement of `readDecisions`. */
export const decisionsSql = (isOneQuota: boolean, condition: string): string =>
  `SELECT quota, subject, unit,
     intDiv(toInt64(toUnixTimestamp(minute)) * 1000 + ${HALF_MINUTE_MS} - {startMs:Int64}, {stepMs:Int64}) AS step,
     sum(allowed), sum(spent), sum(denied_cost)
   FROM decisions
   WHERE ${isOneQuota ? 'quota = {quota:String} AND ' : ''}minute >= toDateTime({fromSeconds:UInt32})
     AND minute < toDateTime({toSeconds:UInt32}) AND ${condition}
   GROUP BY quota, subject, unit, step
   ORDER BY quota, subject, step`
