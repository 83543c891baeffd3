/**
 * One named reader as a member of a consumer group. Every rebalance ends all of its partitions and begins those that
 * it has then. A consumer that crashed, that fell silent, or whose log was replaced under it, is thrown away and
 * another one joins.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload } from 'kafkajs'
import type { Logger } from 'pino'
import { readerLost } from '../events.ts'
import type { LogLoss, LogReader, LogSubscription, LogTopic } from './call-log.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import type { KafkaLives } from './kafka-lives.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import { KafkaPartition, type LogPosition } from './kafka-partition.ts'
import { groupOf, toLogPosition } from './kafka-positions.ts'
import { kafkaTopic } from './kafka-topics.ts'

/** Partitions that are handled at once; each has one delivery under way. */
const PARTITIONS_AT_ONCE_MAX = 6
/** How often we look whether the log that is read is still the log that is there. */
const WATCH_MS = 1_000
const REJOIN_MS_MIN = 200
const REJOIN_MS_MAX = 5_000
/** A consumer without any sign of life for so long, while nothing is handled, is taken for dead. */
const SILENT_MS_MAX = 90_000
const DISCONNECT_MS_MAX = 10_000

export interface SubscriptionDeps {
  topics: readonly LogTopic[]
  name: string
  reader: LogReader
  options: KafkaLogOptions
  cluster: KafkaCluster
  lives: KafkaLives
  /** Resolves when the topics are there. */
  ready(): Promise<void>
  openConsumer(groupId: string): Consumer
  log: Logger
  onLoss: (loss: LogLoss) => void
  now: () => number
}

export class KafkaSubscription implements LogSubscription {
  readonly #deps: SubscriptionDeps
  readonly #log: Logger
  readonly #groupId: string
  readonly #topics: Map<string, LogTopic>
  readonly #closing = new AbortController()
  readonly #positions = new Map<string, LogPosition>()
  readonly #done: Promise<void>
  #partitions = new Map<string, KafkaPartition>()
  /** Lives that may still be ending; the same partition's next one waits for them. */
  #endings = new Map<string, Promise<void>>()
  #aliveAtMs = 0

  /** Begins at once. */
  constructor(deps: SubscriptionDeps) {
    this.#deps = deps
    this.#log = deps.log.child({ reader: deps.name })
    this.#groupId = groupOf(deps.options, deps.name)
    this.#topics = new Map(deps.topics.map(topic => [kafkaTopic(deps.options, topic), topic]))
    this.#done = this.#run()
  }

