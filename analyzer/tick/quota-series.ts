/**
 * The usage series of all subjects of one quota, kept in memory: read completely now and then, and brought up to date
 * with what is new in between. What a subject used in the running window is exact, whatever millisecond it began at.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { CALLS_RETENTION_DAYS } from '../../collector/store/tables.ts'
import { type ArrivalDelay, completeEdge, DELAY_EDGES_MS, toArrivalDelay } from '../forecast/arrival.ts'
import type { History } from '../forecast/history.ts'
import { WINDOW_STEPS_MIN } from '../forecast/why.ts'
import type { Quota } from '../policy/quota.ts'
import { readUsage } from '../usage/current.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { type Fresh, notFresh, type Seen } from '../usage/fresh.ts'
import { readLateness } from '../usage/lateness.ts'
import { keyOfSubject, type Selection, type SubjectValues } from '../usage/selection.ts'
import {
  addChecks,
  addHourOfChecks,
  clearSteps,
  demandInStep,
  emptySeries,
  type Grid,
  meanCallUnits,
  pendingInStep,
  readHours,
  readSteps,
  readTopSubjects,
  type UsageSeries,
  usedInStep,
} from '../usage/series.ts'
import { newerReading, readUpstream, type UpstreamReading } from '../usage/upstream.ts'
import { isResetting, type Window } from '../usage/window.ts'
import { countedWindow, type FollowedQuota, stepOf } from './followed-quota.ts'
import { groupPeers, type PeersOf } from './peers.ts'
import { selectionOf } from './quota-selection.ts'
import { isInShard, ofShard, type Shard, WHOLE } from './shard.ts'

const HOUR_MS = 3_600_000
/** Steps of history at most: with hours that is all that `calls` holds, with minutes a day and a half. */
export const HISTORY_STEPS_MAX = 2_000
const HISTORY_MS_MAX = CALLS_RETENTION_DAYS * 86_400_000
/** Windows too short for a forecast are read again for each of them: what is recent is all that they need. */
const HISTORY_STEPS_SHORT = 10
/** The newest part, which is read from the calls themselves; older hours come from the projection. */
const EXACT_MS = 36 * HOUR_MS
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
  /** Steps from here on are exact. */
  readonly exactFromMs: number
  /** The window at the time of loading, and what was used in it before `exactFromMs`, by subject. */
  readonly window: Window
  readonly usedBefore: ReadonlyMap<string, number>
  readonly subjects: Map<string, UsageSeries>
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
  readonly loadedAtMs: number
  /** Calls came that began before the exact part. */
  hasLateCalls: boolean
}

/** How many more subjects may be followed, shared by all quotas. */
export interface SubjectBudget {
  left: number
}

export interface LoadAsk {
  nowMs: number
  /** The most used subjects are followed, as many as this allows; it is charged for them. */
  budget: SubjectBudget
  /** How far the decisions were seen: later ones are added by `addFreshDecisions`. */
  decisionsSeen: Seen
  /** Whose subjects are followed; all when absent. */
  shard?: Shard
}

