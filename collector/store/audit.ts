/**
 * Compares the log with the store, entry by entry, and the projections with the rows they sum: the promise that every
 * accepted call is counted once is not only made but looked after. It reads, and reports; it corrects nothing.
 */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { storeAudited } from '../events.ts'
import { type CallLog, LOG_TOPICS, type LogPartition } from '../log/call-log.ts'
import { auditProjections } from './audit-projections.ts'
import { auditChunk, findDoubledIds, findRowsBeyond } from './audit-rows.ts'
import type { Store } from './open.ts'
import { CALLS_RETENTION_DAYS } from './tables.ts'

/** Entries of one partition that an audit looks at, the newest ones: a minute's work, an hour of 280 calls a second. */
const ENTRIES_MAX = 1_000_000
const CHUNK_ENTRIES = 5_000
/** Differences that are described; all are counted. */
const DESCRIBED_MAX = 100
/** Entries that old may have left the store since we looked at the log. */
const RETENTION_SLACK_MS = 3_600_000

/**
 * - `lost`: an entry of the log that is nowhere in the store
 * - `doubled`: an id, or a position, that is there more than once
 * - `misplaced`: a row whose position holds another entry, or none
 * - `projection`: a projection and its rows disagree
 */
const DIFFERENCE_KINDS = ['lost', 'doubled', 'misplaced', 'projection'] as const
type DifferenceKind = (typeof DIFFERENCE_KINDS)[number]

const StoreDifference = Type.Object(
  {
    kind: Type.Enum(DIFFERENCE_KINDS),
    topic: Type.Enum(LOG_TOPICS),
    partition: Type.Union([Type.Integer(), Type.Null()]),
    offset: Type.Union([Type.Integer(), Type.Null()]),
    id: Type.Union([Type.String(), Type.Null()], { description: 'Of the call, or of the sums of decisions.' }),
    message: Type.String(),
  },
  { additionalProperties: false },
)
type StoreDifference = Static<typeof StoreDifference>

const AuditedPartition = Type.Object(
  {
    topic: Type.Enum(LOG_TOPICS),
    partition: Type.Integer(),
    logId: Type.String(),
    fromOffset: Type.Integer({ description: 'First position that was looked at.' }),
    toOffset: Type.Integer({ description: 'One past the last one.' }),
    entries: Type.Integer({ description: 'Entries of the log between them.' }),
    rows: Type.Integer({ description: 'Rows of the store that hold one of these positions.' }),
    duplicates: Type.Integer({
      description: 'Entries that are stored under another position: calls, or sums of decisions, that came again.',
    }),
  },
  { additionalProperties: false },
)
type AuditedPartition = Static<typeof AuditedPartition>

/** What an audit found. `differences` are the first of them, `counts` says how many there are. */
export const StoreAudit = Type.Object(
  {
    atMs: Type.Integer({ description: 'When it began, Unix milliseconds.' }),
    durationMs: Type.Integer(),
    partitions: Type.Array(AuditedPartition),
    counts: Type.Object({
      lost: Type.Integer(),
      doubled: Type.Integer(),
      misplaced: Type.Integer(),
      projection: Type.Integer(),
    }),
    differences: Type.Array(StoreDifference, { maxItems: DESCRIBED_MAX }),
  },
  { additionalProperties: false, $id: 'StoreAudit' },
)
export type StoreAudit = Static<typeof StoreAudit>

export interface AuditDeps {
  log: CallLog
  store: Store
  logger: Logger
  /** One past the last entry that the writer has handled, `null` where it does not know: that partition is left out. */
  handledTo(partition: LogPartition): number | null
  /** Entries of each partition to look at, the newest ones. */
  entriesMax?: number
  now?: () => number
}