  /** Resolves after the deliveries under way were handled and committed. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#isClosing; failures++) {
      const joinedAtMs = performance.now()
      try {
        await this.#deps.ready()
        if (!this.#isClosing) await this.#consume()
      } catch (err) {
        readerLost(this.#log, err)
      }
      if (performance.now() - joinedAtMs > SILENT_MS_MAX) failures = 0
      const ceilingMs = Math.min(REJOIN_MS_MAX, REJOIN_MS_MIN * 2 ** failures)
      await this.#pause(ceilingMs * (0.5 + Math.random() / 2))
    }
    await Promise.all(this.#endings.values())
  }

  /** From joining the group until the consumer is of no more use, which it throws, or until we are closed. */
  async #consume(): Promise<void> {
    const consumer = this.#deps.openConsumer(this.#groupId)
    const { promise: failed, reject: fail } = Promise.withResolvers<never>()
    failed.catch(() => undefined)
    const { GROUP_JOIN, CRASH, FETCH_START, FETCH, HEARTBEAT } = consumer.events
    this.#alive()
    for (const sign of [FETCH_START, FETCH, HEARTBEAT] as const) consumer.on(sign, () => this.#alive())
    consumer.on(CRASH, ({ payload }) => fail(payload.error))
    // A consumer that would not end in time may still join and deliver: nobody listens to it any more.
    const over = new AbortController()
    consumer.on(GROUP_JOIN, event => {
      if (!over.signal.aborted) this.#joined(consumer, event)
    })
    const deliver = async (payload: EachBatchPayload): Promise<void> => {
      if (!over.signal.aborted) await this.#deliver(payload)
    }
    const closing = new Promise<void>(resolve => this.#closing.signal.addEventListener('abort', () => resolve()))
    try {
      await Promise.race([this.#start(consumer, deliver), failed, closing])
      this.#watch(over.signal).catch(fail)
      await Promise.race([failed, closing])
    } finally {
      // Deliveries that are handled when we are closed are still ours to commit: the consumer goes last.
      const endings = this.#endAll({ isLost: !this.#isClosing })
      if (this.#isClosing) await endings
      over.abort()
      await Promise.race([consumer.disconnect().catch(() => undefined), sleep(DISCONNECT_MS_MAX)])
    }
  }

  async #start(consumer: Consumer, eachBatch: (payload: EachBatchPayload) => Promise<void>): Promise<void> {
    await consumer.connect()
    await consumer.subscribe({ topics: [...this.#topics.keys()], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE_MAX,
      eachBatch,
    })
  }

  async #deliver(payload: EachBatchPayload): Promise<void> {
    this.#alive()
    await this.#partitions.get(keyOf(payload.batch.topic, payload.batch.partition))?.deliver(payload)
    this.#alive()
  }

  /** kafkajs would fetch at once, from where the group was: nothing may come before the reader has said where to begin. */
  #joined(consumer: Consumer, { payload: { memberAssignment } }: ConsumerGroupJoinEvent): void {
    this.#alive()
    void this.#endAll({ isLost: true })
    const assigned = Object.entries(memberAssignment).filter(([topicName]) => this.#topics.has(topicName))
    consumer.pause(assigned.map(([topic, partitions]) => ({ topic, partitions })))
    for (const [topicName, partitions] of assigned) {
      for (const partition of partitions) this.#begin(consumer, topicName, partition)
    }
    this.#log.info({ partitions: memberAssignment }, 'the reader has joined its group')
  }

  #begin(consumer: Consumer, topicName: string, partition: number): void {
    const topic = this.#topics.get(topicName)
    if (topic === undefined || this.#isClosing) return
    const { reader, name, cluster, lives, options, onLoss } = this.#deps
    const key = keyOf(topicName, partition)
    const deps = { topic, topicName, partition, name, reader, cluster, lives, onLoss, log: this.#log }
    const begun = new KafkaPartition(
      {
        ...deps,
        heartbeatMs: heartbeatMs(options),
        lastPosition: () => this.#positions.get(key) ?? null,
        committedPosition: () => this.#committedPosition(topic, topicName, partition),
        onCommitted: position => this.#positions.set(key, position),
        resume: offset => {
          // Of a consumer that has stopped meanwhile there is nothing left to resume.
          if (this.#partitions.get(key) !== begun) return
          consumer.seek({ topic: topicName, partition, offset: String(offset) })
          consumer.resume([{ topic: topicName, partitions: [partition] }])
        },
      },
      this.#endings.get(key) ?? Promise.resolve(),
    )
    this.#partitions.set(key, begun)
  }

  async #endAll(options: { isLost: boolean }): Promise<void> {
    const ending = this.#partitions
    this.#partitions = new Map()
    for (const [key, partition] of ending) this.#endings.set(key, partition.end(options))
    await Promise.all(this.#endings.values())
  }

  /** Throws when the consumer has to be replaced. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(WATCH_MS, undefined, { signal }).catch(() => undefined)
      const isHandling = [...this.#partitions.values()].some(partition => partition.isHandling)
      if (!isHandling && performance.now() - this.#aliveAtMs > SILENT_MS_MAX) throw new Error('The consumer is silent')
      const isOutdated = await this.#isOutdated().catch(() => false)
      if (isOutdated && !signal.aborted) throw new Error('The log was replaced')
    }
  }

  async #isOutdated(): Promise<boolean> {
    const partitions = this.#partitions
    for (const [topicName, topic] of this.#topics) {
      const [logIds, offsets] = await Promise.all([
        this.#deps.lives.logIds(topic),
        this.#deps.cluster.offsets(topicName),
      ])
      for (const found of offsets) {
        const partition = partitions.get(keyOf(topicName, found.partition))
        if (partition?.isOutdated(logIds.of(found.partition), found)) return true
      }
    }
    return false
  }

  async #committedPosition(topic: LogTopic, topicName: string, partition: number): Promise<LogPosition | null> {
    const positions = await this.#deps.cluster.positions(this.#groupId, topicName)
    const found = positions.find(position => position.partition === partition)
    return found === undefined ? null : toLogPosition(found, await this.#deps.lives.logIds(topic, { isFresh: false }))
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted
  }

  #alive(): void {
    this.#aliveAtMs = performance.now()
  }

  /** Resolves early when the subscription is closed. */
  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }
}

export function heartbeatMs({ sessionTimeoutMs }: KafkaLogOptions): number {
  return Math.min(3_000, Math.floor(sessionTimeoutMs / 4))
}

function keyOf(topicName: string, partition: number): string {
  return `${topicName}/${partition}`
}
