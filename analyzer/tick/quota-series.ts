/**
 * The usage series of all subjects of one quota, kept in memory: read completely now and then, and brought up to date
 * with what is new in between. What a subject used in the running window is exact, whatever millisecond it began at.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { type ArrivalDelay, DELAY_EDGES_MS, toArrivalDelay } from '../forecast/arrival.ts'
import { WINDOW_STEPS_MIN } from '../forecast/why.ts'
import { readUsage } from '../usage/current.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { readStepEntries } from '../usage/entries.ts'
import { type Condition, type Fresh, notFresh, type Seen } from '../usage/fresh.ts'
import { readLateness } from '../usage/lateness.ts'
import { keyOfSubject, type Selection, type SubjectValues } from '../usage/selection.ts'
import { readTopSubjects } from '../usage/series.ts'
import type { Grid } from '../usage/steps.ts'
import { newerReading, readUpstream, type UpstreamReading } from '../usage/upstream.ts'
import { isResetting, type Window } from '../usage/window.ts'
import { countedWindow, type FollowedQuota, stepOf } from './followed-quota.ts'
import { groupPeers, type PeersOf } from './peers.ts'
import { askedOf, selectionOf } from './quota-selection.ts'
import { isInShard, ofShard, type Shard, WHOLE } from './shard.ts'
import { createSharedHours, type Hours, type SharedHours } from './shared-hours.ts'
import { subjectFromJson } from './subject-json.ts'
import { type ChecksBy, createSubjectSeries, STEPS_MAX, type SubjectSeries } from './subject-series.ts'

const HOUR_MS = 3_600_000
/** Steps of history at most: with hours that is all that `calls` holds, with minutes a day and a half. */
export const HISTORY_STEPS_MAX = 2_000
const HISTORY_MS_MAX = CALLS_RETENTION_DAYS * 86_400_000
/** Windows too short for a forecast are read again for each of them: what is recent is all that they need. */
const HISTORY_STEPS_SHORT = 10
/** The newest part, which is read from the calls themselves; older hours come from the projection. */
const EXACT_MS = 36 * HOUR_MS
/** Where there are too many subjects, those that called lately come first; of a longer window, what they used in it counts. */
const RECENT_MS = 24 * HOUR_MS
/** What a provider said before is old. */
const SAID_MS_MAX = 24 * HOUR_MS
/** A quota is read completely this often: heals whatever was missed, and moves the grid on. */
const LOAD_EVERY_MS = HOUR_MS
/** Calls that began before the exact part ask for a complete reading, but no more often than this. */
const LATE_LOAD_EVERY_MS = 60_000

export interface QuotaSeries {
  readonly quota: FollowedQuota
  readonly selection: Selection
  readonly grid: Grid
  /** Hours before this are what hours are, later calls are known by the step; steps from `exactFromMs` on are exact. */
  readonly rawFromMs: number
  readonly exactFromMs: number
  /** Before `rawFromMs`; `null` where all is by the step. */
  readonly hours: Hours | null
  /** The window at the time of loading. */
  readonly window: Window
  readonly subjects: SubjectSeries
  readonly budget: SubjectBudget
  /** Only subjects of this shard are followed. */
  readonly shard: Shard
  /** Others like a subject, as of the loading. */
  peersOf: PeersOf
  /** What providers said of each subject, by its key; empty unless the limit is theirs to say. */
  readonly said: Map<string, UpstreamReading>
  /** How late the quota's calls are; `null` while too few are known. */
  readonly delay: ArrivalDelay | null
  /** Subjects that are not followed because there are too many. */
  subjectsCut: number
  /** Of these, those that called lately. */
  readonly liveCut: number
  readonly loadedAtMs: number
  /** Calls came that began before the exact part, or of a subject of which no earlier ones were read. */
  hasLateCalls: boolean
}

/** How many more subjects may be followed, shared by all quotas. */
export interface SubjectBudget {
  left: number
}

export interface LoadAsk {
  nowMs: number
  /** As many subjects are followed as this allows, those first that called lately and used most; it is charged for them. */
  budget: SubjectBudget
  /** Of the places that are left, those kept for subjects of other quotas that called lately; 0 when absent. */
  kept?: number
  /** How far the decisions were seen: later ones are added by `addQuotaDecision`. */
  decisionsSeen: Seen
  /** Whose subjects are followed; all when absent. */
  shard?: Shard
  /** Of other quotas and earlier readings, too; none when absent. */
  sharedHours?: SharedHours
  /** Nothing is stored of it: there is nothing to read. */
  isSilent?: boolean
}

