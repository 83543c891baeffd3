/**
 * Appends to one topic. While one group of appends is under way, all that arrive wait together and become the next one.
 *
 * Two habits of kafkajs shape this file. After a failed send it numbers the next batch like the failed one, and a
 * broker that had stored the failed one after all takes the next for its repetition: acknowledged, never stored. So a
 * producer that has failed is never used again. And where leaders change in the middle of a send it may answer
 * without having sent to all of them: only partitions named in the answer are stored.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Message, Producer } from 'kafkajs'
import type { Logger } from 'pino'
import { VALUE_CHARACTERS_MAX } from './block.ts'
import { type LogEntry, LogError, partitionOf } from './call-log.ts'

/** Most that one send takes. kafkajs copies a partition's messages once for each of them: larger groups are slower. */
const GROUP_ENTRIES_MAX = 1_000
/** With one value of the greatest length on top it stays below `max.message.bytes` even uncompressed. */
const GROUP_BYTES_MAX = 2 * 2 ** 20
/** Most that may wait; more is refused, so that slow brokers cannot fill the memory. */
const PENDING_BYTES_MAX = 64 * 2 ** 20
/** How long appends are refused at once after a failure; after that the next append is the probe. */
const REFUSE_MS_MIN = 250
const REFUSE_MS_MAX = 5_000
const CLOSE_MS_MAX = 2_000

export interface KafkaAppender {
  append(entries: readonly LogEntry[]): Promise<void>
  /** Why an append would be refused now, or `null`. */
  unavailable(): string | null
  /** Refuses further appends and resolves when the pending ones are settled. */
  close(): Promise<void>
}

export interface AppenderDeps {
  /** Name of the topic at the brokers. */
  topic: string
  /** A connected producer that has sent nothing yet, and how many partitions the topic has. */
  openProducer(): Promise<{ producer: Producer; partitions: number }>
  /** How many it has by now, `null` where nobody knows: equal keys meet in one partition, whoever appends them. */
  partitions(): number | null
  /** `CompressionTypes.ZSTD`. */
  compression: number
  appendTimeoutMs: number
  log: Logger
  now: () => number
}

/** A run of entries of one append: appended whole, or its outcome is unknown. */
interface PendingRun {
  entries: readonly LogEntry[]
  bytes: number
  settle: (error: LogError | null) => void
}

export function createKafkaAppender(deps: AppenderDeps): KafkaAppender {
  const sender = createSender(deps)
  let pending: PendingRun[] = []
  let pendingBytes = 0
  let running: Promise<void> | null = null
  let isClosed = false

  const run = async (): Promise<void> => {
    while (pending.length > 0) {
      const group = takeGroup(pending)
      pending = pending.slice(group.length)
      const error = await sender.send(group)
      // What waits behind a failure would wait as long again, each group in its turn.
      if (error !== null) group.push(...pending.splice(0))
      for (const { bytes, settle } of group) {
        pendingBytes -= bytes
        settle(error)
      }
    }
    running = null
  }

  return {
    async append(entries) {
      if (isClosed) throw new LogError('LOG_UNAVAILABLE', 'The log is closed')
      const refusal = sender.refusal()
      if (refusal !== null) throw refusal
      const runs = Array.from(cutIntoRuns(entries))
      const bytes = runs.reduce((sum, each) => sum + each.bytes, 0)
      if (pendingBytes > 0 && pendingBytes + bytes > PENDING_BYTES_MAX) {
        throw new LogError('LOG_UNAVAILABLE', 'Too much is waiting to be written to the log')
      }
      pendingBytes += bytes
      const settled = runs.map(
        each =>
          new Promise<void>((resolve, reject) => {
            const settle = (error: LogError | null): void => (error === null ? resolve() : reject(error))
            pending.push({ ...each, settle })
          }),
      )
      running ??= run()
      await Promise.all(settled)
    },
    unavailable: () => sender.refusal()?.message ?? null,
    async close() {
      isClosed = true
      await running
      await sender.discard()
    },
  }
}

