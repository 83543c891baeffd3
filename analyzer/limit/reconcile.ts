/**
 * Compares, now and then, what the settler applied with what the store holds, up to the same positions of the log, and
 * corrects the difference. A window is compared whole the first time in each life of the limiter and of the calls that its
 * quota covers, which is also how a quota that is new, or a limit store that was lost, learns what was used; later on only
 * what came since. The store may be away for as long as it likes: the limiter decides with what it has.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { CallLog, LogPartition } from '../../collector/log/call-log.ts'
import { reconcilingSkipped, usageReconciled } from '../events.ts'
import type { Policy } from '../policy/policy.ts'
import { DIMENSION_COLUMNS, matchSql, type Quota } from '../policy/quota.ts'
import { subjectKey } from '../policy/subject.ts'
import type { RecordedCost, RecordedQuery, RecordedRange } from '../usage/recorded.ts'
import { bucketAt, isResetting, type SlidingWindow, windowAt } from '../usage/window.ts'
import type { AppliedPosition, LimitStore } from './limit-store.ts'
import type { ComparedWindow, Comparison, Corrections, WindowTruth } from './truths.ts'
import { createTurns, type Turns } from './turns.ts'

/** Queries of one pass; the others have their turn in the next ones. */
const QUERIES_MAX = 200
/** An insert that is under way when its last row is seen has ended after this. */
const INSERT_MS_MAX = 2_000
/** When a comparison that could not be made is tried again. */
const RETRY_MS = 10_000
/** How often it is looked whether counters were lost. */
const LOOK_MS = 500
/** A window that ends sooner is not worth a query. */
const REMAINING_MS_MIN = 1_000

/** What the store says. Both reject when it does not answer. */
export interface RecordedCalls {
  costs(query: RecordedQuery): Promise<RecordedCost[]>
  isUpTo(position: { logId: string; partition: number; offset: number }): Promise<boolean>
  /** Rows that arrived before are gone. */
  keptSinceMs(nowMs: number): number
}

export interface ReconcilerDeps {
  log: CallLog
  store: LimitStore
  policy: () => Policy
  recorded: RecordedCalls
  everyMs: number
  logger: Logger
  /** How long an insert may take after its last row was seen; only tests need another. */
  insertMsMax?: number
}

export interface Reconciler {
  /** One comparison. Answers the reason when it could not be made, else what was corrected. */
  reconcile(): Promise<Corrections | string>
  /** When usage was compared last, Unix milliseconds, and why not since; null for never, and for no reason. */
  status(): { comparedAtMs: number | null; skipped: string | null }
  close(): Promise<void>
}

/** Begins with a comparison at once. */
export function startReconciler(deps: ReconcilerDeps): Reconciler {
  const { logger, store } = deps
  const turns = createTurns()
  const stopping = new AbortController()
  let comparedAtMs: number | null = null
  let skipped: string | null = null

  const reconcile = async (): Promise<Corrections | string> => {
    const outcome = await compare(deps, turns, stopping.signal).catch(messageOf)
    if (typeof outcome === 'string') {
      reconcilingSkipped(logger, outcome, outcome !== skipped)
      skipped = outcome
    } else {
      usageReconciled(logger, outcome)
      comparedAtMs = store.nowMs()
      skipped = null
    }
    return outcome
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      const losses = store.losses()
      const outcome = await reconcile()
      const waitMs = typeof outcome === 'string' ? Math.min(RETRY_MS, deps.everyMs) : deps.everyMs
      const untilMs = performance.now() + waitMs
      // Counters that were lost do not wait.
      while (!stopping.signal.aborted && store.losses() === losses && performance.now() < untilMs) {
        await pause(Math.min(LOOK_MS, waitMs), stopping.signal)
      }
    }
  }
  const running = run()
  return {
    reconcile,
    status: () => ({ comparedAtMs, skipped }),
    async close() {
      stopping.abort()
      await running
    },
  }
}

async function compare(
  deps: ReconcilerDeps,
  turns: Turns,
  signal: AbortSignal,
): Promise<(Corrections & { windows: number }) | string> {
  const { store, recorded, insertMsMax = INSERT_MS_MAX } = deps
  const partitions = await deps.log.partitions('calls')
  const comparison = await store.beginComparison()
  const behind = await missingIn(recorded, partitions, comparison.cut)
  if (behind !== null) return behind
  await pause(insertMsMax, signal)
  if (signal.aborted) return 'stopped'
  const nowMs = store.nowMs()
  const { quotas } = deps.policy()
  turns.keepOnly(quotas)
  const wanted = windowsToCompare(quotas, comparison, nowMs)
  const chosen = turns.inOrder(wanted).slice(0, QUERIES_MAX)
  const cut = ofLiving(comparison.cut, partitions)
  const truths: WindowTruth[] = []
  for (const one of chosen) {
    if (signal.aborted) return 'stopped'
    const isFirst = !turns.isKnown(one.quota)
    truths.push(...(await truthsOf({ ...one, cut, isFirst, deps, nowMs })))
  }
  const corrections = await store.correct(comparison.id, truths)
  turns.taken(chosen.map(({ quota }) => quota))
  return { ...corrections, windows: truths.length }
}

/** Why the store cannot be compared with yet; null when it holds all that was applied. */
async function missingIn(
  recorded: RecordedCalls,
  partitions: Awaited<ReturnType<CallLog['partitions']>>,
  cut: readonly AppliedPosition[],
): Promise<string | null> {
  for (const { logId, partition, appliedOffset } of cut) {
    // What a log that is gone has left unwritten will never be there, and what a log has dropped was written before.
    const living = partitions.find(one => one.logId === logId && one.partition === partition)
    if (living === undefined || appliedOffset < living.beginOffset) continue
    if (!(await recorded.isUpTo({ logId, partition, offset: appliedOffset }))) {
      return 'the store does not hold yet what was applied'
    }
  }
  return null
}

