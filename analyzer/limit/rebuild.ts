/**
 * After counters were lost: what call records spent comes back by comparing (reconcile.ts); what checks spent, of which
 * no record speaks, comes back here, from the sums of decisions that the store holds. A sum that is on its way is found
 * by a later pass; a bucket is only ever raised, to what is surely known.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { checksNotRebuilt, checksRebuilt } from '../events.ts'
import type { Policy } from '../policy/policy.ts'
import { DIMENSION_COLUMNS, matchSql, type Quota } from '../policy/quota.ts'
import { keyOf, subjectKey } from '../policy/subject.ts'
import type { DecisionSums, DecisionsAsk } from '../usage/decisions.ts'
import { unrecordedShare } from '../usage/series.ts'
import type { Unit } from '../usage/units.ts'
import { bucketAt, isResetting, lengthAt, type ResettingWindow, type SlidingWindow } from '../usage/window.ts'
import type { LimitStore, Spend } from './limit-store.ts'
import type { RecordedCalls } from './reconcile.ts'

/** How often it is looked whether counters were lost, and how long a pass that failed waits. */
const LOOK_MS = 500
const RETRY_MS = 10_000
/** After a loss. Limiters hand their sums on every ten seconds, and the writer needs a moment. */
const PASSES_AFTER_MS = [0, 15_000, 30_000]
const MINUTE_MS = 60_000
/** Buckets that are raised between two decisions. */
const RAISED_AT_ONCE_MAX = 200

export interface RebuilderDeps {
  store: LimitStore
  policy: () => Policy
  recorded: Pick<RecordedCalls, 'costs'>
  readDecisions: (ask: DecisionsAsk, handle: (sums: DecisionSums) => void) => Promise<void>
  /** Has the sums of this limiter's decisions written to the log. */
  handOn: () => Promise<void>
  logger: Logger
  /** When after a loss a pass begins; only tests need others. */
  passesAfterMs?: readonly number[]
}

export interface Rebuilder {
  close(): Promise<void>
}

/** Watches for losses. */
export function startRebuilder(deps: RebuilderDeps): Rebuilder {
  const { store, logger, passesAfterMs = PASSES_AFTER_MS } = deps
  const stopping = new AbortController()
  const { signal } = stopping

  let countedSinceMs = Number.POSITIVE_INFINITY
  const rebuild = async () => {
    await deps.handOn()
    let buckets = 0
    for (const quota of deps.policy().quotas) {
      const floors = await floorsOf(quota, deps, { countedSinceMs, nowMs: store.nowMs() })
      for (let from = 0; from < floors.length; from += RAISED_AT_ONCE_MAX) {
        await store.raise(floors.slice(from, from + RAISED_AT_ONCE_MAX))
        await setImmediate()
      }
      buckets += floors.length
    }
    return buckets
  }
  let lastFailure = ''
  const tryToRebuild = async (isWhole: () => boolean): Promise<boolean> => {
    try {
      checksRebuilt(logger, await rebuild())
      if (isWhole()) await store.rebuilt()
      lastFailure = ''
      return true
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      checksNotRebuilt(logger, reason, reason !== lastFailure)
      lastFailure = reason
      return false
    }
  }
  const run = async () => {
    let losses = 0
    let wasJoined = false
    let passesDueMs: number[] = []
    for (; !signal.aborted; await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined)) {
      const nowMs = performance.now()
      if (store.losses() > losses) {
        losses = store.losses()
        passesDueMs = passesAfterMs.map(afterMs => nowMs + afterMs)
        countedSinceMs = wasJoined ? Number.POSITIVE_INFINITY : beginOfMinute(store.nowMs())
      }
      wasJoined ||= store.isJoined()
      const [dueMs = Number.POSITIVE_INFINITY, ...later] = passesDueMs
      if (dueMs > nowMs) continue
      const isWhole = () => later.length === 0 && store.losses() === losses
      passesDueMs = (await tryToRebuild(isWhole)) ? later : [nowMs + RETRY_MS, ...later]
    }
  }
  const running = run()
  return {
    async close() {
      stopping.abort()
      await running
    },
  }
}

const beginOfMinute = (atMs: number) => atMs - (atMs % MINUTE_MS)

type CountedWindow = ResettingWindow | SlidingWindow

interface When {
  /**
   * Begin of the minute in which we came to counters that were new. They have counted all since, and more surely than calls
   * under way can be told from sums and records, which are on their way, too. `Infinity` for a loss that we saw.
   */
  readonly countedSinceMs: number
  readonly nowMs: number
}

