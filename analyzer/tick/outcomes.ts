/**
 * What became of the forecasts that were kept: the windows of one quota that have ended, with what each subject really
 * used and asked for in them, added up again from the calls and the decisions. Bounded: some subjects, chosen by a hash
 * so that they stay the same, and the newest windows.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { type History, reachedMs, toHistory, totalBetween } from '../forecast/history.ts'
import type { ScoredForecast } from '../forecast/scoring.ts'
import { subjectMap } from '../policy/subject.ts'
import { readDecisions } from '../usage/decisions.ts'
import type { Condition } from '../usage/fresh.ts'
import { readRows, type Selection } from '../usage/selection.ts'
import {
  addChecks,
  demandInStep,
  emptySeries,
  meanCallUnits,
  readHours,
  readSteps,
  type UsageSeries,
  usedInStep,
} from '../usage/series.ts'
import type { Grid } from '../usage/steps.ts'
import { seriesStepMs, type Window } from '../usage/window.ts'
import type { ResettingQuota } from './followed-quota.ts'
import { readPastResets } from './past-resets.ts'
import { selectionOf } from './quota-selection.ts'

const HOUR_MS = 3_600_000
/** Subjects of one quota that are scored. */
const SUBJECTS_MAX = 100
/** Kept forecasts of one quota that are scored. */
const FORECASTS_MAX = 20_000
/** Windows from here on are read by the hour, with their edges from the calls; shorter ones from the calls alone. */
const HOURLY_WINDOW_MS_MIN = 20 * HOUR_MS

export interface OutcomesAsk {
  /** Windows that ended in `(fromMs, toMs]`. */
  fromMs: number
  toMs: number
  /** At most so many of them, the newest. */
  windowsMax: number
  /** Only of this tenant, or of all. */
  tenant: string | undefined
  nowMs: number
}

export interface Outcomes {
  forecasts: ScoredForecast[]
  /** Subjects with kept forecasts in the time asked for, and how many of them are scored. */
  subjectsInAll: number
  subjects: number
}

interface KeptForecast extends Omit<ScoredForecast, 'exhaustedAtMs' | 'demand'> {
  subject: string
  used: number
  limit: number
}

/** Reads the kept forecasts of a quota with what became of them. */
export async function readOutcomes(
  client: ClickHouseClient,
  quota: ResettingQuota,
  ask: OutcomesAsk,
): Promise<Outcomes> {
  const ended = endedOf(quota, ask)
  const subjects = new Set<string>()
  let subjectsInAll = 0
  const some = { ...ended.params, samplePer: Object.keys(subjectMap(quota, [])), subjectsMax: SUBJECTS_MAX }
  await readRows<[string, number]>(client, sampleSql(ended.sql), some, ([subject, count]) => {
    subjects.add(subject)
    subjectsInAll = count
  })
  if (subjects.size === 0) return { forecasts: [], subjectsInAll, subjects: 0 }
  const sample: Sample = { sampleSubjects: [...subjects] }
  const kept = await readKeptForecasts(client, ended, sample)
  const heldFromMs = Math.ceil(ask.nowMs / HOUR_MS) * HOUR_MS - CALLS_RETENTION_DAYS * 24 * HOUR_MS
  const byWindow = Map.groupBy(kept, ({ windowStartMs, windowEndMs }) => `${windowStartMs} ${windowEndMs}`)
  const windows = [...byWindow.values()].slice(0, ask.windowsMax)
  const begins = windows.map(([first]) => first?.windowStartMs ?? ask.toMs)
  const startMs = Math.max(heldFromMs, Math.min(ask.toMs, ...begins))
  const lastResetOf = await readPastResets(client, quota, { startMs, endMs: ask.toMs })
  const forecasts: ScoredForecast[] = []
  for (const ones of windows) {
    const [first] = ones
    if (!first || first.windowEndMs <= heldFromMs) continue
    const window = { startMs: first.windowStartMs, endMs: first.windowEndMs }
    const outcomeOf = await readDemand(client, quota, { window, heldFromMs, sample, subjects })
    for (const [subject, its] of Map.groupBy(ones, one => one.subject)) {
      const begin = beginOf(its, heldFromMs)
      for (const { subject: _subject, used, limit, ...one } of its) {
        const resetMs = lastResetOf(subject, { startMs: window.startMs, endMs: one.asOfMs })
        // What comes after a reset is a window of its own; before, nobody could know of it, and demand is what it is.
        const since = resetMs === null ? begin : { atMs: resetMs, used: 0 }
        const windowKey = resetMs === null ? one.windowKey : `${one.windowKey} ${resetMs}`
        if (since)
          forecasts.push({ ...one, windowKey, ...outcomeOf(subject, { limit, since, asOfMs: one.asOfMs, used }) })
      }
    }
  }
  return { forecasts, subjectsInAll, subjects: subjects.size }
}

