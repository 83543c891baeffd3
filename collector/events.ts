/**
 * What happens in the collector that somebody outside should see: each event bumps its metrics and writes its log line in
 * one place. The instruments are made at first use, since those made before telemetry starts stay deaf.
 */
import { type Attributes, type BatchObservableCallback, type Counter, metrics } from '@opentelemetry/api'
import type { Logger } from 'pino'
import type { RejectionReason } from './call-record.ts'
import type { LogLag, LogLoss, LogTopic } from './log/call-log.ts'
import { sayRarely } from './rarely.ts'

const METER = 'quotacast.collector'

/** A counter that exists from its first use on. */
function counter(name: string, description: string): (value: number, attributes?: Attributes) => void {
  let made: Counter | null = null
  return (value, attributes) => {
    made ??= metrics.getMeter(METER).createCounter(name, { description })
    made.add(value, attributes)
  }
}

const callsAccepted = counter('quotacast_calls_accepted_total', 'Calls that are durable in the log, by receiver.')
const callsRejected = counter(
  'quotacast_calls_rejected_total',
  'Calls that could not be normalized, by receiver and reason.',
)
const deliveriesRefused = counter(
  'quotacast_deliveries_refused_total',
  'Requests with calls that were told to come again, by receiver.',
)

/** The ways in, as metrics name them. */
export type Receiver = 'http' | 'otlp' | 'otlp-grpc' | 'envoy-als' | 'file' | 'stdin' | 'syslog' | 'kafka'

/** A request or a stretch of a file whose calls are durable. */
export function callsReceived(
  log: Logger,
  received: {
    receiver: Receiver
    dialect: string
    accepted: number
    rejected: ReadonlyMap<RejectionReason, number>
  },
): void {
  const { receiver, dialect, accepted, rejected } = received
  if (accepted > 0) callsAccepted(accepted, { receiver })
  for (const [reason, count] of rejected) callsRejected(count, { receiver, reason })
  if (rejected.size === 0) return
  const reasons = Object.fromEntries(rejected)
  sayRarely(log, `rejected ${receiver} ${dialect} ${Object.keys(reasons)}`, { accepted, ...reasons }, sums => {
    const { accepted, ...rejected } = sums
    log.warn({ receiver, dialect, accepted, rejected }, 'calls rejected')
  })
}

const callsReplayed = counter('quotacast_calls_replayed_total', 'Rejections that became calls when they were replayed.')

/** A page of rejections was decoded again, and what became calls is durable. */
export function rejectionsReplayed(
  log: Logger,
  { calls, noCalls, rejected }: { calls: number; noCalls: number; rejected: Readonly<Record<string, number>> },
): void {
  if (calls > 0) callsReplayed(calls)
  log.info({ calls, noCalls, rejected }, 'rejections replayed')
}

/** Calls that were neither accepted nor rejected: their sender keeps them and comes again. */
export function deliveryRefused(log: Logger, refused: { receiver: Receiver; reason: string }): void {
  deliveriesRefused(1, { receiver: refused.receiver })
  sayRarely(log, `refused ${refused.receiver} ${refused.reason}`, { deliveries: 1 }, ({ deliveries }) =>
    log.warn({ ...refused, deliveries }, 'calls were not taken, their sender must come again'),
  )
}

const linesDroppedTotal = counter(
  'quotacast_lines_dropped_total',
  'Syslog datagrams for which there was no room, by source: their sender cannot be told to wait.',
)

export function syslogTlsFailed(log: Logger, { source, err }: { source: string; err: NodeJS.ErrnoException }): void {
  sayRarely(log, `syslog TLS ${source} ${err.code}`, { connections: 1 }, sums =>
    log.warn({ source, err, ...sums }, 'a sender of syslog is not heard: TLS could not begin'),
  )
}

/** Datagrams came faster than they could be made durable. */
export function linesDropped(log: Logger, dropped: { source: string; lines: number }): void {
  linesDroppedTotal(dropped.lines, { source: dropped.source })
  const { source } = dropped
  sayRarely(log, `lines ${source}`, { lines: dropped.lines }, ({ lines }) =>
    log.error({ source, lines }, 'lines are lost: they came over UDP faster than they could be kept'),
  )
}

const sourcesFailed = counter('quotacast_sources_failed_total', 'Ways in that broke, by source; they are tried again.')

/** The way in of a source broke, or could not be opened. */
export function sourceFailed(log: Logger, failed: { source: string; receiver: string; err: unknown }): void {
  sourcesFailed(1, { source: failed.source })
  log.error(failed, 'calls of a source do not come in; its way in is tried again')
}