/** Sends one group after the other, each whole or with an unknown outcome, through a producer that has never failed. */
function createSender(deps: AppenderDeps) {
  const { topic, openProducer, compression, appendTimeoutMs, log, now } = deps
  let opened: Awaited<ReturnType<typeof openProducer>> | null = null
  let failures = 0
  let refused: { error: LogError; untilMs: number } | null = null

  const discard = async (): Promise<void> => {
    const discarded = opened?.producer
    opened = null
    if (discarded) await disconnect(discarded)
  }
  const open = async (signal: AbortSignal): Promise<typeof opened> => {
    // It would not know the leaders of new ones.
    if (opened !== null && opened.partitions !== (deps.partitions() ?? opened.partitions)) await discard()
    if (opened !== null) return opened
    const fresh = await openProducer()
    if (!signal.aborted) opened = fresh
    else await disconnect(fresh.producer)
    return opened
  }
  const sendAll = async (entries: readonly LogEntry[], signal: AbortSignal): Promise<void> => {
    const to = signal.aborted ? null : await open(signal)
    if (to === null) return
    const timestamp = String(now())
    let unsent = entries.map(entry => toMessage(entry, to.partitions, timestamp))
    while (unsent.length > 0 && !signal.aborted) {
      const answers = await to.producer.send({ topic, messages: unsent, acks: -1, compression })
      const stored = new Set(answers.filter(answer => answer.errorCode === 0).map(answer => answer.partition))
      assert(stored.size > 0, 'kafkajs answers only what it has sent')
      unsent = unsent.filter(message => !stored.has(message.partition))
    }
  }
  /** Brokers may take less at once than the topics that we make: whoever sends the same again would be refused for ever. */
  const sendPieces = async (entries: readonly LogEntry[], signal: AbortSignal): Promise<void> => {
    try {
      await sendAll(entries, signal)
    } catch (error) {
      if (!isTooLarge(error) || entries.length === 1 || signal.aborted) throw error
      await discard()
      const half = Math.ceil(entries.length / 2)
      await sendPieces(entries.slice(0, half), signal)
      await sendPieces(entries.slice(half), signal)
    }
  }
  const fail = async (cause: unknown): Promise<LogError> => {
    const message = cause instanceof Error ? cause.message : String(cause)
    const error = cause instanceof LogError ? cause : new LogError('LOG_UNAVAILABLE', message, { cause })
    const ceilingMs = Math.min(REFUSE_MS_MAX, REFUSE_MS_MIN * 2 ** failures)
    failures++
    refused = { error, untilMs: performance.now() + ceilingMs * (0.5 + Math.random() / 2) }
    log.warn({ err: error, topic, failures }, 'an append failed')
    await discard()
    return error
  }

  return {
    async send(group: readonly PendingRun[]): Promise<LogError | null> {
      try {
        const entries = group.flatMap(run => run.entries)
        await withDeadline(signal => sendPieces(entries, signal), appendTimeoutMs)
        failures = 0
        return null
      } catch (error) {
        return fail(error)
      }
    },
    /** Why nothing is sent until the next attempt, or `null`. */
    refusal: (): LogError | null => (refused !== null && performance.now() < refused.untilMs ? refused.error : null),
    discard,
  }
}

/** An append of usual size stays whole, so that it is one record batch in each partition. */
function* cutIntoRuns(entries: readonly LogEntry[]): Generator<Pick<PendingRun, 'entries' | 'bytes'>> {
  let from = 0
  let bytes = 0
  for (const [index, { key, value }] of entries.entries()) {
    assert(value.length <= VALUE_CHARACTERS_MAX, 'a value of the log is longer than VALUE_CHARACTERS_MAX')
    bytes += Buffer.byteLength(value) + Buffer.byteLength(key)
    if (bytes >= GROUP_BYTES_MAX || index + 1 - from === GROUP_ENTRIES_MAX || index + 1 === entries.length) {
      yield { entries: entries.slice(from, index + 1), bytes }
      from = index + 1
      bytes = 0
    }
  }
}

function takeGroup(pending: readonly PendingRun[]): PendingRun[] {
  let entries = 0
  let bytes = 0
  const end = pending.findIndex(run => {
    entries += run.entries.length
    bytes += run.bytes
    return entries > GROUP_ENTRIES_MAX || bytes > GROUP_BYTES_MAX
  })
  return pending.slice(0, end === -1 ? pending.length : Math.max(1, end))
}

function toMessage({ key, value }: LogEntry, partitions: number, timestamp: string): Message & { partition: number } {
  return { key, value, partition: partitionOf(key, partitions), timestamp }
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && 'type' in error && error.type === 'MESSAGE_TOO_LARGE'

async function disconnect(producer: Producer): Promise<void> {
  await Promise.race([producer.disconnect().catch(() => undefined), sleep(CLOSE_MS_MAX)])
}

/** `signal` tells the work that nobody waits for it any more. */
async function withDeadline(work: (signal: AbortSignal) => Promise<void>, deadlineMs: number): Promise<void> {
  const isLate = new AbortController()
  const isOver = new AbortController()
  const late = sleep(deadlineMs, null, { signal: isOver.signal }).then(
    () => {
      isLate.abort()
      throw new LogError('LOG_UNAVAILABLE', `Kafka has not acknowledged within ${deadlineMs} ms`)
    },
    () => undefined,
  )
  try {
    const done = work(isLate.signal)
    await Promise.race([done, late.then(() => done)])
  } finally {
    isOver.abort()
  }
}