/** Reads everything that the quota's forecasts need. */
export async function loadQuotaSeries(
  client: ClickHouseClient,
  quota: FollowedQuota,
  ask: LoadAsk,
): Promise<QuotaSeries> {
  const { nowMs, budget } = ask
  const { shard = WHOLE } = ask
  const selection = ofShard(selectionOf(quota), shard, quota)
  const window = countedWindow(quota, nowMs)
  const grid = gridOf(window, stepOf(quota, nowMs), nowMs)
  const endMs = grid.startMs + grid.steps * grid.stepMs
  const rawFromMs = Math.max(grid.startMs, floorHour(nowMs - EXACT_MS))
  const exactFromMs = grid.startMs + Math.ceil((rawFromMs - grid.startMs) / grid.stepMs) * grid.stepMs
  const topRange = { fromMs: floorHour(Math.min(grid.startMs, window.startMs)), toMs: floorHour(endMs) + HOUR_MS }
  const topAsk = { ...topRange, subjectsMax: Math.max(0, budget.left) }
  const { subjects, subjectsInAll, top } = await readTopSubjects(client, selection, topAsk)
  const series: QuotaSeries = {
    quota,
    selection,
    grid,
    exactFromMs,
    window,
    // Where nothing resets, steps are added up, as the window's begin moves on.
    usedBefore: isResetting(quota.window) ? await readUsage(client, top, window.startMs, exactFromMs) : new Map(),
    subjects: new Map(subjects.map(subject => [keyOfSubject(subject), emptySeries(subject, grid)])),
    budget,
    shard,
    said:
      quota.limit === null
        ? await readUpstream(client, selection, { fromMs: nowMs - SAID_MS_MAX, condition: null })
        : new Map(),
    delay: toArrivalDelay(await readLateness(client, selection, nowMs, DELAY_EDGES_MS)),
    peersOf: () => null,
    subjectsCut: subjectsInAll - subjects.length,
    loadedAtMs: nowMs,
    hasLateCalls: false,
  }
  budget.left -= series.subjects.size
  const known = (subject: SubjectValues) => series.subjects.get(keyOfSubject(subject)) ?? null
  const firstHourMs = floorHour(grid.startMs + HOUR_MS - 1)
  if (firstHourMs < rawFromMs) {
    await readHours(client, top, grid, { fromMs: firstHourMs, toMs: rawFromMs }, known)
  }
  await readSteps(client, top, grid, { fromMs: rawFromMs, toMs: endMs }, subject => followed(series, subject))
  const decisions = { quota: quota.name, condition: notFresh('decisions', ask.decisionsSeen) }
  if (firstHourMs < rawFromMs) {
    const hours = { ...decisions, fromMs: firstHourMs, toMs: rawFromMs, grid: { startMs: 0, stepMs: HOUR_MS } }
    await readDecisions(client, hours, sums => addQuotaDecisions(series, sums, addHourOfChecks))
  }
  await readDecisions(client, { ...decisions, fromMs: rawFromMs, grid }, sums => addQuotaDecisions(series, sums))
  const windowMs = window.endMs - window.startMs
  series.peersOf = groupPeers(quota, grid, series.subjects.values(), { nowMs, windowMs })
  return series
}

/** Reads again what the new calls are about, for the subjects that have new calls. Answers their keys. */
export async function refreshQuotaSeries(
  client: ClickHouseClient,
  series: QuotaSeries,
  fresh: Fresh,
): Promise<Set<string>> {
  const { grid, selection, exactFromMs } = series
  const endMs = grid.startMs + grid.steps * grid.stepMs
  if (fresh.fromMs < exactFromMs) series.hasLateCalls = true
  if (series.quota.limit === null) {
    for (const [key, said] of await readUpstream(client, selection, fresh)) {
      series.said.set(key, newerReading(series.said.get(key), said))
    }
  }
  const step = Math.floor((fresh.fromMs - grid.startMs) / grid.stepMs)
  const fromMs = Math.max(exactFromMs, grid.startMs + step * grid.stepMs)
  const touched = new Set<string>()
  await readSteps(client, selection, grid, { fromMs, toMs: endMs, fresh: fresh.condition }, subject => {
    const one = followed(series, subject)
    const key = keyOfSubject(subject)
    if (one && !touched.has(key)) clearSteps(one, grid, fromMs)
    touched.add(key)
    return one
  })
  return touched
}

/** Adds sums of decisions that are new. Answers the subject's key, or `null` when they are not of a followed one. */
export function addQuotaDecisions(series: QuotaSeries, sums: DecisionSums, add = addChecks): string | null {
  if (sums.unit !== series.quota.unit) return null
  const subject = subjectFromJson(series.quota, sums.subject)
  const one = subject && followed(series, subject)
  if (!one) return null
  add(one, series.grid, sums.middleMs, sums)
  return keyOfSubject(subject)
}

/** True when the quota must be read completely again before it can be forecast. */
export function isLoadDue(series: QuotaSeries, nowMs: number): boolean {
  const ageMs = nowMs - series.loadedAtMs
  if (ageMs >= LOAD_EVERY_MS || ageMs < 0 || (series.hasLateCalls && ageMs >= LATE_LOAD_EVERY_MS)) return true
  const { startMs } = countedWindow(series.quota, nowMs)
  return (startMs - series.grid.startMs) % series.grid.stepMs !== 0
}