const topicLosses = counter(
  'quotacast_topic_losses_total',
  'Stretches of foreign topics that were gone when we came, by source and topic.',
)

/** Messages of a foreign topic were dropped before we had read them: half-open, [`fromOffset`, `toOffset`). */
export function topicEntriesLost(
  log: Logger,
  loss: { source: string; topic: string; partition: number; fromOffset: number; toOffset: number },
): void {
  topicLosses(1, { source: loss.source, topic: loss.topic })
  log.error(loss, 'messages of a source are lost')
}

const rowsStored = counter('quotacast_rows_stored_total', 'Rows that the store has acknowledged, by topic of the log.')
const entriesDuplicate = counter(
  'quotacast_entries_duplicate_total',
  'Calls and sums of decisions that came again and were stored already, by topic of the log.',
)
const entriesUnreadable = counter(
  'quotacast_log_entries_unreadable_total',
  'Entries of the log that nobody can read, by topic of the log.',
)
const writesFailed = counter(
  'quotacast_store_writes_failed_total',
  'Batches that the store did not acknowledge, by topic of the log and code.',
)
const auditDifferences = counter(
  'quotacast_store_audit_differences_total',
  'Differences between log and store, by kind.',
)

/** A batch of the log is in the store. */
export function batchStored(
  log: Logger,
  stored: { topic: LogTopic; rows: number; duplicates: number; unreadable: number; durationMs: number },
): void {
  const { topic, rows, duplicates, unreadable } = stored
  if (rows > 0) rowsStored(rows, { topic })
  if (duplicates > 0) entriesDuplicate(duplicates, { topic })
  if (unreadable > 0) {
    entriesUnreadable(unreadable, { topic })
    log.error(stored, 'entries of the log cannot be read; they were stored as rejections')
  } else {
    log.debug(stored, 'batch stored')
  }
}

/** A batch of the log was not acknowledged by the store; it comes again from the log, which warns of it. */
export function writeFailed(log: Logger, failed: { topic: LogTopic; code: string; err: unknown }): void {
  writesFailed(1, { topic: failed.topic, code: failed.code })
  log.debug(failed, 'batch was not stored')
}

/** Has what waits for the store measured whenever metrics are read; the answer ends it. */
export function lagObserved(lag: () => Promise<readonly LogLag[]>): () => void {
  const meter = metrics.getMeter(METER)
  const waiting = meter.createObservableGauge('quotacast_log_lag_entries', {
    description: 'Entries of the log that are not stored yet, by topic and partition.',
  })
  const oldest = meter.createObservableGauge('quotacast_log_lag_seconds', {
    description:
      'Age of the oldest entry of the log that is not stored yet, by topic and partition; 0 when there is none.',
    unit: 's',
  })
  const observe: BatchObservableCallback = async result => {
    // While the log is away nobody knows.
    for (const { topic, partition, entries, ageMs } of await lag().catch(() => [])) {
      result.observe(waiting, entries, { topic, partition })
      result.observe(oldest, ageMs / 1000, { topic, partition })
    }
  }
  meter.addBatchObservableCallback(observe, [waiting, oldest])
  return () => meter.removeBatchObservableCallback(observe, [waiting, oldest])
}

/** Log and store were compared. */
export function storeAudited(
  log: Logger,
  audit: { entries: number; durationMs: number; differences: Readonly<Record<string, number>> },
): void {
  const found = Object.entries(audit.differences).filter(([, count]) => count > 0)
  for (const [kind, count] of found) auditDifferences(count, { kind })
  if (found.length > 0) log.error(audit, 'log and store differ')
  else log.info(audit, 'log and store agree')
}

const logLosses = counter(
  'quotacast_log_losses_total',
  'Stretches of the log that a reader will never see, by topic, reader and reason.',
)

/** Entries were gone, or unreadable, when a reader of the log came to them. */
export function logEntriesLost(log: Logger, loss: LogLoss): void {
  const { topic, reader, reason } = loss
  logLosses(1, { topic, reader, reason })
  log.error(loss, 'entries of the log are lost')
}

/** A reader of Kafka lost its group; it joins again, every few seconds while nobody is there. */
export function readerLost(log: Logger, err: unknown): void {
  sayRarely(log, `reader ${err}`, { failures: 1 }, sums =>
    log.warn({ err, ...sums }, 'the reader lost its group and joins again'),
  )
}
