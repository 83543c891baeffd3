/**
 * Usage and demand of every subject of a selection, step by step. Steps lie on a grid that a window begins on, so that
 * what a window used is the sum of its steps. The recent part is read from the calls and is exact; older hours come from
 * the hourly projection and are spread evenly over their steps.
 *
 * Reading is idempotent: a range that is read again is overwritten, never added to, so a call that arrives while it is
 * read is neither lost nor counted twice.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { type Asked, askedParams, askedSql } from './asked.ts'
import type { Entry } from './packed.ts'
import {
  LIMITED,
  listed,
  type QueryParams,
  readRows,
  type Selection,
  type SubjectValues,
  spendsOrRefused,
} from './selection.ts'
import { type Amounts, addHour, addStep, type Grid } from './steps.ts'
import { UNIT_SQL } from './units.ts'

export interface UsageSeries {
  subject: SubjectValues
  /** Units used per step by call records, and how many calls that were. */
  used: Float64Array
  calls: Float32Array
  /** Calls per step that a limit refused; `null` while there were none. */
  refused: Float64Array | null
  /** Checks per step; `null` while the limiter was never asked. */
  checks: Amounts | null
}

export const emptySeries = (subject: SubjectValues, grid: Grid): UsageSeries => ({
  subject,
  used: new Float64Array(grid.steps),
  calls: new Float32Array(grid.steps),
  refused: null,
  checks: null,
})

/** Finds the series of a subject, or makes one; `null` where the subject is cut off. */
export type SeriesOf = (subject: SubjectValues) => UsageSeries | null

/** A row of a series: the subject's values, an hour's second or a step, 1 for refused, units, calls. */
export type SeriesRow = [...string[], number, number, number, number]

/**
 * Reads complete hours in `[fromMs, toMs)`, whole UTC hours both, and adds each to the steps that it covers; the steps
 * must not have been filled before.
 */
export async function readHours(
  client: ClickHouseClient,
  selection: Selection,
  grid: Grid,
  range: { fromMs: number; toMs: number },
  seriesOf: SeriesOf,
): Promise<void> {
  if (range.fromMs >= range.toMs) return
  await readRows<SeriesRow>(client, hoursSql(selection), { ...selection.match.params, ...range }, row => {
    const series = seriesOf(subjectOf(row))
    if (!series) return
    const { slot: hourSeconds, units, count, refused } = entryOf(row)
    addHour(amountsOf(series, refused), grid, hourSeconds * 1000, units, count, refused)
  })
}

/** Reads the calls in `[fromMs, toMs)` and adds them to their steps, which must not have been filled before. */
export async function readSteps(
  client: ClickHouseClient,
  selection: Selection,
  grid: Grid,
  range: { fromMs: number; toMs: number },
  seriesOf: SeriesOf,
): Promise<void> {
  if (range.fromMs >= range.toMs) return
  const { startMs, stepMs } = grid
  await readRows<SeriesRow>(
    client,
    stepsSql(selection),
    { ...selection.match.params, ...range, startMs, stepMs },
    row => {
      const series = seriesOf(subjectOf(row))
      if (!series) return
      const { slot: step, units, count, refused } = entryOf(row)
      addStep(amountsOf(series, refused), grid, step, units, count, refused)
    },
  )
}

/** What the limiter let pass and refused. */
export interface CheckSums {
  allowed: number
  spent: number
  deniedCost: number
}

/** Adds the checks of the step that holds the instant; outside of the grid they are nobody's. */
export function addChecks(series: UsageSeries, grid: Grid, atMs: number, sums: CheckSums): void {
  const step = Math.floor((atMs - grid.startMs) / grid.stepMs)
  if (step < 0 || step >= grid.steps) return
  const perStep = () => new Float64Array(grid.steps)
  series.checks ??= { count: perStep(), units: perStep(), refused: perStep() }
  addStep(series.checks, grid, step, sums.spent, sums.allowed, sums.deniedCost)
}

/** Which of the two tellings of a call spends a quota. */
export type CountedBy = 'checks' | 'records' | 'checks_and_records'

/** Units used in one step. A call that was both checked and recorded is counted once, by its record. */
export function usedInStep(series: UsageSeries, countedBy: CountedBy, step: number): number {
  switch (countedBy) {
    case 'checks':
      return series.checks?.units[step] ?? 0
    case 'records':
      return series.used[step] ?? 0
    case 'checks_and_records':
      return (series.used[step] ?? 0) + pendingInStep(series, step)
  }
}

