/**
 * Topics that gateways, or what ships their logs, write: read as a member of a consumer group of our own, which is told
 * that messages are handled when their calls are durable. Deliveries that are repeated have the same ids.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, {
  type Admin,
  type Consumer,
  type EachBatchPayload,
  type Kafka,
  type KafkaJSError,
  type KafkaMessage,
} from 'kafkajs'
import { topicEntriesLost } from '../events.ts'
import { kafkaConfig, kafkaReason } from '../log/kafka-client.ts'
import { DECOMPRESSED_BYTES_MAX } from '../log/kafka-codec.ts'
import { type Heartbeats, keepAlive } from '../log/kafka-heartbeat.ts'
import type { KafkaReceive } from './listen-options.ts'
import { type Listen, type ListenDeps, takePatiently } from './listening.ts'
import { decompressLz4, decompressSnappy } from './lz-decompress.ts'
import { messageBatches, messageReader } from './message-batch.ts'
import type { CallSource } from './source.ts'

// It is CommonJS, and Node finds only some of its names.
const { AssignerProtocol, CompressionCodecs, CompressionTypes } = kafkajs

const SESSION_MS = 30_000
const HEARTBEAT_MS = 3_000
const FETCH_WAIT_MS = 250
const FETCH_BYTES_MAX = 8 * 2 ** 20
const FETCH_PARTITION_BYTES_MAX = 2 * 2 ** 20
const PARTITIONS_AT_ONCE_MAX = 3
/** Messages and their bytes that are handled at once, and committed then. */
const BATCH_MESSAGES_MAX = 5_000
const BATCH_BYTES_MAX = 8 * 2 ** 20
/** A consumer without any sign of life for so long, while nothing is handled, is taken for dead. */
const SILENT_MS_MAX = 90_000
const WATCH_MS = 1_000
const DISCONNECT_MS_MAX = 10_000
/** Bridges elections; what lasts longer is said, and tried again from the begin. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5 }
const NOTHING_COMMITTED = -1

const readOnly = (decompress: (bytes: Buffer, bytesMax: number) => Buffer) => () => ({
  compress: () => Promise.reject(new Error('We only read this')),
  decompress: async (bytes: Buffer) => decompress(bytes, DECOMPRESSED_BYTES_MAX),
})
CompressionCodecs[CompressionTypes.Snappy] = readOnly(decompressSnappy)
CompressionCodecs[CompressionTypes.LZ4] = readOnly(decompressLz4)

export const consumeTopics: Listen<KafkaReceive> = async (options, source, deps) => {
  const config = await kafkaConfig(options, `sources.${source.name}.receive`, deps.logger)
  const kafka = new kafkajs.Kafka({ ...config, retry: RETRY })
  const admin = kafka.admin()
  const consumer = openConsumer(kafka, groupIdOf(options, source))
  try {
    await admin.connect()
    if (options.from === 'end') await beginAtEnd(admin, options, source)
    const reader = new TopicReader(admin, options, source, deps)
    await reader.begin(options.topics)
    await consume(consumer, reader, options, { ...deps, joined: () => warnOfOthers(admin, options, source, deps) })
  } catch (error) {
    throw error instanceof kafkajs.KafkaJSError ? await explained(error, admin, options) : error
  } finally {
    await Promise.race([Promise.allSettled([consumer.disconnect(), admin.disconnect()]), sleep(DISCONNECT_MS_MAX)])
  }
}

/** Brokers that do not know a topic do not say which. */
async function explained(cause: KafkaJSError, admin: Admin, { topics }: KafkaReceive): Promise<Error> {
  const isMissing = 'type' in cause && cause.type === 'UNKNOWN_TOPIC_OR_PARTITION'
  const known = isMissing ? await admin.listTopics().catch(() => topics) : topics
  const missing = topics.filter(topic => !known.includes(topic)).join(', ')
  const reason = `The brokers have no topic ${missing}, or do not show it to this user`
  return new Error(missing === '' ? kafkaReason(cause) : reason, { cause })
}

const groupIdOf = ({ groupId }: KafkaReceive, { name }: CallSource) => groupId ?? `quotacast-${name}`