/** From when on demand is added up, and what was used in the window before. */
interface Since {
  atMs: number
  used: number
}

/**
 * The begin of the window, or, where its first calls are not kept any more, the first forecast that is followed by calls
 * that are: it says what was used by then.
 */
function beginOf(forecasts: readonly KeptForecast[], heldFromMs: number): Since | null {
  const [first] = forecasts
  if (first && first.windowStartMs >= heldFromMs) return { atMs: first.windowStartMs, used: 0 }
  const held = forecasts.find(({ asOfMs }) => asOfMs >= heldFromMs)
  return held ? { atMs: held.asOfMs, used: held.used } : null
}

/** JSON of the subjects that are scored: for each window they are asked for anew, and finding them takes longer than that. */
type Sample = { sampleSubjects: string[] }

/** Kept forecasts of the windows that are asked for, but for those that were made while the quota counted something else. */
const endedOf = (quota: ResettingQuota, { fromMs, toMs, tenant }: OutcomesAsk): Condition => ({
  sql: endedSql(tenant !== undefined),
  params: {
    sampleQuota: quota.name,
    sampleUnit: quota.unit,
    sampleFromMs: fromMs,
    sampleToMs: toMs,
    ...(tenant === undefined ? {} : { sampleTenant: tenant }),
  },
})

export const endedSql = (isOneTenant: boolean): string =>
  `quota = {sampleQuota:String} AND unit = {sampleUnit:String}
     AND window_end > fromUnixTimestamp64Milli({sampleFromMs:Int64})
     AND window_end <= fromUnixTimestamp64Milli({sampleToMs:Int64})
     ${isOneTenant ? 'AND tenant = {sampleTenant:String}' : ''}`

/** Some subjects with kept forecasts, the same ones each time; none of other dimensions than the quota has now. */
export const sampleSql = (ended: string): string =>
  `SELECT subject, count() OVER () AS subjects_in_all FROM forecasts WHERE ${ended}
   GROUP BY subject HAVING JSONExtractKeys(subject) = {samplePer:Array(String)}
   ORDER BY cityHash64(subject) LIMIT {subjectsMax:UInt32}`

/** The kept forecasts of these subjects, of the newest windows first; what was made after the limit was reached is not. */
export const keptForecastsSql = (ended: string): string =>
  `SELECT subject, toUnixTimestamp64Milli(window_start), toUnixTimestamp64Milli(window_end),
     toUnixTimestamp64Milli(as_of), mark, used, \`limit\`, probability, toUnixTimestamp64Milli(exhaustion_p10),
     toUnixTimestamp64Milli(exhaustion_p50), toUnixTimestamp64Milli(exhaustion_p90), usage_p10, usage_p50, usage_p90
   FROM forecasts
   WHERE ${ended} AND used < \`limit\` AND NOT ifNull(exhaustion_p90 <= as_of, false)
     AND subject IN {sampleSubjects:Array(String)}
   ORDER BY window_end DESC, subject, as_of LIMIT {forecastsMax:UInt32}`

type KeptForecastRow = [
  subject: string,
  startMs: number,
  endMs: number,
  asOfMs: number,
  mark: string,
  used: number,
  limit: number,
  probability: number,
  ...exhaustion: (number | null)[],
]

async function readKeptForecasts(
  client: ClickHouseClient,
  { sql, params }: Condition,
  sample: Sample,
): Promise<KeptForecast[]> {
  const kept: KeptForecast[] = []
  await readRows<KeptForecastRow>(
    client,
    keptForecastsSql(sql),
    { ...params, ...sample, forecastsMax: FORECASTS_MAX },
    ([subject, windowStartMs, windowEndMs, asOfMs, mark, used, limit, probability, ...quantiles]) => {
      const [p10 = null, p50 = null, p90 = null, low = null, middle = null, high = null] = quantiles
      const usageAtReset =
        low === null || middle === null || high === null ? null : { p10: low, p50: middle, p90: high }
      kept.push({
        subject,
        windowKey: `${subject} ${windowStartMs}`,
        windowStartMs,
        windowEndMs,
        asOfMs,
        isScheduled: mark.includes('/'),
        used,
        limit,
        probability,
        exhaustionAtMs: { p10, p50, p90 },
        usageAtReset,
      })
    },
  )
  return kept
}