/**
 * Units spent by checks whose records have not come: of more checks than records, the share that is too many. Nothing in
 * the sums says which check became which record, but their numbers do not depend on how well costs were estimated.
 */
export function pendingInStep({ calls, checks }: UsageSeries, step: number): number {
  if (!checks) return 0
  return (checks.units[step] ?? 0) * unrecordedShare(checks.count[step] ?? 0, calls[step] ?? 0)
}

/** Of so many checks, while so many calls are recorded, the share that no record stands for. A check of before may spend still. */
export function unrecordedShare(allowed: number, calls: number): number {
  if (calls === 0) return 1
  return allowed === 0 ? 0 : Math.max(0, allowed - calls) / allowed
}

/**
 * Units asked for in one step: used, and what was refused, whoever tells of it: records say how many calls (each taken
 * at `callUnits`), the limiter how many units.
 */
export function demandInStep(series: UsageSeries, countedBy: CountedBy, step: number, callUnits: number): number {
  const refused = (series.refused?.[step] ?? 0) * callUnits
  return usedInStep(series, countedBy, step) + Math.max(refused, series.checks?.refused[step] ?? 0)
}

/** What a call that was let pass cost on average, and a refused one would have; 1 while nothing is known. */
export function meanCallUnits({ used, calls }: UsageSeries): number {
  const count = calls.reduce((sum, value) => sum + value, 0)
  return count === 0 ? 1 : used.reduce((sum, value) => sum + value, 0) / count
}

export interface TopAsk {
  /** Whole hours, all. */
  fromMs: number
  toMs: number
  /** Who called since then comes before all others, and use since `countedFromMs` before older use; `fromMs` when absent. */
  recentFromMs?: number
  countedFromMs?: number
  subjectsMax: number
  /** Of these places, those that only who called lately may take; 0 when absent. */
  kept?: number
  /** A check is a call, too: whose they are is ranked beside those of which records are known. */
  asked?: Asked | null
}

export interface TopSubjects {
  subjects: SubjectValues[]
  subjectsInAll: number
  /** Of all, those that called lately. */
  recentInAll: number
  /** Selects the calls of these subjects and of no others, so that those cut off are not read for nothing. */
  top: Selection
}

/** The most used subjects in `[fromMs, toMs)`, and how many there are in all. */
export async function readTopSubjects(
  client: ClickHouseClient,
  selection: Selection,
  { fromMs, toMs, recentFromMs = fromMs, countedFromMs = fromMs, subjectsMax, kept = 0, asked = null }: TopAsk,
): Promise<TopSubjects> {
  const subjects: SubjectValues[] = []
  let subjectsInAll = 0
  let recentInAll = 0
  // One row is asked for in any case: it says how many there are.
  const params = {
    ...selection.match.params,
    ...(asked === null ? {} : askedParams(asked)),
    ...{ topFromMs: fromMs, topToMs: toMs, topRecentFromMs: recentFromMs, topCountedFromMs: countedFromMs },
    topMax: Math.max(1, subjectsMax),
  }
  await readRows<[...string[], number, number]>(client, topSubjectsSql(selection, asked), params, row => {
    subjects.push(row.slice(0, -2) as string[])
    ;[subjectsInAll = 0, recentInAll = 0] = row.slice(-2).map(Number)
  })
  const places = Math.max(0, Math.min(subjectsMax, Math.max(recentInAll, subjectsMax - kept)))
  subjects.splice(places)
  const isCut = places < subjectsInAll
  const ofPlaces = { ...params, topMax: Math.max(1, places) }
  const top = isCut ? ofTopSubjects(selection, asked, ofPlaces) : selection
  return { subjects, subjectsInAll, recentInAll, top }
}

function ofTopSubjects(selection: Selection, asked: Asked | null, params: QueryParams): Selection {
  const { columns, match } = selection
  if (columns.length === 0) return selection
  const list = columns.join(', ')
  const sql = `${match.sql} AND (${list}) IN (SELECT ${list} FROM (${topSubjectsSql(selection, asked)}))`
  return { ...selection, match: { sql, params } }
}

