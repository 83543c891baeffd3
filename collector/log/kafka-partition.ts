/**
 * One partition while it is ours: from `assigned` to `revoked`. Knows the next offset by itself, because deliveries
 * are repeated with other borders after every disturbance, and because kafkajs, told that an offset is gone, goes on
 * from the begin without a word.
 */
import { AssertionError } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EachBatchPayload, KafkaMessage } from 'kafkajs'
import type { Logger } from 'pino'
import { type LogBatch, LogError, type LogLoss, type LogPartition, type LogReader } from './call-log.ts'
import type { KafkaCluster, PartitionOffsets } from './kafka-cluster.ts'
import { keepAlive } from './kafka-heartbeat.ts'
import type { KafkaLives } from './kafka-lives.ts'

/** Bounds of one delivery; a delivery holds one entry at least. */
const BATCH_ENTRIES_MAX = 10_000
const BATCH_CHARACTERS_MAX = 8 * 2 ** 20
const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 10_000
/** The end that is told right after an election may be behind for a moment. */
const END_CHECKS = 5
const END_CHECK_MS = 1_000

export interface LogPosition {
  logId: string
  offset: number
}

export interface PartitionDeps {
  topic: LogPartition['topic']
  /** Its name at the brokers. */
  topicName: string
  partition: number
  name: string
  reader: LogReader
  cluster: KafkaCluster
  lives: KafkaLives
  heartbeatMs: number
  log: Logger
  onLoss: (loss: LogLoss) => void
  /** What this process committed last, and what the group did: `null` where nothing was. */
  lastPosition(): LogPosition | null
  committedPosition(): Promise<LogPosition | null>
  onCommitted(position: LogPosition): void
  /** Deliveries begin at `offset`. */
  resume(offset: number): void
}

export class KafkaPartition {
  readonly #deps: PartitionDeps
  readonly #ending = new AbortController()
  readonly #begun: Promise<void>
  /** What the reader was asked to take, whether or not it has. */
  #asked: LogPartition | null = null
  #partition: LogPartition | null = null
  #nextOffset: number | null = null
  #underWay: Promise<void> = Promise.resolve()
  #isLost = false
  #handling = 0
  #endChecks = 0
  #ended: Promise<void> | null = null

  /** Begins when `previous`, the same partition's life before this one, has ended. */
  constructor(deps: PartitionDeps, previous: Promise<void>) {
    this.#deps = deps
    this.#begun = previous.then(() => this.#begin())
  }

  /**
   * Ends after the delivery under way. `isLost`: somebody else may have the partition by now, so that what was under
   * way must not be committed.
   */
  end({ isLost }: { isLost: boolean }): Promise<void> {
    this.#isLost ||= isLost
    this.#ending.abort()
    this.#ended ??= this.#finish()
    return this.#ended
  }

  get isHandling(): boolean {
    return this.#handling > 0
  }

  /** True when the log is no longer the one that is read: it ends below us for some time, or has another id. */
  isOutdated(logId: string, { endOffset }: PartitionOffsets): boolean {
    if (this.#partition === null || this.#nextOffset === null) return false
    this.#endChecks = this.#nextOffset > endOffset ? this.#endChecks + 1 : 0
    return this.#partition.logId !== logId || this.#endChecks >= END_CHECKS
  }

  /** Handles and commits what is new in a delivery. Throws what kafkajs has to see: that the group is rebalancing. */
  async deliver(payload: EachBatchPayload): Promise<void> {
    const delivery = this.#underWay.then(() => this.#deliver(payload))
    this.#underWay = delivery.catch(() => undefined)
    await delivery
  }

  async #begin(): Promise<void> {
    for (let failures = 0; !this.#isEnding; failures++) {
      try {
        await this.#assign()
        return
      } catch (error) {
        await this.#backOff(error, failures, 'a partition could not be assigned')
      }
    }
  }

