/**
 * The reader that moves the log into the store: every entry once, whatever dies in between. A partition is fenced when it
 * is assigned; a batch is inserted, acknowledged, and only then committed by the log. After an unclear outcome the writer
 * takes a new fence, reads back which positions are stored, and inserts the others. Nothing is retried here: a batch that
 * is refused comes again from the log, after its back-off.
 */
import assert, { AssertionError } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { batchStored, writeFailed } from '../events.ts'
import {
  type CallLog,
  LOG_TOPICS,
  type LogBatch,
  type LogLag,
  type LogPartition,
  type LogReader,
} from '../log/call-log.ts'
import { isSnapshotPiece } from '../log/control-change.ts'
import { createDuplicates } from './duplicates.ts'
import { type Fence, renewFence, takeFence } from './fence.ts'
import type { Store } from './open.ts'
import { readStoredEnd, readStoredOffsets } from './positions.ts'
import { hasOtherEntry, isBeyondEnd } from './restored-log.ts'
import { createStoreEntries, type DuplicatesByTopic, type StoredCounts, type StoreEntries } from './store-entries.ts'
import { StoreError } from './store-error.ts'
import { newSnapshotSearch, startTrimming, type Trimmable } from './trimming.ts'

/** The name under which the log keeps the writer's positions. */
const READER_NAME = 'writer'
/** Time between two small inserts: each makes a part, and parts have to be merged. Bounds the age of what is stored. */
const FLUSH_MS = 500
/** A batch of this size is not small: the next one may follow at once. */
const LARGE_BATCH_ENTRIES = 8_000
/** How often what is stored is dropped from the log, whether or not calls arrive: a full log takes none. */
const TRIM_MS = 10_000
/** Some 700,000 calls, minutes at full speed; what is older is looked up in the store. */
const DUPLICATES_BYTES_MAX = 32 * 2 ** 20
/** Sums of decisions come again within minutes, when the limiter could not know whether the log had taken them. */
const DUPLICATE_SUMS_BYTES_MAX = 16 * 2 ** 20
const DUPLICATE_SUMS_FILL_ROWS_MAX = 250_000

export interface WriterDeps {
  log: CallLog
  store: Store
  logger: Logger
  /** Names of the labels that have columns, at most two. */
  labelColumns: readonly string[]
  flushMs?: number
  trimMs?: number
  /** Memory for recognizing calls that come again. */
  duplicatesBytesMax?: number
  now?: () => number
}

/** Since the start of the writer. */
export interface WriterStatus extends StoredCounts {
  /** When the store last acknowledged a batch, Unix milliseconds. */
  storedAtMs: number | null
}

export interface Writer {
  /** Why entries are not being stored now, one reason a partition; empty when all is well. */
  readiness(): string[]
  status(): WriterStatus
  lag(): Promise<LogLag[]>
  /** One past the last entry that is known to be handled; `null` while the partition, in this life, is not ours. */
  handledTo(partition: LogPartition): number | null
  /** Stops between two batches. */
  close(): Promise<void>
}

interface Holding extends Trimmable {
  fence: Fence
  /** Of its topic, when the ids that are stored were read. */
  partitions: number
  /** Entries below may be stored already. */
  storedEnd: number
  nextOffset: number
  /** An insert was begun and not acknowledged. */
  isInDoubt: boolean
}

/** What the store does not hold yet, whether or not a writer is there. */
export const writerLag = (log: CallLog): Promise<LogLag[]> => log.lag(LOG_TOPICS, READER_NAME)

