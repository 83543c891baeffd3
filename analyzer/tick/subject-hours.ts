/** The demand of a quota's most used subjects, hour by hour over the last weeks, from the hourly projection. */
import type { ClickHouseClient } from '@clickhouse/client'
import { type History, toHistory } from '../forecast/history.ts'
import { narrowedTo } from '../policy/narrowing.ts'
import { subjectMap } from '../policy/subject.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { keyOfSubject, type Selection, type SubjectValues } from '../usage/selection.ts'
import { addChecks, demandInStep, emptySeries, meanCallUnits, readHours, readTopSubjects } from '../usage/series.ts'
import type { Grid } from '../usage/steps.ts'
import type { ResettingQuota } from './followed-quota.ts'
import { selectionOf } from './quota-selection.ts'
import { subjectFromJson } from './quota-series.ts'

const HOUR_MS = 3_600_000
const ANY = { sql: '1', params: {} }
/** Calls are logged when they end: an hour that ended just now is not known yet. */
const SETTLE_MS = 10 * 60_000
/** Whole weeks, all of which `calls` still holds. */
export const HISTORY_HOURS = 4 * 7 * 24

export interface SubjectHours {
  /** The dimensions of the quota's `per`, by name. */
  subject: Record<string, string>
  /** Whole hours, as far as they are known. */
  history: History
}

export interface HoursAsk {
  nowMs: number
  subjectsMax: number
}

/** End of the last whole hour of which all calls should be there. */
export const hoursKnownUntil = (nowMs: number): number => Math.floor((nowMs - SETTLE_MS) / HOUR_MS) * HOUR_MS

/**
 * Reads subjects by what they used, most first, how many there are in all, and what selects the calls of these. Those that
 * only ask, and of which nothing is recorded, come last.
 */
export async function readSubjectHours(
  client: ClickHouseClient,
  quota: ResettingQuota,
  { nowMs, subjectsMax }: HoursAsk,
): Promise<{ subjects: SubjectHours[]; subjectsInAll: number; top: Selection }> {
  const endMs = hoursKnownUntil(nowMs)
  const range = { fromMs: endMs - HISTORY_HOURS * HOUR_MS, toMs: endMs }
  const grid: Grid = { startMs: range.fromMs, stepMs: HOUR_MS, steps: HISTORY_HOURS }
  const { subjects, subjectsInAll, top } = await readTopSubjects(client, selectionOf(quota), { ...range, subjectsMax })
  const room = subjectsMax - subjects.length
  const hasChecks = areChecksKnown(quota)
  const asking = hasChecks && room > 0 ? await readAsking(client, quota, { ...range, known: subjects }) : []
  const all = [...subjects, ...asking.slice(0, room)]
  const byKey = new Map(all.map(subject => [keyOfSubject(subject), emptySeries(subject, grid)]))
  await readHours(client, top, grid, range, subject => byKey.get(keyOfSubject(subject)) ?? null)
  const nameOf = (subject: readonly string[]) => JSON.stringify(subjectMap(quota, subject))
  const byName = new Map(Array.from(byKey.values(), series => [nameOf(series.subject), series]))
  const condition = { sql: 'subject IN {hourSubjects:Array(String)}', params: { hourSubjects: [...byName.keys()] } }
  const addOne = (sums: DecisionSums) => {
    const series = sums.unit === quota.unit ? byName.get(sums.subject) : undefined
    if (series) addChecks(series, grid, sums.middleMs, sums)
  }
  if (hasChecks) await readDecisions(client, { quota: quota.name, ...range, condition, grid }, addOne)
  return {
    subjectsInAll: subjectsInAll + asking.length,
    top,
    subjects: Array.from(byKey.values(), series => {
      const callUnits = meanCallUnits(series)
      const hours = Array.from({ length: grid.steps }, (_, hour) => demandInStep(series, quota.counts, hour, callUnits))
      return { subject: subjectMap(quota, series.subject), history: toHistory(hours, grid.startMs, HOUR_MS, endMs) }
    }),
  }
}

/** Checks are summed up by the quota's subjects: of one consumer among others of a subject nobody knows which are its own. */
const areChecksKnown = ({ conditions, per, options }: ResettingQuota): boolean =>
  options.match.consumer !== undefined ||
  per.some(({ field }) => field === 'consumer') ||
  conditions.every(({ field }) => field !== 'consumer')

/** Subjects that the limiter was asked about and of which no calls are known, by what they spent, most first. */
async function readAsking(
  client: ClickHouseClient,
  quota: ResettingQuota,
  { fromMs, toMs, known }: { fromMs: number; toMs: number; known: readonly SubjectValues[] },
): Promise<SubjectValues[]> {
  const { per, unit, counts } = quota
  const recorded = new Set(known.map(keyOfSubject))
  const asking: { subject: SubjectValues; spent: number }[] = []
  if (counts === 'records') return []
  const ask = { quota: quota.name, fromMs, toMs, condition: ANY, grid: { startMs: fromMs, stepMs: toMs - fromMs } }
  await readDecisions(client, ask, ({ subject: json, unit: asked, spent }) => {
    const subject = asked === unit ? subjectFromJson(quota, json) : null
    if (subject === null || recorded.has(keyOfSubject(subject))) return
    // It may be of more dimensions, from before the quota was changed.
    if (JSON.stringify(subjectMap(quota, subject)) !== json) return
    const values = per.map(({ field }, index) => ({ field, value: subject[index] ?? '' }))
    if (narrowedTo(quota, values)) asking.push({ subject, spent })
  })
  return asking.toSorted((one, other) => other.spent - one.spent).map(({ subject }) => subject)
}
