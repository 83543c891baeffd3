/**
 * The analyzer's heartbeat: what is new in the store is read, every subject whose forecast is due is forecast again,
 * some forecasts are kept, and all are published at once. Ticks never overlap; one that cannot be done says why.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { type Fresh, readFresh, type Seen } from '../usage/fresh.ts'
import { keyOfSubject, type SubjectValues } from '../usage/selection.ts'
import { isResetting } from '../usage/window.ts'
import { allowedBy } from './allowed.ts'
import { concernedOf } from './concerned.ts'
import type { Fitting } from './fitting.ts'
import { createFollowedForecasts } from './followed-forecasts.ts'
import { type FollowedQuota, isFollowed, seriesKeyOf } from './followed-quota.ts'
import { type KeptMarks, keepForecasts, readKept } from './kept-forecasts.ts'
import { createLearnt, type Learnt } from './learnt.ts'
import { type Followed, makeForecasts } from './making.ts'
import { countKept } from './places.ts'
import {
  addQuotaDecision,
  isLoadDue,
  loadQuotaSeries,
  type QuotaSeries,
  refreshQuotaSeries,
  type SubjectBudget,
} from './quota-series.ts'
import { isInShard, type Shard } from './shard.ts'
import { createSharedHours, type SharedHours } from './shared-hours.ts'
import { createOthers, type ReadOthers } from './stored-forecasts.ts'
import type { SubjectForecast } from './subject-forecast.ts'

/** Quotas that are read from the store at once. */
const QUERIES_AT_ONCE = 4
/** What was kept of windows that have ended is forgotten when there is more than so many times the subjects followed. */
const KEPT_PER_SUBJECT_MAX = 2
/** Hours that no quota asked for in its last complete reading are forgotten. */
const HOURS_KEPT_MS = 2 * 3_600_000
/** What the analyzer knows now. Replaced as a whole by each tick. */
export interface Snapshot {
  /** When the last complete tick looked, Unix milliseconds; `null` before the first. */
  asOfMs: number | null
  /** Arrival of the newest call in the store; `null` while there is none. */
  newestCallAtMs: number | null
  /** In the order of quotas, then of subjects. */
  forecasts: readonly SubjectForecast[]
  /** That of a quota's subject, `undefined` when it is not followed. */
  find(quota: string, subject: SubjectValues): SubjectForecast | undefined
  /** What the subjects of a followed quota know of each other; `undefined` while it was not read. */
  sharedOf(quota: string): Pick<QuotaSeries, 'peersOf' | 'delay'> | undefined
  /** Of subjects that other analyzers follow, as the store keeps them. */
  others: readonly SubjectForecast[]
  /** Subjects that are not followed because there are too many. */
  subjectsCut: number
  /** How long the last complete tick took, and how many forecasts it made. */
  tickMs: number
  forecastsMade: number
  /** Quotas that could not be read in the last tick, and why. */
  quotasFailed: readonly { quota: string; reason: string }[]
  /** Why the last tick was not done, or `null`. */
  skipped: string | null
}

export interface TickerDeps {
  client: ClickHouseClient
  /** As it holds now. */
  policy: () => Policy
  /** Most subjects over all quotas; of each, those are followed first that called lately. */
  subjectsMax: number
  fitting: Fitting
  /** Whose subjects are followed. */
  shard: Shard
  now: () => number
}

export interface Ticker {
  snapshot(): Snapshot
  /** Does one tick. Throws what the store throws; the snapshot then says why, and keeps the forecasts there are. */
  tick(): Promise<Snapshot>
}

interface State {
  followed: Map<string, Followed>
  /** What was learnt by subject, of each series that is followed. */
  learnt: Map<string, Learnt>
  /** How far the tables were seen; `null` before they ever were. */
  calls: Seen | null
  decisions: Seen | null
  kept: KeptMarks | null
  /** Under which the last forecasts were made. */
  policy: Policy | null
  budget: SubjectBudget
  sharedHours: SharedHours
  readOthers: ReadOthers
  snapshot: Snapshot
}