/** Begins at once, and goes on through outages of the store. Expects the tables to be there. */
export const createWriter = (deps: WriterDeps): Writer => {
  const { log, store, logger, flushMs = FLUSH_MS, trimMs = TRIM_MS, now = Date.now } = deps
  const duplicates = createDuplicatesByTopic(deps)
  const storeEntries = createStoreEntries({ store, duplicates, labelColumns: deps.labelColumns, now })
  const holdings = new Map<string, Holding>()
  const trimming = startTrimming(log, logger, holdings, trimMs)
  const failures = new Map<string, string>()
  const closing = new AbortController()
  const status: WriterStatus = { rows: 0, duplicates: 0, unreadable: 0, storedAtMs: null }

  const handle = async (batch: LogBatch): Promise<void> => {
    const holding = holdings.get(keyOf(batch))
    assert(holding?.partition.logId === batch.logId, 'a batch of a partition that was not assigned')
    const startedMs = performance.now()
    const counts = await storeMissing({ store, storeEntries }, holding, batch)
    status.rows += counts.rows
    status.duplicates += counts.duplicates
    status.unreadable += counts.unreadable
    status.storedAtMs = now()
    batchStored(logger, { topic: batch.topic, ...counts, durationMs: Math.round(performance.now() - startedMs) })
    holding.nextOffset = batch.nextOffset
    if (batch.topic === 'control' && batch.entries.some(({ value }) => isSnapshotPiece(value)))
      holding.snapshots.piecesTo = batch.nextOffset
    const pauseMs = flushMs - (performance.now() - startedMs)
    if (batch.entries.length < LARGE_BATCH_ENTRIES && pauseMs > 0) {
      await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }
  const noting = createNoting(logger, failures)
  const subscription = log.subscribe(LOG_TOPICS, READER_NAME, {
    assigned: partition =>
      noting(partition, async () => {
        const holding = await takePartition(store, duplicates, partition)
        // It would give, or has given, the positions of rows to other entries.
        if (await isBeyondEnd(log, partition, holding.storedEnd)) return holding.storedEnd
        if (await hasOtherEntry(deps, partition, holding.storedEnd - 1)) return 'restored'
        holdings.set(keyOf(partition), holding)
        logger.info({ ...partition, epoch: holding.fence.epoch, storedEnd: holding.storedEnd }, 'partition taken')
        return null
      }),
    handle: batch => noting(batch, () => handle(batch)),
    revoked: async partition => {
      holdings.delete(keyOf(partition))
      // Whoever has it now says how it fares.
      failures.delete(keyOf(partition))
      logger.info({ ...partition }, 'partition given up')
    },
  })
  return {
    readiness: () => [...failures].map(([partition, reason]) => `${partition} is not being stored: ${reason}`),
    status: () => ({ ...status }),
    lag: () => writerLag(log),
    handledTo: partition => {
      const holding = holdings.get(keyOf(partition))
      return holding?.partition.logId === partition.logId ? holding.nextOffset : null
    },
    close: async () => {
      closing.abort()
      await trimming.stop()
      await subscription.close()
    },
  }
}

/** Notes why a partition stands still; the log logs and retries. */
const createNoting =
  (logger: Logger, failures: Map<string, string>) =>
  async <T>(partition: LogPartition, act: () => Promise<T>): Promise<T> => {
    try {
      const result = await act()
      failures.delete(keyOf(partition))
      return result
    } catch (error) {
      if (error instanceof AssertionError) throw error
      failures.set(keyOf(partition), error instanceof Error ? error.message : String(error))
      writeFailed(logger, {
        topic: partition.topic,
        code: error instanceof StoreError ? error.code : 'UNKNOWN',
        err: error,
      })
      throw error
    }
  }

const createDuplicatesByTopic = ({
  store,
  duplicatesBytesMax = DUPLICATES_BYTES_MAX,
}: Pick<WriterDeps, 'store' | 'duplicatesBytesMax'>): DuplicatesByTopic => ({
  calls: createDuplicates({ store, table: 'calls', bytesMax: duplicatesBytesMax }),
  decisions: createDuplicates({
    store,
    table: 'decisions',
    bytesMax: DUPLICATE_SUMS_BYTES_MAX,
    fillRowsMax: DUPLICATE_SUMS_FILL_ROWS_MAX,
  }),
})

const keyOf = ({ topic, partition }: LogPartition) => `${topic}/${partition}`

const takePartition = async (
  store: Store,
  duplicates: DuplicatesByTopic,
  { partitions, committedOffset, beginOffset, ...partition }: Parameters<LogReader['assigned']>[0],
): Promise<Holding> => {
  const nextOffset = committedOffset ?? beginOffset
  const fence = await takeFence(store, partition)
  const storedEnd = await readStoredEnd(store, partition)
  // Ids that others stored are complete only now that nobody else can insert.
  const { topic } = partition
  if (topic === 'calls' || topic === 'decisions') await duplicates[topic].fill()
  const snapshots = newSnapshotSearch(nextOffset)
  return { partition, partitions, fence, storedEnd, nextOffset, trimOffset: nextOffset, snapshots, isInDoubt: false }
}

/** Stores what is not stored of a batch, whatever happened to the ones before it. */
const storeMissing = async (
  deps: { store: Store; storeEntries: StoreEntries },
  holding: Holding,
  batch: LogBatch,
): Promise<StoredCounts> => {
  const { store, storeEntries } = deps
  const isAlone = holding.isInDoubt
  if (holding.isInDoubt) {
    holding.fence = await renewFence(store, holding.fence)
    holding.storedEnd = await readStoredEnd(store, batch)
    holding.isInDoubt = false
  }
  const fromOffset = Math.max(holding.nextOffset, batch.entries[0]?.offset ?? batch.nextOffset)
  const stored =
    fromOffset < holding.storedEnd
      ? await readStoredOffsets(store, batch, fromOffset, batch.nextOffset)
      : new Set<number>()
  const entries = batch.entries.filter(({ offset }) => offset >= fromOffset)
  holding.isInDoubt = true
  const { fence, partitions } = holding
  const counts = await storeEntries({ partition: batch, partitions, fence, entries, stored, isAlone })
  holding.isInDoubt = false
  return counts
}