const openConsumer = (kafka: Kafka, groupId: string) =>
  kafka.consumer({
    groupId,
    sessionTimeout: SESSION_MS,
    heartbeatInterval: HEARTBEAT_MS,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    maxBytes: FETCH_BYTES_MAX,
    maxBytesPerPartition: FETCH_PARTITION_BYTES_MAX,
    allowAutoTopicCreation: false,
    retry: { ...RETRY, restartOnFailure: async () => false },
  })

/** The member that shares out partitions may take it that all read the same topics: a part of ours would be read by nobody. */
async function warnOfOthers(admin: Admin, options: KafkaReceive, source: CallSource, { logger }: ListenDeps) {
  const groupId = groupIdOf(options, source)
  const { groups } = await admin.describeGroups([groupId])
  const read = groups.flatMap(({ members }) =>
    members.flatMap(({ memberMetadata }) => AssignerProtocol.MemberMetadata.decode(memberMetadata)?.topics ?? []),
  )
  const otherTopics = [...new Set(read)].filter(topic => !options.topics.includes(topic))
  if (otherTopics.length === 0) return
  const words =
    'others read other topics in the consumer group of a source, so some of its calls may be read by nobody: '
  logger.warn({ source: source.name, groupId, otherTopics }, `${words}give the source a groupId of its own`)
}

/** Positions of a group that has none in a topic. Committed, so that partitions which come later are read whole. */
async function beginAtEnd(admin: Admin, options: KafkaReceive, source: CallSource): Promise<void> {
  const groupId = groupIdOf(options, source)
  for (const { topic, partitions } of await admin.fetchOffsets({ groupId, topics: options.topics })) {
    if (partitions.some(({ offset }) => Number(offset) !== NOTHING_COMMITTED)) continue
    const ends = await admin.fetchTopicOffsets(topic)
    await admin.setOffsets({
      groupId,
      topic,
      partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
    })
  }
}

/** From joining the group until the signal; rejects when the consumer is of no more use. */
async function consume(
  consumer: Consumer,
  reader: TopicReader,
  { topics }: KafkaReceive,
  { report, signal, joined }: ListenDeps & { joined: () => Promise<void> },
): Promise<void> {
  const { promise: failed, reject } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  const { GROUP_JOIN, CRASH, FETCH_START, FETCH, HEARTBEAT } = consumer.events
  let aliveAtMs = performance.now()
  const alive = () => {
    aliveAtMs = performance.now()
  }
  for (const sign of [FETCH_START, FETCH, HEARTBEAT] as const) consumer.on(sign, alive)
  consumer.on(CRASH, ({ payload }) => reject(payload.error))
  consumer.on(GROUP_JOIN, () => {
    alive()
    reader.joined()
    report(null)
    // Not every user may ask for that.
    joined().catch(() => undefined)
  })
  await Promise.race([consumer.connect(), failed])
  await Promise.race([consumer.subscribe({ topics: [...topics], fromBeginning: true }), failed])
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: PARTITIONS_AT_ONCE_MAX,
    eachBatch: payload =>
      reader
        .read(payload)
        .finally(alive)
        .catch(error => {
          // What the log or a dialect is to blame for is not cured by asking the brokers again.
          if (!(error instanceof kafkajs.KafkaJSError)) reject(error)
          throw error
        }),
  })
  while (!signal.aborted) {
    await Promise.race([failed, sleep(WATCH_MS, undefined, { signal }).catch(() => undefined)])
    const isSilent = !reader.isReading && performance.now() - aliveAtMs > SILENT_MS_MAX
    if (isSilent) throw new Error(`Nothing was heard of the brokers for ${SILENT_MS_MAX} ms`)
  }
}

class TopicReader {
  readonly #admin: Admin
  readonly #groupId: string
  readonly #source: CallSource
  readonly #deps: ListenDeps
  readonly #readMessage: ReturnType<typeof messageReader>
  /** Next offsets of partitions, as far as we know. */
  readonly #positions = new Map<string, number>()
  /** Partitions of which nobody else can know better. */
  readonly #ours = new Set<string>()
  #reading = 0

  constructor(admin: Admin, options: KafkaReceive, source: CallSource, deps: ListenDeps) {
    this.#admin = admin
    this.#groupId = groupIdOf(options, source)
    this.#source = source
    this.#deps = deps
    this.#readMessage = messageReader(source, options.format)
  }

