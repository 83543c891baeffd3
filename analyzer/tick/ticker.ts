/**
 * The analyzer's heartbeat: what is new in the store is read, every subject whose forecast is due is forecast again,
 * some forecasts are kept, and all are published at once. Ticks never overlap; one that cannot be done says why.
 */
import type { ClickHouseClient } from '@clickhouse/client'
import { briefOf } from '../events.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { type DecisionSums, readDecisions } from '../usage/decisions.ts'
import { readFresh, type Seen } from '../usage/fresh.ts'
import { keyOfSubject, type SubjectValues } from '../usage/selection.ts'
import { isResetting } from '../usage/window.ts'
import { allowedBy } from './allowed.ts'
import type { Fitting } from './fitting.ts'
import { createFollowedForecasts } from './followed-forecasts.ts'
import { type FollowedQuota, isFollowed, seriesKeyOf } from './followed-quota.ts'
import { type KeptMarks, keepForecasts, readKept } from './kept-forecasts.ts'
import { createLearnt, type Learnt } from './learnt.ts'
import { makeForecasts } from './making.ts'
import { addQuotaDecision, type QuotaSeries } from './quota-series.ts'
import { dropSeries, heldFromMs, type QuotaFailure, type Reading, readQuotas, type Touched } from './reading.ts'
import { isInShard, type Shard } from './shard.ts'
import { createSharedHours } from './shared-hours.ts'
import { createOthers, type ReadOthers } from './stored-forecasts.ts'
import type { SubjectForecast } from './subject-forecast.ts'

/** What was kept of windows that have ended is forgotten when there is more than so many times the subjects followed. */
const KEPT_PER_SUBJECT_MAX = 2
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
  /** Quotas that could not be read when that was tried last, and why. */
  quotasFailed: readonly QuotaFailure[]
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
  /** Breaks a tick off between subjects: its process stops, and has some seconds for it. */
  signal?: AbortSignal
}

export interface Ticker {
  snapshot(): Snapshot
  /** Does one tick. Throws what the store throws; the snapshot then says why, and keeps the forecasts there are. */
  tick(): Promise<Snapshot>
}

interface State extends Reading {
  /** What was learnt by subject, of each series that is followed. */
  learnt: Map<string, Learnt>
  /** How far the tables were seen; `null` before they ever were. */
  calls: Seen | null
  decisions: Seen | null
  kept: KeptMarks | null
  /** Under which the last forecasts were made. */
  policy: Policy | null
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
        state.snapshot = { ...state.snapshot, skipped: skippedFor(error) }
        throw error
      }
      return state.snapshot
    },
  }
}

async function runTick(deps: TickerDeps, state: State): Promise<Snapshot> {
  const startedAt = performance.now()
  const nowMs = deps.now()
  const { client, fitting, signal } = deps
  const policy = deps.policy()
  follow(state, policy.quotas, deps.shard)
  state.kept ??= await readKept(client, nowMs)
  const { touched, seen: decisionsSeen } = await takeFreshDecisions(client, state, nowMs)
  const calls = await readFresh(client, 'calls', { seen: state.calls, nowMs, heldFromMs: heldFromMs(state, nowMs) })
  const news = { fresh: calls.fresh, decisionsSeen, touched }
  const quotasFailed = await readQuotas(deps, state, news, nowMs)
  state.calls = calls.seen
  const isPolicyNew = policy !== state.policy
  const making = { nowMs, touched, isPolicyNew, allowedOf: allowedBy(policy), fitting, signal }
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
      return [quota.name, { quota, series: null, forecasts: createFollowedForecasts(quota), learnt, failing: null }]
    }),
  )
  for (const [name, known] of before) if (state.followed.get(name) !== known) dropSeries(state, known)
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

/** Keeps what should be scored later. */
async function keep({ client, subjectsMax }: TickerDeps, { followed, kept, snapshot }: State): Promise<void> {
  const { asOfMs } = snapshot
  if (!kept || asOfMs === null) return
  // What has no end cannot be scored at its end.
  const scored = [...followed.values()].filter(({ quota }) => isResetting(quota.window))
  await keepForecasts(client, kept, scored, asOfMs)
  kept.forgetEnded(asOfMs, KEPT_PER_SUBJECT_MAX * subjectsMax)
}

/** Of the store's errors, what they mean to whoever reads them. */
function skippedFor(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isMissing = 'type' in error && ['UNKNOWN_DATABASE', 'UNKNOWN_TABLE'].includes(`${error.type}`)
  return isMissing ? 'the tables are not there yet: the collector makes them' : briefOf(error.message)
}