/**
 * The positions in the log as it is. Of a partition of which nothing was applied, what the store holds is yet to come;
 * of a log that is gone nothing is: all that the store holds of it counts.
 */
function ofLiving(cut: readonly AppliedPosition[], partitions: readonly LogPartition[]): AppliedPosition[] {
  return partitions.map(({ logId, partition }) => {
    const applied = cut.find(one => one.logId === logId && one.partition === partition)
    return applied ?? { logId, partition, nextOffset: 0, appliedOffset: -1 }
  })
}

/** Windows of one quota that one query can answer for. */
interface Wanted {
  readonly quota: Quota
  /** The oldest first; all of them compared up to the same positions. */
  readonly windows: readonly ComparedWindow[]
  /** How long after its begin a window takes calls in. */
  readonly coveredMs: number
}

/** Open windows of the quotas that records spend, and whose use does not drain. */
function windowsToCompare(quotas: readonly Quota[], comparison: Comparison, nowMs: number): Wanted[] {
  const bySeries = new Map<string, ComparedWindow[]>()
  for (const window of comparison.windows) {
    bySeries.set(window.series, [...(bySeries.get(window.series) ?? []), window])
  }
  const wanted: Wanted[] = []
  for (const quota of quotas) {
    const { window: spec, series, counts } = quota
    if (counts === 'checks') continue
    const known = bySeries.get(series) ?? []
    if (spec.kind === 'sliding') wanted.push(...slotsToCompare(quota, spec, known, nowMs))
    if (!isResetting(spec)) continue
    const current = { series, ...windowAt(spec, nowMs), comparedTo: null }
    const isNew = !known.some(({ startMs }) => startMs === current.startMs)
    for (const window of isNew ? [...known, current] : known) {
      if (window.endMs <= nowMs + REMAINING_MS_MIN) continue
      wanted.push({ quota, windows: [window], coveredMs: window.endMs - window.startMs })
    }
  }
  return wanted
}

/** The slots that count now, together with those that were compared up to the same positions. */
function slotsToCompare(
  quota: Quota,
  spec: SlidingWindow,
  known: readonly ComparedWindow[],
  nowMs: number,
): readonly Wanted[] {
  const { slotMs, lengthMs } = spec
  const byPositions = new Map<string, ComparedWindow[]>()
  const first = bucketAt(spec, nowMs - lengthMs + REMAINING_MS_MIN)
  for (let { startMs } = first; startMs <= nowMs; startMs += slotMs) {
    const endMs = startMs + slotMs + lengthMs
    const window = known.find(one => one.startMs === startMs)
    const slot = window ?? { series: quota.series, startMs, endMs, comparedTo: null }
    const key = JSON.stringify(slot.comparedTo)
    byPositions.set(key, [...(byPositions.get(key) ?? []), slot])
  }
  return [...byPositions.values()].map(windows => ({ quota, windows, coveredMs: slotMs }))
}

async function truthsOf(
  question: Wanted & {
    cut: readonly AppliedPosition[]
    /** This life of the limiter has not compared the quota yet, or not since it covers these calls. */
    isFirst: boolean
    deps: ReconcilerDeps
    nowMs: number
  },
): Promise<WindowTruth[]> {
  const { quota, windows, coveredMs, cut, isFirst, deps, nowMs } = question
  const { series, unit, counts } = quota
  const [first] = windows
  const last = windows.at(-1)
  if (first === undefined || last === undefined || unit === 'concurrent_requests') return []
  const { recorded, policy } = deps
  const resets = policy().resets(quota, nowMs)
  const since = isFirst ? null : rangesSince(first.comparedTo, cut)
  const isWhole = since === null
  const costs = await recorded.costs({
    match: matchSql(quota),
    columns: quota.per.map(({ field }) => DIMENSION_COLUMNS[field]),
    unit,
    startMs: first.startMs,
    endMs: last.startMs + coveredMs,
    stepMs: coveredMs,
    ranges: since ?? cut.map(position => toRange(position, -1)),
    ...{ isWhole, resets: [...resets.values()] },
  })
  const byWindow = Map.groupBy(costs, ({ startMs }) => startMs)
  return windows.map(({ startMs, endMs }) => ({
    ...{ series, startMs, endMs, isWhole, resets },
    mayLower: isWhole && startMs >= recorded.keptSinceMs(nowMs),
    isRecordsOnly: counts === 'records',
    costs: (byWindow.get(startMs) ?? []).map(one => ({ ...one, subject: subjectKey(one.subject) })),
  }))
}

/** What came since the window was compared; null when it has to be compared whole. */
function rangesSince(
  comparedTo: readonly AppliedPosition[] | null,
  cut: readonly AppliedPosition[],
): RecordedRange[] | null {
  if (comparedTo === null) return null
  const ranges: RecordedRange[] = []
  for (const position of cut) {
    const before = comparedTo.find(
      ({ logId, partition }) => logId === position.logId && partition === position.partition,
    )
    if (before === undefined) return null
    ranges.push(toRange(position, before.appliedOffset))
  }
  return ranges
}

const toRange = ({ logId, partition, appliedOffset }: AppliedPosition, afterOffset: number): RecordedRange => ({
  logId,
  partition,
  afterOffset,
  toOffset: appliedOffset,
})

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Ends early, without a word, when the signal comes. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