  async #assign(): Promise<void> {
    const { name, reader, topic, partition, resume } = this.#deps
    const found = await this.#look()
    const committed = await this.#position(found.logId)
    const isSame = committed?.logId === found.logId
    if (committed !== null && !isSame) {
      const { logId, offset } = committed
      this.#lose({ topic, partition, logId, reason: 'other_log', fromOffset: offset, toOffset: offset })
      this.#deps.onCommitted({ logId: found.logId, offset: found.beginOffset })
    }
    const committedOffset = isSame ? committed.offset : null
    if (committedOffset !== null && (await this.#endsBelow(committedOffset))) {
      await this.#renew(found.logId, committedOffset)
    }
    const { logId, beginOffset, endOffset, partitions } = await this.#look()
    const isRenewed = logId !== found.logId
    const life: LogPartition = { topic, logId, partition }
    const position = isRenewed ? null : committedOffset
    if (this.#isEnding) return
    this.#asked = life
    const wanted = await reader.assigned({ ...life, beginOffset, endOffset, committedOffset: position, partitions })
    this.#partition = life
    const from = wanted === 'restored' ? endOffset : (wanted ?? position ?? beginOffset)
    if (wanted === 'restored' || from > endOffset) {
      // It may have caught up meanwhile: then the reader says whether with the same entries.
      if (wanted === 'restored' || (await this.#endsBelow(from))) await this.#renew(logId, from)
      await this.#revoke()
      throw new LogError('LOG_UNAVAILABLE', `The log ends below where its reader ${name} is`)
    }
    if (from < beginOffset) this.#lose({ ...life, reason: 'trimmed', fromOffset: from, toOffset: beginOffset })
    this.#nextOffset = Math.max(from, beginOffset)
    if (!this.#isEnding) resume(this.#nextOffset)
  }

  /** The group's position; ours where that went with its log, or where we know already that its log is gone. */
  async #position(logId: string): Promise<LogPosition | null> {
    const [committed, last] = [await this.#deps.committedPosition(), this.#deps.lastPosition()]
    return committed === null || (committed.logId !== logId && last?.logId === logId) ? last : committed
  }

  async #look(): Promise<{ logId: string; beginOffset: number; endOffset: number; partitions: number }> {
    const { cluster, lives, topic, topicName, partition } = this.#deps
    const [logIds, offsets] = await Promise.all([lives.logIds(topic), cluster.offsets(topicName)])
    const found = offsets.find(each => each.partition === partition)
    if (!found) throw new LogError('LOG_UNAVAILABLE', `Partition ${partition} of ${topicName} has no offsets yet`)
    return { ...found, logId: logIds.of(partition), partitions: logIds.partitions }
  }

  async #endsBelow(offset: number): Promise<boolean> {
    for (let checks = 0; checks < END_CHECKS; checks++) {
      if ((await this.#look()).endOffset >= offset) return false
      await this.#pause(END_CHECK_MS)
    }
    return !this.#isEnding
  }

  /** The log ends below what was handled already: its next entries would take offsets that are in use. */
  async #renew(logId: string, offset: number): Promise<void> {
    const { topic, partition, lives } = this.#deps
    const { endOffset } = await this.#look()
    const fromOffset = Math.min(offset, endOffset)
    this.#lose({ topic, partition, logId, reason: 'beyond_end', fromOffset, toOffset: offset })
    await lives.renew(topic, partition, logId, endOffset)
  }

  async #deliver(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload
    const life = this.#partition
    if (life === null || this.#nextOffset === null || this.#isOver) return
    const messages = batch.messages.filter(message => Number(message.offset) >= (this.#nextOffset ?? 0))
    const first = messages[0]
    if (first === undefined) return this.#commit(payload)
    if (Number(first.offset) > this.#nextOffset) await this.#reportGap(life, this.#nextOffset)
    for (const delivery of cutIntoDeliveries(messages)) {
      if (!(await this.#handle({ ...life, ...delivery }, payload))) return
      this.#nextOffset = delivery.nextOffset
      await this.#commit(payload)
      if (this.#isEnding || !payload.isRunning()) return
    }
  }

  /** Gaps are no loss where the log still has their begin: aborted transactions of foreign producers leave them. */
  async #reportGap(life: LogPartition, fromOffset: number): Promise<void> {
    const { beginOffset } = await this.#look()
    if (beginOffset > fromOffset) this.#lose({ ...life, reason: 'trimmed', fromOffset, toOffset: beginOffset })
  }

  /** True when the reader has handled the batch; false when the partition was lost or given up before it had. */
  async #handle(batch: LogBatch, payload: EachBatchPayload): Promise<boolean> {
    const heartbeats = keepAlive(() => payload.heartbeat(), {
      everyMs: this.#deps.heartbeatMs,
      isLost: () => this.#isLost,
      lose: () => {
        this.#isLost = true
      },
    })
    this.#handling++
    try {
      for (let failures = 0; ; failures++) {
        try {
          await this.#deps.reader.handle(batch, heartbeats.beat)
          return !this.#isLost
        } catch (error) {
          heartbeats.touch()
          // kafkajs joins again only when it is given back what it delivered.
          if (this.#isOver) return false
          await this.#backOff(error, failures, 'reader rejected a batch')
          if (this.#isOver || !payload.isRunning()) return false
        }
      }
    } finally {
      this.#handling--
      heartbeats.stop()
    }
  }

  async #commit(payload: EachBatchPayload): Promise<void> {
    const { topicName, partition, onCommitted } = this.#deps
    if (this.#isLost || this.#partition === null || this.#nextOffset === null) return
    const position: LogPosition = { logId: this.#partition.logId, offset: this.#nextOffset }
    const partitions = [{ partition, offset: String(position.offset), metadata: position.logId }]
    // Not the consumer's own commit: that one does nothing, successfully, once the consumer is stopping.
    await payload.commitOffsetsIfNecessary({ topics: [{ topic: topicName, partitions }] })
    onCommitted(position)
    payload.resolveOffset(String(position.offset - 1))
  }

  async #finish(): Promise<void> {
    await this.#begun
    await this.#underWay
    await this.#revoke()
  }

  async #revoke(): Promise<void> {
    const revoked = this.#asked
    this.#asked = null
    this.#partition = null
    if (revoked === null) return
    await this.#deps.reader.revoked(revoked).catch((err: unknown) => {
      this.#deps.log.warn({ err, partition: revoked.partition }, 'reader failed when revoked')
    })
  }

  get #isEnding(): boolean {
    return this.#ending.signal.aborted
  }

  /** Nothing that is handled from now on could be committed. */
  get #isOver(): boolean {
    return this.#isEnding || this.#isLost
  }

  #lose(loss: Omit<LogLoss, 'reader'>): void {
    this.#deps.onLoss({ ...loss, reader: this.#deps.name })
  }

  async #backOff(error: unknown, failures: number, message: string): Promise<void> {
    // A bug must not be retried, and kafkajs would swallow it.
    if (error instanceof AssertionError) setImmediate(() => Promise.reject(error))
    const ceilingMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** failures)
    const retryInMs = Math.round(ceilingMs * (0.5 + Math.random() / 2))
    const { log, topic, partition } = this.#deps
    log.warn({ err: error, topic, partition, failures: failures + 1, retryInMs }, message)
    await this.#pause(retryInMs)
  }

  /** Resolves early when the partition is given up. */
  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined)
  }
}

function* cutIntoDeliveries(messages: readonly KafkaMessage[]): Generator<Pick<LogBatch, 'entries' | 'nextOffset'>> {
  let entries: LogBatch['entries'] = []
  let characters = 0
  for (const message of messages) {
    const value = message.value?.toString('utf8') ?? ''
    characters += value.length
    if (entries.length === BATCH_ENTRIES_MAX || (entries.length > 0 && characters > BATCH_CHARACTERS_MAX)) {
      yield { entries, nextOffset: Number(message.offset) }
      entries = []
      characters = value.length
    }
    entries.push({ offset: Number(message.offset), value })
  }
  const last = entries.at(-1)
  if (last !== undefined) yield { entries, nextOffset: last.offset + 1 }
}
