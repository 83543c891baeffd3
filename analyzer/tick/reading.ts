/** What a tick reads of the quotas that are followed, and what becomes of one that cannot be read. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Fresh, Seen } from '../usage/fresh.ts'
import { concernedOf, silentOf } from './concerned.ts'
import { countedWindow, type FollowedQuota } from './followed-quota.ts'
import type { Failing, Followed } from './making.ts'
import { countKept } from './places.ts'
import { isLoadDue, loadQuotaSeries, refreshQuotaSeries, type SubjectBudget } from './quota-series.ts'
import type { Shard } from './shard.ts'
import { hoursFromMs, type SharedHours } from './shared-hours.ts'

/** Quotas that are read from the store at once. */
const QUERIES_AT_ONCE = 4
/** Hours that no quota asked for in its last complete reading are forgotten. */
const HOURS_KEPT_MS = 2 * 3_600_000
/** What fails twice may be too much for the store: it is tried again after so long, then after twice as long, and so on. */
const AGAIN_MS_MIN = 10_000
const AGAIN_MS_MAX = 300_000

/** A quota that cannot be read, and why. */
export interface QuotaFailure {
  quota: string
  reason: string
}

export interface Reading {
  followed: Map<string, Followed>
  budget: SubjectBudget
  sharedHours: SharedHours
}

/** Keys of subjects with something new, by quota. */
export type Touched = Map<string, Set<string>>

/** What came since the last tick. */
interface News {
  fresh: Fresh | null
  decisionsSeen: Seen
  touched: Touched
}

/** Calls that began before are in no series and in no window: a gateway whose clock is wrong may send them all the time. */
export const heldFromMs = ({ followed }: Pick<Reading, 'followed'>, nowMs: number): number =>
  Math.min(hoursFromMs(nowMs), ...Array.from(followed.values(), ({ quota }) => countedWindow(quota, nowMs).startMs))

/**
 * Brings every quota's series up to date: some at once where only what is new is read, one after the other where all is.
 * One that fails is read completely in the next tick, and later each time that it fails again. Answers those that cannot
 * be read; throws when that is all of them.
 */
export async function readQuotas(
  { client, shard, signal }: { client: ClickHouseClient; shard: Shard; signal?: AbortSignal },
  state: Reading,
  { fresh, decisionsSeen, touched }: News,
  nowMs: number,
): Promise<QuotaFailure[]> {
  const following = [...state.followed.values()]
  const waiting = following.filter(
    ({ failing }) => failing !== null && failing.atMs <= nowMs && nowMs < failing.againAtMs,
  )
  const failed = waiting.map(({ quota, failing }) => ({ quota: quota.name, reason: failing?.reason ?? '' }))
  const read = async (quota: FollowedQuota, followed: Followed, readKeys: () => Promise<Iterable<string>>) => {
    try {
      touched.set(quota.name, new Set([...(touched.get(quota.name) ?? []), ...(await readKeys())]))
      followed.failing = null
    } catch (error) {
      dropSeries(state, followed)
      const reason = error instanceof Error ? error.message : String(error)
      followed.failing = failedAgain(followed.failing, reason, nowMs)
      failed.push({ quota: quota.name, reason })
    }
  }
  const known = following.filter(({ series }) => series && !isLoadDue(series, nowMs))
  const toRefresh = await concernedOf(client, fresh, known)
  const toLoad = following.filter(one => !waiting.includes(one) && (!one.series || isLoadDue(one.series, nowMs)))
  const refreshSome = async () => {
    for (let one = toRefresh.pop(); one && fresh; one = toRefresh.pop()) {
      const { quota, series } = one
      if (series) await read(quota, one, () => refreshQuotaSeries(client, series, fresh))
    }
  }
  await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, refreshSome))
  const silent = await silentOf(client, toLoad)
  const heard = toLoad.filter(one => !silent.has(one))
  const keptBeside = await countKept(client, following, { toLoad: heard, nowMs, shard })
  for (const one of toLoad) {
    signal?.throwIfAborted()
    dropSeries(state, one)
    const { left } = state.budget
    const kept = keptBeside(one)
    await read(one.quota, one, async () => {
      const { budget, sharedHours } = state
      const ask = { nowMs, budget, kept, decisionsSeen, shard, sharedHours, isSilent: silent.has(one) }
      one.series = await loadQuotaSeries(client, one.quota, ask)
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

function failedAgain(before: Failing | null, reason: string, nowMs: number): Failing {
  const times = (before?.times ?? 0) + 1
  const waitMs = times === 1 ? 0 : Math.min(AGAIN_MS_MAX, AGAIN_MS_MIN * 2 ** (times - 2))
  return { times, reason, atMs: nowMs, againAtMs: nowMs + waitMs }
}

export function dropSeries(state: Reading, followed: Followed): void {
  state.budget.left += followed.series?.subjects.size ?? 0
  followed.series = null
}
