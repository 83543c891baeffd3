/** The demand of a quota's most used subjects, hour by hour over the last weeks, from the hourly projection. */
import type { ClickHouseClient } from '@clickhouse/client'
import { type History, toHistory } from '../forecast/history.ts'
import { subjectMap } from '../policy/subject.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { keyOfSubject, type Selection } from '../usage/selection.ts'
import { addChecks, demandInStep, emptySeries, meanCallUnits, readHours, readTopSubjects } from '../usage/series.ts'
import type { Grid } from '../usage/steps.ts'
import type { ResettingQuota } from './followed-quota.ts'
import { askedOf, selectionOf } from './quota-selection.ts'
import { WHOLE } from './shard.ts'

const HOUR_MS = 3_600_000
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
 * Reads subjects by what they used or asked for, most first, how many there are in all, and what selects the calls of these.
 */
export async function readSubjectHours(
  client: ClickHouseClient,
  quota: ResettingQuota,
  { nowMs, subjectsMax }: HoursAsk,
): Promise<{ subjects: SubjectHours[]; subjectsInAll: number; top: Selection }> {
  const endMs = hoursKnownUntil(nowMs)
  const range = { fromMs: endMs - HISTORY_HOURS * HOUR_MS, toMs: endMs }
  const grid: Grid = { startMs: range.fromMs, stepMs: HOUR_MS, steps: HISTORY_HOURS }
  const hasChecks = areChecksKnown(quota)
  const checks = hasChecks ? askedOf(quota, WHOLE) : null
  const asked = checks && { ...checks, isExact: true }
  const topAsk = { ...range, subjectsMax, asked }
  const { subjects, subjectsInAll, top } = await readTopSubjects(client, selectionOf(quota), topAsk)
  const byKey = new Map(subjects.map(subject => [keyOfSubject(subject), emptySeries(subject, grid)]))
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
    subjectsInAll,
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