/** Reads everything that the quota's forecasts need. */
export async function loadQuotaSeries(
  client: ClickHouseClient,
  quota: FollowedQuota,
  ask: LoadAsk,
): Promise<QuotaSeries> {
  const { nowMs, budget, kept = 0 } = ask
  const { shard = WHOLE } = ask
  const selection = ofShard(selectionOf(quota), shard, quota)
  const { window, grid, topRange } = spanOf(quota, nowMs)
  const endMs = grid.startMs + grid.steps * grid.stepMs
  const rawFromMs = Math.max(grid.startMs, floorHour(nowMs - EXACT_MS))
  const exactFromMs = grid.startMs + Math.ceil((rawFromMs - grid.startMs) / grid.stepMs) * grid.stepMs
  const parts = { quota, selection, grid, rawFromMs, exactFromMs, window, budget, shard }
  if (ask.isSilent) return startSeries({ ...parts, hours: null }, nowMs)
  const topAsk = { ...topRange, subjectsMax: Math.max(0, budget.left), kept, asked: askedOf(quota, shard) }
  const { subjects, subjectsInAll, recentInAll, top } = await readTopSubjects(client, selection, topAsk)
  const { sharedHours = createSharedHours(client) } = ask
  const hoursAsk = { nowMs, untilMs: rawFromMs, subjects: subjects.length, isCut: subjects.length < subjectsInAll }
  const hours = ceilHour(grid.startMs) < rawFromMs ? await sharedHours.read(top, hoursAsk) : null
  const series: QuotaSeries = {
    ...startSeries({ ...parts, hours }, nowMs),
    said:
      quota.limit === null
        ? await readUpstream(client, selection, { fromMs: nowMs - SAID_MS_MAX, condition: null })
        : new Map(),
    delay: toArrivalDelay(await readLateness(client, selection, nowMs, DELAY_EDGES_MS)),
    subjectsCut: subjectsInAll - subjects.length,
    liveCut: Math.max(0, recentInAll - subjects.length),
  }
  for (const subject of subjects) series.subjects.follow(subject)
  budget.left -= series.subjects.size
  // Where nothing resets, steps are added up, as the window's begin moves on.
  if (isResetting(quota.window)) {
    const used = await readUsage(client, top, window.startMs, exactFromMs)
    for (const [key, units] of used) series.subjects.setUsedBefore(key, units)
  }
  await readStepEntries(client, top, { grid, fromMs: rawFromMs, toMs: endMs }, (subject, entries) => {
    const key = followed(series, subject)
    if (key !== null) series.subjects.replaceSteps(key, 0, entries)
  })
  await readChecks(client, series, notFresh('decisions', ask.decisionsSeen))
  const windowMs = window.endMs - window.startMs
  series.peersOf = await groupPeers(quota, grid, series.subjects, { nowMs, windowMs })
  return series
}

type SeriesPlan = Pick<
  QuotaSeries,
  'quota' | 'selection' | 'grid' | 'rawFromMs' | 'exactFromMs' | 'hours' | 'window' | 'budget' | 'shard'
>

/** A series without subjects. */
function startSeries(plan: SeriesPlan, loadedAtMs: number): QuotaSeries {
  const subjects = createSubjectSeries(plan)
  const nobody = { said: new Map(), delay: null, peersOf: () => null, subjectsCut: 0, liveCut: 0 }
  return { ...plan, subjects, ...nobody, loadedAtMs, hasLateCalls: false }
}

/** What is read of a quota: its window now, the steps of its series, and where its subjects are looked for. */
function spanOf(quota: FollowedQuota, nowMs: number) {
  const window = countedWindow(quota, nowMs)
  const grid = gridOf(window, stepOf(quota, nowMs), nowMs)
  const fromMs = floorHour(Math.min(grid.startMs, window.startMs))
  const toMs = floorHour(grid.startMs + grid.steps * grid.stepMs) + HOUR_MS
  const recentFromMs = floorHour(nowMs - RECENT_MS)
  const countedFromMs = Math.min(recentFromMs, floorHour(window.startMs))
  return { window, grid, topRange: { fromMs, toMs, recentFromMs, countedFromMs } }
}

/** How many of the shard's subjects of the quota called lately. */
export async function countLive(
  client: ClickHouseClient,
  quota: FollowedQuota,
  { nowMs, shard }: { nowMs: number; shard: Shard },
): Promise<number> {
  const { fromMs, toMs, recentFromMs } = spanOf(quota, nowMs).topRange
  const asked = askedOf(quota, shard)
  const range = { fromMs: Math.max(fromMs, recentFromMs), toMs, subjectsMax: 0, asked }
  return (await readTopSubjects(client, ofShard(selectionOf(quota), shard, quota), range)).subjectsInAll
}

/** Adds the checks for which the condition holds: by the step where calls are, and by the hour before. */
export async function readChecks(client: ClickHouseClient, series: QuotaSeries, condition: Condition): Promise<void> {
  const { quota, grid, rawFromMs } = series
  const firstHourMs = ceilHour(grid.startMs)
  const read = async (
    by: ChecksBy,
    range: { fromMs: number; toMs?: number },
    slots: { startMs: number; stepMs: number },
  ) => {
    let some: DecisionSums[] = []
    // What is of one subject comes at once.
    const addSome = () => {
      const [first] = some
      if (first) addQuotaDecisions(series, first.subject, some, by)
      some = []
    }
    await readDecisions(client, { quota: quota.name, condition, ...range, grid: slots }, sums => {
      if (some[0]?.subject !== sums.subject) addSome()
      some.push(sums)
    })
    addSome()
  }
  if (firstHourMs < rawFromMs)
    await read('hours', { fromMs: firstHourMs, toMs: rawFromMs }, { startMs: 0, stepMs: HOUR_MS })
  await read('steps', { fromMs: rawFromMs }, grid)
}