export const EMPTY_SNAPSHOT: Snapshot = {
  asOfMs: null,
  newestCallAtMs: null,
  forecasts: [],
  find: () => undefined,
  sharedOf: () => undefined,
  others: [],
  subjectsCut: 0,
  tickMs: 0,
  forecastsMade: 0,
  quotasFailed: [],
  skipped: null,
}

export function createTicker(deps: TickerDeps): Ticker {
  const state: State = {
    followed: new Map(),
    learnt: new Map(),
    calls: null,
    decisions: null,
    kept: null,
    policy: null,
    budget: { left: deps.subjectsMax },
    sharedHours: createSharedHours(deps.client),
    readOthers: createOthers(deps.client, deps.shard),
    snapshot: EMPTY_SNAPSHOT,
  }
  return {
    snapshot: () => state.snapshot,
    tick: async () => {
      try {
        state.snapshot = await runTick(deps, state)
        await keep(deps, state)
      } catch (error) {
        state.snapshot = { ...state.snapshot, skipped: messageOf(error) }
        throw error
      }
      return state.snapshot
    },
  }
}

async function runTick(deps: TickerDeps, state: State): Promise<Snapshot> {
  const startedAt = performance.now()
  const nowMs = deps.now()
  const { client } = deps
  const policy = deps.policy()
  follow(state, policy.quotas, deps.shard)
  state.kept ??= await readKept(client, nowMs)
  const { touched, seen: decisionsSeen } = await takeFreshDecisions(client, state, nowMs)
  const calls = await readFresh(client, 'calls', { seen: state.calls, nowMs })
  const news = { fresh: calls.fresh, decisionsSeen, touched }
  const quotasFailed = await readQuotas(deps, state, news, nowMs)
  state.calls = calls.seen
  const isPolicyNew = policy !== state.policy
  const making = { nowMs, touched, isPolicyNew, allowedOf: allowedBy(policy), fitting: deps.fitting }
  const forecastsMade = await makeForecasts(state.followed.values(), making)
  state.policy = policy
  const all = [...state.followed.values()]
  return {
    asOfMs: nowMs,
    newestCallAtMs: calls.seen.newestAtMs === 0 ? null : calls.seen.newestAtMs,
    find: (quota, subject) => state.followed.get(quota)?.forecasts.get(keyOfSubject(subject)),
    sharedOf: quota => {
      const series = state.followed.get(quota)?.series
      return series ? { peersOf: series.peersOf, delay: series.delay } : undefined
    },
    others: await state.readOthers(policy, nowMs),
    forecasts: all.flatMap(({ forecasts }) => [...forecasts.values()]),
    subjectsCut: all.reduce((sum, { series }) => sum + (series?.subjectsCut ?? 0), 0),
    tickMs: performance.now() - startedAt,
    forecastsMade,
    quotasFailed,
    skipped: null,
  }
}

/** A quota that was changed begins anew: its series may be another. What was learnt stays with the series. */
function follow(state: State, quotas: readonly Quota[], shard: Shard): void {
  const before = state.followed
  const learntBefore = state.learnt
  state.learnt = new Map()
  const learntOf = (quota: FollowedQuota) => {
    const key = seriesKeyOf(quota)
    const learnt = state.learnt.get(key) ?? learntBefore.get(key) ?? createLearnt()
    state.learnt.set(key, learnt)
    return learnt
  }
  const own = quotas.filter(isFollowed).filter(quota => quota.per.length > 0 || isInShard(shard, quota, []))
  state.followed = new Map(
    own.map(quota => {
      const known = before.get(quota.name)
      const learnt = learntOf(quota)
      if (known?.quota === quota) return [quota.name, known]
      return [quota.name, { quota, series: null, forecasts: createFollowedForecasts(quota), learnt }]
    }),
  )
  for (const [name, known] of before) if (state.followed.get(name) !== known) dropSeries(state, known)
}