/** True when the store still holds every call of the window. */
export const isHeldWhole = (window: Window, nowMs: number): boolean => window.startMs >= nowMs - HISTORY_MS_MAX

/** Whole units that the subject used in a window that resets, up to now and dated later. */
export function usedInWindow(series: QuotaSeries, key: string, window: Window): number {
  const one = series.subjects.get(key)
  if (!one) return 0
  const { grid, exactFromMs, quota } = series
  const stepAt = (atMs: number) => Math.round((atMs - grid.startMs) / grid.stepMs)
  const last = Math.min(grid.steps, Math.ceil((window.endMs - grid.startMs) / grid.stepMs))
  let used = 0
  for (let step = stepAt(Math.max(window.startMs, exactFromMs)); step < last; step++) {
    used += usedInStep(one, quota.counts, step)
  }
  if (window.startMs >= exactFromMs || window.startMs !== series.window.startMs) return Math.round(used)
  if (quota.counts !== 'checks') used += series.usedBefore.get(key) ?? 0
  const exact = stepAt(exactFromMs)
  for (let step = Math.max(0, stepAt(window.startMs)); step < exact; step++) {
    if (quota.counts === 'checks') used += usedInStep(one, quota.counts, step)
    if (quota.counts === 'checks_and_records') used += pendingInStep(one, step)
  }
  return Math.round(used)
}

/**
 * The subject's demand up to `nowMs`, and how much of the window's is not recorded yet. The totals are written into `into`
 * (at least as long as the grid, plus 1) and hold until that is used again.
 */
export function demandOf(
  series: QuotaSeries,
  one: UsageSeries,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
  into: Float64Array,
): { history: History; missing: number } {
  const { grid, quota, delay } = series
  const { startMs, stepMs } = grid
  const steps = Math.min(grid.steps, Math.ceil((nowMs - startMs) / stepMs))
  // Most subjects are never refused anything and never asked for: their records are all that there is to add up.
  const isPlain = !one.refused && !one.checks && quota.counts !== 'checks'
  const callUnits = one.refused ? meanCallUnits(one) : 0
  let total = 0
  into[0] = 0
  for (let step = 0; step < steps; step++) {
    total += isPlain ? (one.used[step] ?? 0) : demandInStep(one, quota.counts, step, callUnits)
    into[step + 1] = total
  }
  const history = { startMs, stepMs, endMs: nowMs, total: into.subarray(0, steps + 1) }
  // Checks are known when they are made; only records come when their call has ended.
  const missing = delay && quota.counts !== 'checks' && !one.checks ? completeEdge(history, delay, sinceMs) : 0
  return { history, missing }
}

/** Begins on a window's begin, goes back as far as history helps, and ahead until the next complete reading. */
function gridOf(window: Window, stepMs: number, nowMs: number): Grid {
  const windowMs = window.endMs - window.startMs
  const steps = windowMs < WINDOW_STEPS_MIN * stepMs ? HISTORY_STEPS_SHORT : HISTORY_STEPS_MAX
  const historyMs = Math.min(HISTORY_MS_MAX, steps * stepMs)
  const startMs = window.startMs - Math.ceil((window.startMs - (nowMs - historyMs)) / stepMs) * stepMs
  return { startMs, stepMs, steps: Math.ceil((nowMs + LOAD_EVERY_MS + LATE_LOAD_EVERY_MS - startMs) / stepMs) }
}

function followed(series: QuotaSeries, subject: SubjectValues): UsageSeries | null {
  const key = keyOfSubject(subject)
  const known = series.subjects.get(key)
  if (known) return known
  if (series.budget.left <= 0 || !isInShard(series.shard, series.quota, subject)) return null
  series.budget.left--
  const made = emptySeries(subject, series.grid)
  series.subjects.set(key, made)
  return made
}

/** The values of `per` in a subject's JSON, or `null` when the quota's dimensions have changed since. */
export function subjectFromJson(quota: Quota, json: string): SubjectValues | null {
  const named = parseObject(json)
  const values = quota.per.map(({ name }) => named[name])
  return values.every(value => typeof value === 'string') ? values : null
}

function parseObject(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // Whoever wrote it, one unreadable row must not stop the forecasts of all others.
    return {}
  }
}

const floorHour = (atMs: number): number => Math.floor(atMs / HOUR_MS) * HOUR_MS