/** What a subject had used when it was forecast and asked for from then on, and when that reached a limit. */
type OutcomeOf = (
  subject: string,
  asked: { limit: number; since: Since; asOfMs: number; used: number },
) => Pick<ScoredForecast, 'demand' | 'exhaustedAtMs'>

async function readDemand(
  client: ClickHouseClient,
  quota: ResettingQuota,
  ask: { window: Window; heldFromMs: number; sample: Sample; subjects: ReadonlySet<string> },
): Promise<OutcomeOf> {
  const { window, heldFromMs, sample, subjects } = ask
  const fromMs = Math.max(window.startMs, heldFromMs)
  const isHourly = window.endMs - window.startMs >= HOURLY_WINDOW_MS_MIN
  const stepMs = isHourly ? HOUR_MS : seriesStepMs(window.endMs - window.startMs)
  const grid: Grid = { startMs: window.startMs, stepMs, steps: Math.ceil((window.endMs - window.startMs) / stepMs) }
  const series = new Map<string, UsageSeries>()
  const seriesOf = (subject: string): UsageSeries | null => {
    if (!subjects.has(subject)) return null
    const one = series.get(subject) ?? emptySeries([], grid)
    series.set(subject, one)
    return one
  }
  const ofValues = (values: readonly string[]) => seriesOf(JSON.stringify(subjectMap(quota, values)))
  const selection = ofSample(quota, sample)
  const firstHourMs = isHourly ? Math.ceil(fromMs / HOUR_MS) * HOUR_MS : window.endMs
  const lastHourMs = isHourly ? Math.floor(window.endMs / HOUR_MS) * HOUR_MS : window.endMs
  await readHours(client, selection, grid, { fromMs: firstHourMs, toMs: lastHourMs }, ofValues)
  await readSteps(client, selection, grid, { fromMs, toMs: firstHourMs }, ofValues)
  await readSteps(client, selection, grid, { fromMs: lastHourMs, toMs: window.endMs }, ofValues)
  const condition = { sql: 'subject IN {sampleSubjects:Array(String)}', params: sample }
  const decisions = { quota: quota.name, fromMs, toMs: window.endMs, condition, grid }
  await readDecisions(client, decisions, sums => {
    const one = sums.unit === quota.unit ? seriesOf(sums.subject) : null
    if (one) addChecks(one, grid, sums.middleMs, sums)
  })
  const histories = new Map(
    Array.from(series, ([subject, one]) => [subject, historiesOf(one, quota, grid, window.endMs)]),
  )
  return (subject, { limit, since, asOfMs, used: usedThen }) => {
    const history = histories.get(subject)
    if (!history) return { demand: since.used, exhaustedAtMs: null }
    const fromMs = Math.max(since.atMs, asOfMs)
    // What was refused before has used nothing; what was used elsewhere, by what the provider said, only the forecast knew.
    const recorded = since.used + totalBetween(history.used, since.atMs, fromMs)
    const used = quota.limit === null && asOfMs >= since.atMs ? Math.max(recorded, usedThen) : recorded
    // Hours that lie over two steps are shared out, which must not leave a limit reached but for a rounding.
    const demand = Math.round(used + totalBetween(history.demand, fromMs, window.endMs))
    return { demand, exhaustedAtMs: demand >= limit ? reachedMs(history.demand, fromMs, limit - used) : null }
  }
}

function historiesOf(series: UsageSeries, { counts }: ResettingQuota, { startMs, stepMs, steps }: Grid, endMs: number) {
  const callUnits = meanCallUnits(series)
  const historyOf = (unitsIn: (step: number) => number): History =>
    toHistory(
      Array.from({ length: steps }, (_, step) => unitsIn(step)),
      startMs,
      stepMs,
      endMs,
    )
  return {
    used: historyOf(step => usedInStep(series, counts, step)),
    demand: historyOf(step => demandInStep(series, counts, step, callUnits)),
  }
}

/** The quota's calls of the sampled subjects. */
export function ofSample(quota: ResettingQuota, sample: Sample): Selection {
  const selection = selectionOf(quota)
  const { match, columns } = selection
  if (columns.length === 0) return selection
  const names = Object.fromEntries(quota.per.map(({ name }, index) => [`per${index}`, name]))
  const values = columns.map((_, index) => `JSONExtractString(subject, {per${index}:String})`)
  const subjects = 'SELECT arrayJoin({sampleSubjects:Array(String)}) AS subject'
  const isOfSample = `(${columns.join(', ')}) IN (SELECT ${values.join(', ')} FROM (${subjects}))`
  return {
    ...selection,
    match: { sql: `${match.sql} AND ${isOfSample}`, params: { ...match.params, ...sample, ...names } },
  }
}
