/** Usage over time for the API: sums by step and chosen dimensions. */
import type { ClickHouseClient } from '@clickhouse/client'
import { listed, readRows, type Selection, type SubjectValues, spends } from './selection.ts'
import { UNIT_SQL } from './units.ts'

const HOUR_MS = 3_600_000

export interface PointsAsk {
  /** Whole steps, both: multiples of `stepMs` since the epoch. */
  fromMs: number
  toMs: number
  /** Whole minutes. */
  stepMs: number
  pointsMax: number
}

export interface UsagePoint {
  subject: SubjectValues
  startMs: number
  units: number
}

/** Reads the steps that were used, by subject and then by time; `null` when there are more than `pointsMax`. */
export async function readPoints(
  client: ClickHouseClient,
  selection: Selection,
  { fromMs, toMs, stepMs, pointsMax }: PointsAsk,
): Promise<UsagePoint[] | null> {
  const points: UsagePoint[] = []
  const params = {
    ...selection.match.params,
    fromSeconds: fromMs / 1000,
    toSeconds: toMs / 1000,
    stepSeconds: stepMs / 1000,
    pointsMax: pointsMax + 1,
  }
  await readRows<[...string[], number, number]>(client, pointsSql(selection, stepMs), params, row => {
    const startMs = Number(row.at(-2)) * stepMs
    points.push({ subject: row.slice(0, -2) as string[], startMs, units: Number(row.at(-1)) })
  })
  return points.length > pointsMax ? null : points
}

/** Steps of whole hours come from the hourly projection, others from the calls' minutes. */
export function pointsSql(selection: Selection, stepMs: number): string {
  const time = stepMs % HOUR_MS === 0 ? 'hour' : 'minute'
  const columns = listed(selection.columns)
  return `SELECT ${columns}intDiv(toUnixTimestamp(${time}), {stepSeconds:UInt32}) AS step,
     ${UNIT_SQL[selection.unit].sum} AS units
   FROM calls
   WHERE ${time} >= toDateTime({fromSeconds:UInt32}) AND ${time} < toDateTime({toSeconds:UInt32})
     AND ${spends(selection)}
   GROUP BY ${columns}step
   ORDER BY ${columns}step
   LIMIT {pointsMax:UInt32}`
}
