/** Whom the limiter was asked about, for the ranking of subjects: of those that only ask, no calls are recorded. */
import type { Condition } from './fresh.ts'
import { listed, type QueryParams } from './selection.ts'
import type { Unit } from './units.ts'

export interface Asked {
  readonly quota: string
  readonly unit: Unit
  /** What the selection's columns are called in a subject's JSON. */
  readonly names: readonly string[]
  /** Which subjects, by the selection's columns. */
  readonly condition: Condition
  /** Without those of more dimensions, from before the quota was changed. */
  readonly isExact?: boolean
}

export const askedParams = ({ quota, unit, names, condition }: Asked): QueryParams => ({
  ...condition.params,
  ...{ askedQuota: quota, askedUnit: unit, askedNames: [...names] },
})

/** What checks of each subject asked for in a range, by recency, an expression. Those of an earlier quota may lack a dimension. */
export function askedSql(
  columns: readonly string[],
  { condition, isExact = false }: Asked,
  { recency, range }: { recency: string; range: string },
): string {
  const values = columns.map(
    (column, index) => `JSONExtractString(subject, {askedNames:Array(String)}[${index + 1}]) AS ${column}, `,
  )
  const exact = isExact ? ' AND JSONLength(subject) = length({askedNames:Array(String)})' : ''
  return `SELECT ${listed(columns)}recency, demanded, 1 AS is_asked FROM (
       SELECT ${values.join('')}recency, demanded FROM (
         SELECT subject, ${recency} AS recency, sum(demanded) AS demanded FROM decisions
         WHERE quota = {askedQuota:String} AND unit = {askedUnit:String} AND ${range}
         GROUP BY subject, recency)
       WHERE arrayAll(name -> JSONType(subject, name) = 'String', {askedNames:Array(String)})${exact})
     WHERE ${condition.sql}`
}