/** Keys of subjects with something new, by quota. */
type Touched = Map<string, Set<string>>

/** What came since the last tick. */
interface News {
  fresh: Fresh | null
  decisionsSeen: Seen
  touched: Touched
}

/** Decisions are added up, so they are taken whole or not at all. */
async function takeFreshDecisions(
  client: ClickHouseClient,
  state: State,
  nowMs: number,
): Promise<{ touched: Touched; seen: Seen }> {
  const touched: Touched = new Map()
  const { seen, fresh } = await readFresh(client, 'decisions', { seen: state.decisions, nowMs })
  // What is there at the first look is read with each quota's series.
  if (fresh && state.decisions !== null) {
    const sums: DecisionSums[] = []
    const ask = { quota: null, fromMs: fresh.fromMs, condition: fresh.condition }
    await readDecisions(client, ask, one => sums.push(one))
    for (const one of sums) {
      const series = state.followed.get(one.quota)?.series
      const key = series && addQuotaDecision(series, one)
      if (key) touched.set(one.quota, (touched.get(one.quota) ?? new Set()).add(key))
    }
  }
  state.decisions = seen
  return { touched, seen }
}

/**
 * Brings every quota's series up to date: some at once where only what is new is read, one after the other where all is.
 * One that fails is read completely in the next tick. Throws when all fail.
 */
async function readQuotas(
  { client, shard }: TickerDeps,
  state: State,
  { fresh, decisionsSeen, touched }: News,
  nowMs: number,
): Promise<Snapshot['quotasFailed']> {
  const failed: { quota: string; reason: string }[] = []
  const read = async (quota: FollowedQuota, followed: Followed, readKeys: () => Promise<Iterable<string>>) => {
    try {
      touched.set(quota.name, new Set([...(touched.get(quota.name) ?? []), ...(await readKeys())]))
    } catch (error) {
      dropSeries(state, followed)
      failed.push({ quota: quota.name, reason: messageOf(error) })
    }
  }
  const following = [...state.followed.values()]
  const known = following.filter(({ series }) => series && !isLoadDue(series, nowMs))
  const toRefresh = await concernedOf(client, fresh, known)
  const toLoad = following.filter(({ series }) => !series || isLoadDue(series, nowMs))
  const refreshSome = async () => {
    for (let one = toRefresh.pop(); one && fresh; one = toRefresh.pop()) {
      const { quota, series } = one
      if (series) await read(quota, one, () => refreshQuotaSeries(client, series, fresh))
    }
  }
  await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, refreshSome))
  const keptBeside = await countKept(client, following, { toLoad, nowMs, shard })
  for (const one of toLoad) {
    dropSeries(state, one)
    const { left } = state.budget
    const kept = keptBeside(one)
    await read(one.quota, one, async () => {
      const { budget, sharedHours } = state
      one.series = await loadQuotaSeries(client, one.quota, { nowMs, budget, kept, decisionsSeen, shard, sharedHours })
      return one.series.subjects.keys()
    })
    // What a reading that failed was charged for is not followed.
    if (!one.series) state.budget.left = left
  }
  state.sharedHours.forget(nowMs - HOURS_KEPT_MS)
  const [first] = failed
  if (first && failed.length === following.length) throw new Error(first.reason)
  return failed
}

function dropSeries(state: State, followed: Followed): void {
  state.budget.left += followed.series?.subjects.size ?? 0
  followed.series = null
}

/** Keeps what should be scored later. */
async function keep({ client, subjectsMax }: TickerDeps, { followed, kept, snapshot }: State): Promise<void> {
  const { asOfMs } = snapshot
  if (!kept || asOfMs === null) return
  // What has no end cannot be scored at its end.
  const scored = [...followed.values()].filter(({ quota }) => isResetting(quota.window))
  await keepForecasts(client, kept, scored, asOfMs)
  kept.forgetEnded(asOfMs, KEPT_PER_SUBJECT_MAX * subjectsMax)
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