/** What the buckets of a quota hold at least. What drains, and what is held, is not known afterwards. */
async function floorsOf(quota: Quota, deps: RebuilderDeps, { countedSinceMs, nowMs }: When): Promise<Spend[]> {
  const { window, unit, counts, series } = quota
  if (unit === 'concurrent_requests' || counts === 'records') return []
  if (!isResetting(window) && window.kind !== 'sliding') return []
  // What of a minute's sum was asked in it, nobody knows.
  if (lengthAt(window, nowMs) < MINUTE_MS) return []
  // Of checks alone nothing is on two ways.
  const untilMs = counts === 'checks' ? Number.POSITIVE_INFINITY : countedSinceMs
  const within = { resets: deps.policy().resets(quota, nowMs), untilMs, nowMs }
  const asked = await checksOf(quota, window, deps, within)
  const recorded = counts === 'checks' ? null : await recordsOf(quota, unit, window, deps, within)
  return [...asked].flatMap(([key, { subject, startMs, allowed, spent }]) => {
    const { calls, used } = recorded?.get(key) ?? { calls: 0, used: 0 }
    // Nothing says which check became which record, but their numbers tell how many did not.
    const amount = recorded === null ? spent : used + spent * unrecordedShare(allowed, calls)
    const sinceMs = within.resets.get(subject)?.sinceMs ?? 0
    return { series, subject, startMs, endMs: bucketAt(window, startMs).endMs, sinceMs, amount, drain: null }
  })
}

interface Checks {
  readonly subject: string
  readonly startMs: number
  allowed: number
  spent: number
}

const keyAt = (startMs: number, subject: string) => `${startMs} ${subject}`
/** The begin of the oldest bucket that counts now. */
const firstStartMs = (window: CountedWindow, nowMs: number) =>
  bucketAt(window, window.kind === 'sliding' ? nowMs - window.lengthMs : nowMs).startMs

interface Within {
  readonly resets: ReturnType<Policy['resets']>
  /** What began later is left out. */
  readonly untilMs: number
  readonly nowMs: number
}

async function checksOf(
  quota: Quota,
  window: CountedWindow,
  { readDecisions }: RebuilderDeps,
  { resets, untilMs, nowMs }: Within,
) {
  const found = new Map<string, Checks>()
  const ask = { quota: quota.name, fromMs: firstStartMs(window, nowMs), condition: { sql: '1', params: {} } }
  await readDecisions(ask, sums => {
    const subject = keyOf(quota, JSON.parse(sums.subject))
    const isSaid = sums.allowed + sums.spent > 0 && sums.middleMs <= untilMs
    if (subject === null || sums.unit !== quota.unit || !isSaid) return
    // What of a reset's own minute was asked after it, nobody knows.
    if (sums.middleMs - MINUTE_MS / 2 < (resets.get(subject)?.sinceMs ?? 0)) return
    // A minute over the edge of two slots is counted in the one that counts longer.
    const { startMs } = bucketAt(window, Math.min(nowMs, sums.middleMs + MINUTE_MS / 2 - 1))
    const key = keyAt(startMs, subject)
    const known = found.get(key) ?? { subject, startMs, allowed: 0, spent: 0 }
    known.allowed += sums.allowed
    known.spent += sums.spent
    found.set(key, known)
  })
  return found
}

async function recordsOf(
  quota: Quota,
  unit: Unit,
  window: CountedWindow,
  { recorded }: RebuilderDeps,
  { resets, untilMs, nowMs }: Within,
): Promise<Map<string, { calls: number; used: number }>> {
  const found = new Map<string, { calls: number; used: number }>()
  const startMs = firstStartMs(window, nowMs)
  const stepMs = window.kind === 'sliding' ? window.slotMs : bucketAt(window, nowMs).endMs - startMs
  const columns = quota.per.map(({ field }) => DIMENSION_COLUMNS[field])
  const range = { startMs, endMs: Math.min(nowMs + stepMs, untilMs), stepMs, ranges: [], isWhole: true }
  const query = { ...range, match: matchSql(quota), columns, resets: [...resets.values()] }
  const add = async (name: 'calls' | 'used', counted: { unit: Unit; isOfChecks?: boolean }) => {
    for (const cost of await recorded.costs({ ...query, ...counted })) {
      const key = keyAt(cost.startMs, subjectKey(cost.subject))
      const known = found.get(key) ?? { calls: 0, used: 0 }
      known[name] += cost.amount
      found.set(key, known)
    }
  }
  // In this order: a record that comes in between makes less to raise, and not more.
  await add('used', { unit })
  await add('calls', { unit: 'requests', isOfChecks: true })
  return found
}
