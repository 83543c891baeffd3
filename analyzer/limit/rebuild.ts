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
import type { RecordedQuery } from '../usage/recorded.ts'
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
  let lostAtMs = Number.POSITIVE_INFINITY
  /** Answers how many buckets it has raised; `null` where it is stopped before it is done. */
  const rebuild = async () => {
    await deps.handOn()
    let buckets = 0
    for (const quota of deps.policy().quotas) {
      if (signal.aborted) return null
      const floors = await floorsOf(quota, deps, { countedSinceMs, lostAtMs, nowMs: store.nowMs() })
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
      const buckets = await rebuild()
      if (buckets === null) return false
      checksRebuilt(logger, buckets)
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
        lostAtMs = store.nowMs()
        countedSinceMs = wasJoined ? Number.POSITIVE_INFINITY : beginOfMinute(lostAtMs)
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
  /** When we saw that they are new, or that something was lost. */
  readonly lostAtMs: number
  readonly nowMs: number
}

/** What the buckets of a quota hold at least. What drains, and what is held, is not known afterwards. */
async function floorsOf(quota: Quota, deps: RebuilderDeps, when: When): Promise<Spend[]> {
  const { window, unit, counts, series } = quota
  const { nowMs } = when
  if (unit === 'concurrent_requests' || counts === 'records') return []
  if (!isResetting(window) && window.kind !== 'sliding') return []
  // What of a minute's sum was asked in it, nobody knows.
  if (lengthAt(window, nowMs) < MINUTE_MS) return []
  const within = { ...when, resets: deps.policy().resets(quota, nowMs), untilMs: untilMsOf(window, counts, when) }
  const asked = await checksOf(quota, window, deps, within)
  const recorded = counts === 'checks' ? null : await recordsOf(quota, unit, window, deps, within)
  const amounts = new Map<string, { subject: string; startMs: number; amount: number }>()
  for (const [key, { subject, startMs, allowed, spent }] of asked) {
    const bucketKey = keyAt(startMs, subject)
    const used = recorded?.used.get(bucketKey) ?? 0
    const known = amounts.get(bucketKey) ?? { subject, startMs, amount: used }
    // Nothing says which check became which record, but their numbers tell how many did not.
    known.amount += recorded === null ? spent : spent * unrecordedShare(allowed, recorded.calls.get(key) ?? 0)
    amounts.set(bucketKey, known)
  }
  return Array.from(amounts.values(), ({ subject, startMs, amount }) => {
    const sinceMs = within.resets.get(subject)?.sinceMs ?? 0
    return { series, subject, startMs, endMs: bucketAt(window, startMs).endMs, sinceMs, amount, drain: null }
  })
}

/** Sums of minutes whose middle is later are left out: what they tell is counted already, or may be. */
function untilMsOf(window: CountedWindow, counts: Quota['counts'], { countedSinceMs, lostAtMs }: When): number {
  // Of checks alone nothing is on two ways.
  const untilMs = counts === 'checks' ? Number.POSITIVE_INFINITY : countedSinceMs
  if (isResetting(window)) return untilMs
  // What came after the loss is counted in its own slots: one that is raised to the sum of a minute has to hold them.
  const minuteMs = beginOfMinute(lostAtMs)
  const nextMs = minuteMs + MINUTE_MS
  const isInOneSlot = bucketAt(window, lostAtMs).startMs === bucketAt(window, nextMs - 1).startMs
  return Math.min(untilMs, isInOneSlot ? nextMs : minuteMs)
}

interface Checks {
  readonly subject: string
  /** Of the bucket. */
  readonly startMs: number
  allowed: number
  spent: number
}

const keyAt = (startMs: number, subject: string) => `${startMs} ${subject}`
/** The begin of the oldest bucket that counts now. */
const firstStartMs = (window: CountedWindow, nowMs: number) =>
  bucketAt(window, window.kind === 'sliding' ? nowMs - window.lengthMs : nowMs).startMs

interface Within extends When {
  readonly resets: ReturnType<Policy['resets']>
  readonly untilMs: number
}

/** By window and subject; of what slides by minute and subject: checks of one slot may have their records in another. */
async function checksOf(
  quota: Quota,
  window: CountedWindow,
  { readDecisions }: RebuilderDeps,
  { resets, untilMs, lostAtMs, nowMs }: Within,
) {
  const found = new Map<string, Checks>()
  const ask = { quota: quota.name, fromMs: firstStartMs(window, nowMs), condition: { sql: '1', params: {} } }
  const isSliding = window.kind === 'sliding'
  const latestMs = isSliding ? lostAtMs : nowMs
  await readDecisions(ask, sums => {
    const subject = keyOf(quota, JSON.parse(sums.subject))
    const isSaid = sums.allowed + sums.spent > 0 && sums.middleMs <= untilMs
    if (subject === null || sums.unit !== quota.unit || !isSaid) return
    // What of a reset's own minute was asked after it, nobody knows.
    if (sums.middleMs - MINUTE_MS / 2 < (resets.get(subject)?.sinceMs ?? 0)) return
    // A minute over the edge of two slots is counted in the one that counts longer: in the same one in each pass.
    const { startMs } = bucketAt(window, Math.min(latestMs, sums.middleMs + MINUTE_MS / 2 - 1))
    const key = keyAt(isSliding ? beginOfMinute(sums.middleMs) : startMs, subject)
    const known = found.get(key) ?? { subject, startMs, allowed: 0, spent: 0 }
    known.allowed += sums.allowed
    known.spent += sums.spent
    found.set(key, known)
  })
  return found
}

/** Units by bucket and subject, and calls as `checksOf` has checks. */
async function recordsOf(
  quota: Quota,
  unit: Unit,
  window: CountedWindow,
  { recorded }: RebuilderDeps,
  { resets, untilMs, nowMs }: Within,
): Promise<{ calls: ReadonlyMap<string, number>; used: ReadonlyMap<string, number> }> {
  const startMs = firstStartMs(window, nowMs)
  const isSliding = window.kind === 'sliding'
  const stepMs = isSliding ? window.slotMs : bucketAt(window, nowMs).endMs - startMs
  const columns = quota.per.map(({ field }) => DIMENSION_COLUMNS[field])
  const range = { startMs, endMs: Math.min(nowMs + stepMs, untilMs), stepMs, ranges: [], isWhole: true }
  const query = { ...range, match: matchSql(quota), columns, resets: [...resets.values()] }
  const read = async (counted: Pick<RecordedQuery, 'unit'> & Partial<RecordedQuery>) => {
    const found = new Map<string, number>()
    for (const cost of await recorded.costs({ ...query, ...counted })) {
      const key = keyAt(cost.startMs, subjectKey(cost.subject))
      found.set(key, (found.get(key) ?? 0) + cost.amount)
    }
    return found
  }
  // In this order: a record that comes in between makes less to raise, and not more.
  const used = await read({ unit })
  const byMinute = isSliding ? { startMs: beginOfMinute(startMs), stepMs: MINUTE_MS } : {}
  const calls = await read({ unit: 'requests', isOfChecks: true, ...byMinute })
  return { calls, used }
}