  get isReading(): boolean {
    return this.#reading > 0
  }

  /** Learns where the group is: kafkajs forgets the place when it finds that its messages are gone. */
  async begin(topics: string[]): Promise<void> {
    for (const { topic, partitions } of await this.#admin.fetchOffsets({ groupId: this.#groupId, topics })) {
      for (const { partition, offset } of partitions) this.#learn({ topic, partition }, Number(offset))
    }
  }

  /** Partitions have been shared out anew, and others may have read on. */
  joined(): void {
    this.#ours.clear()
  }

  /** Takes and commits what was delivered, as far as the partition is still ours. */
  async read(payload: EachBatchPayload): Promise<void> {
    const lost = new AbortController()
    const heartbeats = keepAlive(() => payload.heartbeat(), {
      everyMs: HEARTBEAT_MS,
      isLost: () => lost.signal.aborted,
      lose: () => lost.abort(),
    })
    this.#reading++
    try {
      await this.#checkGap(payload.batch)
      for (const messages of slicesOf(payload.batch.messages)) {
        await this.#take(payload.batch, messages, heartbeats)
        // Somebody else has the partition by now, and takes the same again.
        if (lost.signal.aborted || payload.isStale()) return
        await this.#commit(payload, Number(messages.at(-1)?.offset) + 1)
        if (!payload.isRunning() || this.#deps.signal.aborted) return
      }
    } finally {
      this.#reading--
      heartbeats.stop()
    }
  }

  async #take({ topic, partition }: Batch, messages: readonly KafkaMessage[], heartbeats: Heartbeats): Promise<void> {
    const report = (problem: string | null) => {
      heartbeats.touch()
      this.#deps.report(problem)
    }
    for (const { source, batch } of messageBatches(messages, this.#readMessage)) {
      await takePatiently({ ...this.#deps, report }, source, batch, {
        receiver: 'kafka',
        keyAt: position => `kafka ${topic} ${partition} ${batch.placeAt(position)} ${batch.inputAt(position)}`,
      })
    }
  }

  async #commit({ batch, ...payload }: EachBatchPayload, nextOffset: number): Promise<void> {
    const { topic, partition } = batch
    const partitions = [{ partition, offset: String(nextOffset) }]
    // Not the consumer's own commit: that one does nothing, successfully, once the consumer is stopping.
    await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions }] })
    payload.resolveOffset(String(nextOffset - 1))
    this.#positions.set(keyOf(batch), nextOffset)
  }

  /** Told that an offset is gone, kafkajs goes on from the begin without a word. */
  async #checkGap({ topic, partition, messages }: Batch): Promise<void> {
    const key = keyOf({ topic, partition })
    if (!this.#ours.has(key)) await this.begin([topic])
    this.#ours.add(key)
    const fromOffset = this.#positions.get(key)
    if (fromOffset === undefined || Number(messages[0]?.offset ?? 0) <= fromOffset) return
    const offsets = await this.#admin.fetchTopicOffsets(topic)
    const toOffset = Number(offsets.find(found => found.partition === partition)?.low ?? 0)
    // Other gaps are what compaction and aborted transactions leave.
    if (toOffset <= fromOffset) return
    topicEntriesLost(this.#deps.logger, { source: this.#source.name, topic, partition, fromOffset, toOffset })
  }

  /** Below zero nothing is said. */
  #learn(partition: Pick<Batch, 'topic' | 'partition'>, offset: number): void {
    const key = keyOf(partition)
    if (offset >= 0) this.#positions.set(key, Math.max(offset, this.#positions.get(key) ?? 0))
  }
}

type Batch = EachBatchPayload['batch']
const keyOf = ({ topic, partition }: Pick<Batch, 'topic' | 'partition'>) => `${topic}/${partition}`

function* slicesOf(messages: readonly KafkaMessage[]): Generator<KafkaMessage[]> {
  let slice: KafkaMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const messageBytes = message.value?.length ?? 0
    if (slice.length === BATCH_MESSAGES_MAX || (slice.length > 0 && bytes + messageBytes > BATCH_BYTES_MAX)) {
      yield slice
      slice = []
      bytes = 0
    }
    slice.push(message)
    bytes += messageBytes
  }
  if (slice.length > 0) yield slice
}