/** Throws what log and store throw when they are away. Safe to run while calls are being stored. */
export const auditStore = async (deps: AuditDeps): Promise<StoreAudit> => {
  const { log, store, logger, entriesMax = ENTRIES_MAX, now = Date.now } = deps
  const atMs = now()
  const startedMs = performance.now()
  const audit: StoreAudit = {
    atMs,
    durationMs: 0,
    partitions: [],
    counts: { lost: 0, doubled: 0, misplaced: 0, projection: 0 },
    differences: [],
  }
  const report = (difference: StoreDifference): void => {
    audit.counts[difference.kind]++
    if (audit.differences.length < DESCRIBED_MAX) audit.differences.push(difference)
  }
  for (const topic of LOG_TOPICS) {
    for (const partition of await log.partitions(topic)) {
      const toOffset = deps.handledTo(partition)
      if (toOffset === null) continue
      const fromOffset = Math.max(partition.beginOffset, toOffset - entriesMax)
      audit.partitions.push(await auditPartition({ log, store, report, atMs }, partition, fromOffset, toOffset))
    }
  }
  for (const message of await auditProjections(store)) {
    report({ kind: 'projection', topic: 'calls', partition: null, offset: null, id: null, message })
  }
  audit.durationMs = Math.round(performance.now() - startedMs)
  const entries = audit.partitions.reduce((sum, partition) => sum + partition.entries, 0)
  storeAudited(logger, { entries, durationMs: audit.durationMs, differences: audit.counts })
  return audit
}

type Report = (difference: StoreDifference) => void

const auditPartition = async (
  deps: { log: CallLog; store: Store; report: Report; atMs: number },
  partition: LogPartition,
  fromOffset: number,
  toOffset: number,
): Promise<AuditedPartition> => {
  const { log, store, report, atMs } = deps
  const { topic, logId } = partition
  const audited: AuditedPartition = {
    topic,
    partition: partition.partition,
    logId,
    fromOffset,
    toOffset,
    entries: 0,
    rows: 0,
    duplicates: 0,
  }
  const reportHere = (kind: DifferenceKind, offset: number | null, id: string | null, message: string) =>
    report({ kind, topic, partition: partition.partition, offset, id, message })
  const keptFromMs = atMs - CALLS_RETENTION_DAYS * 86_400_000 + RETENTION_SLACK_MS
  for (let offset = fromOffset; offset < toOffset; ) {
    const batch = await log.read(topic, partition.partition, offset, Math.min(CHUNK_ENTRIES, toOffset - offset))
    // Another life of the log began while we looked; what we know of this one still holds.
    if (batch.logId !== logId || batch.nextOffset <= offset) break
    const nextOffset = Math.min(batch.nextOffset, toOffset)
    const entries = batch.entries.filter(entry => entry.offset < nextOffset)
    // What was trimmed meanwhile has no entry any more, and needs none.
    const heldFrom = Math.min(nextOffset, Math.max(offset, await beginOf(log, partition)))
    const chunk = await auditChunk(store, {
      partition,
      fromOffset: heldFrom,
      toOffset: nextOffset,
      entries: entries.filter(entry => entry.offset >= heldFrom),
      keptFromMs,
    })
    for (const { kind, offset: at, id, message } of chunk.differences) reportHere(kind, at, id, message)
    audited.entries += entries.length
    audited.rows += chunk.rows
    audited.duplicates += chunk.duplicates
    offset = nextOffset
  }
  for (const { id, copies } of await findDoubledIds(store, partition, fromOffset, toOffset)) {
    reportHere('doubled', null, id, `it is stored ${copies} times`)
  }
  const beyond = await findRowsBeyond(store, partition, toOffset)
  if (beyond.length > 0) {
    // The writer goes on while we look: only what is beyond the log's end by now has no entry.
    const now = (await log.partitions(topic)).find(other => other.partition === partition.partition)
    for (const offset of now?.logId === logId ? beyond.filter(at => at >= now.endOffset) : []) {
      reportHere('misplaced', offset, null, 'the log ends before this position')
    }
  }
  return audited
}

const beginOf = async (log: CallLog, { topic, partition }: LogPartition): Promise<number> =>
  (await log.partitions(topic)).find(other => other.partition === partition)?.beginOffset ?? 0