/** Hours by subject, from the hourly projection. */
export const hoursSql = (selection: Selection): string =>
  `SELECT ${listed(selection.columns)}toUnixTimestamp(hour) AS hour_seconds, ${LIMITED} AS is_limited,
     ${UNIT_SQL[selection.unit].sum} AS units, count() AS call_count
   FROM calls
   WHERE hour >= toDateTime(intDiv({fromMs:Int64}, 1000)) AND hour < toDateTime(intDiv({toMs:Int64}, 1000))
     AND ${spendsOrRefused(selection)}
   GROUP BY ${listed(selection.columns)}hour, is_limited`

/** Steps by subject, from the calls. */
export const stepsSql = (selection: Selection, fresh?: string): string =>
  `SELECT ${listed(selection.columns)}
     intDiv(toUnixTimestamp64Milli(started_at) - {startMs:Int64}, {stepMs:Int64}) AS step, ${LIMITED} AS is_limited,
     ${UNIT_SQL[selection.unit].sum} AS units, count() AS call_count
   FROM calls
   WHERE started_at >= fromUnixTimestamp64Milli({fromMs:Int64}) AND started_at < fromUnixTimestamp64Milli({toMs:Int64})
     AND ${spendsOrRefused(selection)}${fresh === undefined ? '' : ` AND ${ofFreshSubjects(selection, fresh)}`}
   GROUP BY ${listed(selection.columns)}step, is_limited`

/**
 * Subjects by how lately they called and what they used, from the hourly projection: at most three sums of each, and two
 * of what checks spent lately. What both tell of is one use: the larger counts.
 */
export const topSubjectsSql = (selection: Selection, asked: Asked | null = null): string => {
  const { columns } = selection
  const recencyBy = (column: string) =>
    `(${column} >= ${instant('topRecentFromMs')}) + (${column} >= ${instant('topCountedFromMs')})`
  const rangeOf = (column: string, from: string) =>
    `${column} >= ${instant(from)} AND ${column} < ${instant('topToMs')}`
  const larger = (isCounted: string) =>
    `greatest(sumIf(units, ${isCounted} AND NOT is_asked), sumIf(units, ${isCounted} AND is_asked))`
  const recent = { recency: recencyBy('minute'), range: rangeOf('minute', 'topCountedFromMs') }
  const ofChecks = asked === null ? '' : askedSql(columns, asked, recent)
  return `SELECT ${listed(columns)}count() OVER () AS subjects_in_all, countIf(is_recent) OVER () AS recent_in_all FROM (
     SELECT ${listed(columns)}max(recency) = 2 AS is_recent, ${larger('recency > 0')} AS counted, ${larger('1')} AS in_all
     FROM (
       SELECT ${listed(columns)}${recencyBy('hour')} AS recency,
         toFloat64(${UNIT_SQL[selection.unit].sum}) AS units, 0 AS is_asked
       FROM calls
       WHERE ${rangeOf('hour', 'topFromMs')} AND ${spendsOrRefused(selection)}
       GROUP BY ${listed(columns)}recency${ofChecks && ` UNION ALL ${ofChecks}`})
     ${columns.length === 0 ? '' : `GROUP BY ${columns.join(', ')}`})
   ORDER BY ${['is_recent DESC', 'counted DESC', 'in_all DESC', ...columns].join(', ')} LIMIT {topMax:UInt32}`
}

const instant = (name: string): string => `toDateTime(intDiv({${name}:Int64}, 1000))`

function ofFreshSubjects({ columns, match }: Selection, fresh: string): string {
  if (columns.length === 0) return '1'
  return `(${columns.join(', ')}) IN (SELECT DISTINCT ${columns.join(', ')} FROM calls WHERE ${fresh} AND ${match.sql})`
}

export const subjectOf = (row: SeriesRow): SubjectValues => row.slice(0, -4) as string[]

/** What the row adds to its slot, an hour's second or a step: a refused call is nothing but refused. */
export function entryOf(row: SeriesRow): Entry {
  const [slot = 0, limited, units = 0, calls = 0] = row.slice(-4).map(Number)
  return limited === 1 ? { slot, units: 0, count: 0, refused: calls } : { slot, units, count: calls, refused: 0 }
}

const NONE = new Float64Array()

/** Its arrays, with one for what was refused where there is any. */
function amountsOf(series: UsageSeries, refused: number): Amounts {
  if (refused > 0) series.refused ??= new Float64Array(series.used.length)
  return { units: series.used, count: series.calls, refused: series.refused ?? NONE }
}