/** Reads again what the new calls are about, for the subjects that have new calls. Answers their keys. */
export async function refreshQuotaSeries(
  client: ClickHouseClient,
  series: QuotaSeries,
  fresh: Fresh,
): Promise<Set<string>> {
  const { grid, selection, exactFromMs } = series
  const endMs = grid.startMs + grid.steps * grid.stepMs
  if (fresh.fromMs < exactFromMs) {
    series.hasLateCalls = true
    if (series.hours) series.hours.isStale = true
  }
  if (series.quota.limit === null) {
    for (const [key, said] of await readUpstream(client, selection, fresh)) {
      series.said.set(key, newerReading(series.said.get(key), said))
    }
  }
  const step = Math.floor((fresh.fromMs - grid.startMs) / grid.stepMs)
  const fromMs = Math.max(exactFromMs, grid.startMs + step * grid.stepMs)
  const touched = new Set<string>()
  await readStepEntries(
    client,
    selection,
    { grid, fromMs, toMs: endMs, fresh: fresh.condition },
    (subject, entries) => {
      const own = keyOfSubject(subject)
      touched.add(own)
      const isNew = !series.subjects.has(own)
      const key = followed(series, subject)
      // It may be one of those that were cut off.
      if (isNew && key !== null && series.subjectsCut > 0) series.hasLateCalls = true
      if (key !== null) series.subjects.replaceSteps(key, (fromMs - grid.startMs) / grid.stepMs, entries)
    },
  )
  return touched
}

/** Adds sums of decisions about one subject. Answers its key, or `null` when they are not of a followed one. */
function addQuotaDecisions(
  series: QuotaSeries,
  json: string,
  sums: readonly DecisionSums[],
  by: ChecksBy,
): string | null {
  const own = sums.filter(({ unit }) => unit === series.quota.unit)
  const subject = own.length > 0 ? subjectFromJson(series.quota, json) : null
  const key = subject && followed(series, subject)
  if (key !== null) series.subjects.addChecks(key, own, by)
  return key
}

/** The same of one minute; before the exact part it is one of its hour's. */
export const addQuotaDecision = (series: QuotaSeries, sums: DecisionSums): string | null =>
  addQuotaDecisions(series, sums.subject, [sums], sums.middleMs < series.rawFromMs ? 'hours' : 'steps')

/** True when the quota must be read completely again before it can be forecast. */
export function isLoadDue(series: QuotaSeries, nowMs: number): boolean {
  const ageMs = nowMs - series.loadedAtMs
  if (ageMs >= LOAD_EVERY_MS || ageMs < 0 || (series.hasLateCalls && ageMs >= LATE_LOAD_EVERY_MS)) return true
  const { startMs } = countedWindow(series.quota, nowMs)
  return (startMs - series.grid.startMs) % series.grid.stepMs !== 0
}

/** True when the store still holds every call of the window. */
export const isHeldWhole = (window: Window, nowMs: number): boolean => window.startMs >= nowMs - HISTORY_MS_MAX

/**
 * Begins on a window's begin, goes back as far as history helps, and ahead until the next complete reading and, as there are
 * gateways whose clocks are ahead, to the window's end; of a year, some two months.
 */
function gridOf(window: Window, stepMs: number, nowMs: number): Grid {
  const windowMs = window.endMs - window.startMs
  const steps = windowMs < WINDOW_STEPS_MIN * stepMs ? HISTORY_STEPS_SHORT : HISTORY_STEPS_MAX
  const historyMs = Math.min(HISTORY_MS_MAX, steps * stepMs)
  const startMs = window.startMs - Math.ceil((window.startMs - (nowMs - historyMs)) / stepMs) * stepMs
  const endMs = Math.max(window.endMs, nowMs + LOAD_EVERY_MS + LATE_LOAD_EVERY_MS)
  return { startMs, stepMs, steps: Math.min(STEPS_MAX, Math.ceil((endMs - startMs) / stepMs)) }
}

/** The subject's key; it is followed from now on, if there is room. */
function followed(series: QuotaSeries, subject: SubjectValues): string | null {
  const key = keyOfSubject(subject)
  if (series.subjects.has(key)) return key
  if (series.budget.left <= 0 || !isInShard(series.shard, series.quota, subject)) return null
  series.budget.left--
  return series.subjects.follow(subject)
}

const ceilHour = (atMs: number): number => Math.ceil(atMs / HOUR_MS) * HOUR_MS
const floorHour = (atMs: number): number => Math.floor(atMs / HOUR_MS) * HOUR_MS
