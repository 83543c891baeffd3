/**
 * The log between everything: what was accepted is here until every consumer has handled it. One interface, two cases
 * (embedded LMDB, Kafka), one contract suite (`test/contract/call-log.ts`).
 */
import { crc32 } from 'node:zlib'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { KafkaLogOptions } from './kafka-options.ts'

/**
 * - `calls`: call records, keyed by `callId`
 * - `rejections`: what could not be normalized
 * - `decisions`: the limiter's sums per minute, quota and bucket
 * - `control`: what changes at run time (tokens, quotas, …), and snapshots of what that comes to; one partition
 */
export const LOG_TOPICS = ['calls', 'rejections', 'decisions', 'control'] as const
export type LogTopic = (typeof LOG_TOPICS)[number]

export interface LogEntry {
  /** Equal keys meet in one partition. */
  key: string
  /** One JSON document. */
  value: string
}

/** Where entries with the key are, as long as the topic has so many partitions. */
export const partitionOf = (key: string, partitions: number): number => crc32(key) % partitions

/** A partition of one life of the log: a log that was wiped, recreated or restored has another `logId`. */
export interface LogPartition {
  topic: LogTopic
  logId: string
  partition: number
}

export interface LogBatch extends LogPartition {
  /** In order, offsets strictly ascending, not always without gaps. */
  entries: { offset: number; value: string }[]
  /** Where the next delivery begins. */
  nextOffset: number
}

/** A named reader. All three are called one after the other for a partition, never at once. */
export interface LogReader {
  /**
   * The partition is ours from now on, of a topic that has `partitions` of them, or more by now. Answers the offset to
   * begin at, or `null` for the position committed under this reader's name (the beginning, when there is none). An offset
   * above `endOffset` says that the reader has handled more than there is, and `restored` that the log holds other entries
   * where it has: the log was restored, and begins anew (`beyond_end`).
   */
  assigned(
    partition: LogPartition & {
      beginOffset: number
      endOffset: number
      committedOffset: number | null
      partitions: number
    },
  ): Promise<number | 'restored' | null>
  /** Handles a batch. `nextOffset` is committed after it resolved; when it rejects, the batch comes again after a back-off. */
  handle(batch: LogBatch, heartbeat: () => Promise<void>): Promise<void>
  /** The partition is no longer ours, even if `assigned` has only rejected; what was under way must not be committed. */
  revoked(partition: LogPartition): Promise<void>
}

/**
 * - `trimmed`: the entries were below the log's begin when their reader came
 * - `other_log`: the position belongs to another life of the log, which now begins anew
 * - `beyond_end`: the log ends, or has ended, below the position (it was restored); it gets a new `logId` and begins anew
 * - `unreadable`: the bytes are damaged; they are stepped over
 */
type LogLossReason = 'trimmed' | 'other_log' | 'beyond_end' | 'unreadable'

/**
 * Entries that a reader will never see, half-open [`fromOffset`, `toOffset`): lost, and said loudly. Where nobody can
 * know how many there were (`other_log`, or a restored log that has grown since), both are the position that was given up.
 */
export interface LogLoss extends LogPartition {
  reader: string
  reason: LogLossReason
  fromOffset: number
  toOffset: number
}

export interface LogLag {
  topic: LogTopic
  partition: number
  /** Entries appended and not yet committed by the reader. */
  entries: number
  /** Age of the oldest of them in milliseconds, 0 when there is none. */
  ageMs: number
}

export interface LogSubscription {
  /** Stops between two batches; the last handled batch is committed. */
  close(): Promise<void>
}

/** Both cases fulfil the same promises. */
export interface CallLog {
  /**
   * Resolves when the entries would survive a crash, all of them, in order. Throws `LogError`: `LOG_FULL` and
   * `LOG_UNAVAILABLE` are retryable; the outcome of a failed append is unknown, so a resend needs the same keys.
   */
  append(topic: LogTopic, entries: readonly LogEntry[]): Promise<void>
  /**
   * Begins reading. `name` is the identity under which the position is kept (`writer`, `settler`, …). Of several with
   * one name the last has the partitions; the others are revoked, and stand by until it has closed or died.
   */
  subscribe(topics: readonly LogTopic[], name: string, reader: LogReader): LogSubscription
  /** How far the reader of that name is behind the end, whether or not anybody reads under it now. */
  lag(topics: readonly LogTopic[], name: string): Promise<LogLag[]>
  /**
   * Entries of one partition from `fromOffset`, or from the begin above it, at most `entriesMax`, without moving any
   * position. There may be more before the end when fewer come; there are none when `nextOffset` is `fromOffset`.
   */
  read(topic: LogTopic, partition: number, fromOffset: number, entriesMax: number): Promise<LogBatch>
  partitions(topic: LogTopic): Promise<(LogPartition & { beginOffset: number; endOffset: number })[]>
  /** Why appends to the topic, or to any of them, would be refused now, or `null`. */
  unavailable(topic?: LogTopic): string | null
  /**
   * Drops what is older than the retention and below `belowOffset`; only the writer calls it, of `control` with where a
   * snapshot that it has handled is as of. A log of bounded size that is nearly full drops younger entries below
   * `belowOffset` too, rather than refuse new ones.
   */
  trim(partition: LogPartition, belowOffset: number): Promise<void>
  close(): Promise<void>
}

export type LogErrorCode = 'LOG_FULL' | 'LOG_UNAVAILABLE' | 'LOG_CORRUPT' | 'LOG_OPEN_TWICE'

/** A failure of the log, not of its content. */
export class LogError extends Error {
  readonly code: LogErrorCode
  readonly retryable: boolean

  constructor(code: LogErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'LogError'
    this.code = code
    this.retryable = code === 'LOG_FULL' || code === 'LOG_UNAVAILABLE'
  }
}

/** What opening a log takes besides its options. */
export interface LogDeps {
  /** Where an embedded log keeps its files; made if missing. */
  dir: string
  log: Logger
  /** Called for each loss: count it and log it as an error. */
  onLoss: (loss: LogLoss) => void
  now?: () => number
}

export const EmbeddedLogOptions = Type.Object(
  {
    kind: Type.Literal('embedded', { description: 'LMDB on the local disk.' }),
    retentionSeconds: Type.Integer({
      default: 7 * 86_400,
      minimum: 60,
      description: 'How long handled entries are kept for replay, unless their place is needed for new ones.',
    }),
    sizeBytesMax: Type.Integer({
      default: 20 * 2 ** 30,
      minimum: 16 * 2 ** 20,
      description:
        'Size of all topics together; seven tenths are for calls. A log full of what is not stored yet makes receivers answer 503.',
    }),
  },
  { additionalProperties: false },
)
export type EmbeddedLogOptions = Static<typeof EmbeddedLogOptions>

export const LogOptions = Type.Union([EmbeddedLogOptions, KafkaLogOptions])
export type LogOptions = Static<typeof LogOptions>
