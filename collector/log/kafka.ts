/**
 * The log on Apache Kafka. What its other files hold: `kafka-client` (how to connect), `kafka-codec` (compression),
 * `kafka-topics` (made and checked), `kafka-appender` (group commit), `kafka-subscription` and `kafka-partition`
 * (reading in a group), `kafka-read` (reading without one, trimming), `kafka-lives` (which log it is), `kafka-cluster`
 * (all other questions to the brokers).
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Cluster, type Consumer, type Kafka } from 'kafkajs'
import type { Logger } from 'pino'
import { type CallLog, LOG_TOPICS, type LogDeps, LogError, type LogTopic } from './call-log.ts'
import { createKafkaAppender, type KafkaAppender } from './kafka-appender.ts'
import { createKafkaAvailability, type KafkaAvailability } from './kafka-availability.ts'
import { kafkaConfig } from './kafka-client.ts'
import { createKafkaCluster, type KafkaCluster } from './kafka-cluster.ts'
import { createKafkaLives } from './kafka-lives.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import { topicLag } from './kafka-positions.ts'
import { partitionsOf, readEntries, trimBelow } from './kafka-read.ts'
import { heartbeatMs, KafkaSubscription } from './kafka-subscription.ts'
import { ensureTopics, kafkaTopic } from './kafka-topics.ts'

// It is CommonJS, and Node finds only some of its names.
const { CompressionTypes, PartitionAssigners, Partitioners } = kafkajs

/** How long opening waits for the brokers; after that it goes on without them. */
const OPEN_MS_MAX = 5_000
const FETCH_BYTES_MAX = 16 * 2 ** 20
const FETCH_PARTITION_BYTES_MAX = 2 * 2 ** 20
/** How soon readers learn of partitions that were added, later than those who append: they need all ids that are stored by then. */
const METADATA_MS_MAX = 30_000
/** How long a fetch waits for entries; also how soon a reader begins after it was assigned. */
const FETCH_WAIT_MS = 250
/** kafkajs bridges elections and short outages; after that its client is replaced. */
const CLIENT_RETRY = { initialRetryTime: 100, maxRetryTime: 2_000, retries: 8 }
/** What is asked beside that is retried by whoever asks. */
const QUESTION_RETRY = { initialRetryTime: 100, maxRetryTime: 500, retries: 1 }

/**
 * Resolves also while no broker can be reached: `unavailable` says so, and reading begins when one can. Throws
 * `LogError` `LOG_UNAVAILABLE` when the topics that are there would lose entries, and `TlsError`.
 */
export async function openKafkaLog(options: KafkaLogOptions, deps: LogDeps): Promise<CallLog> {
  const { log, onLoss, now = Date.now } = deps
  const config = await kafkaConfig(options, 'log', log)
  const kafka = new kafkajs.Kafka({ ...config, retry: CLIENT_RETRY })
  const questions = new kafkajs.Kafka({ ...config, retry: QUESTION_RETRY })
  const cluster = createKafkaCluster({
    admin: questions.admin(),
    leaders: clusterOf(questions, options),
    controller: clusterOf(questions, options),
  })
  const availability = createKafkaAvailability(cluster, options, {
    // A client that has known a topic fails as long as that is missing, so this one is new each time.
    ensureTopics: () => ensureTopics(questions.admin(), options, log),
    log,
  })
  const lives = createKafkaLives(cluster, options)
  const reading = { cluster, lives, options }
  const appenders = new Map(
    LOG_TOPICS.map(topic => [topic, openAppender(topic, { kafka, cluster, availability, options, log, now })]),
  )
  const subscriptions = new Set<KafkaSubscription>()
  await untilReady(availability, () => cluster.close())

  return {
    async append(topic, entries) {
      const appender = appenders.get(topic)
      assert(appender, `no such topic: ${topic}`)
      if (entries.length > 0) await appender.append(entries)
    },
    subscribe(topics, name, reader) {
      assert(/^[a-z][a-z0-9-]{0,62}$/.test(name), 'a reader is named in lower case')
      const subscription = new KafkaSubscription({
        ...{ topics, name, reader, options, cluster, lives, log, onLoss, now },
        ready: availability.ready,
        openConsumer: groupId => openConsumer(kafka, groupId, options),
      })
      subscriptions.add(subscription)
      return {
        close: () => subscription.close().finally(() => subscriptions.delete(subscription)),
      }
    },
    lag: async (topics, name) => {
      const lags = topics.map(topic => topicLag(reading, { topic, name, nowMs: now() }))
      return (await orUnavailable(Promise.all(lags))).flat()
    },
    read: (topic, partition, fromOffset, entriesMax) =>
      orUnavailable(readEntries(reading, { topic, partition, fromOffset, entriesMax })),
    partitions: topic => orUnavailable(partitionsOf(reading, topic)),
    unavailable(only) {
      for (const [topic, appender] of appenders) {
        const reason = only === undefined || topic === only ? appender.unavailable() : null
        if (reason !== null) return `${topic}: ${reason}`
      }
      return availability.reason()
    },
    trim: (partition, belowOffset) => orUnavailable(trimBelow(reading, partition, belowOffset, now())),
    async close() {
      await Promise.all([...subscriptions].map(subscription => subscription.close()))
      await Promise.all(Array.from(appenders.values(), appender => appender.close()))
      availability.close()
      await cluster.close()
    },
  }
}

/** A role must be able to start while its brokers are away, but not on topics that would lose its entries. */
async function untilReady(availability: KafkaAvailability, release: () => Promise<void>): Promise<void> {
  const isUnusable = (error: unknown): boolean => error instanceof LogError && error.cause === undefined
  const checked = availability.ready().catch((error: unknown) => {
    if (isUnusable(error)) throw error
  })
  const late = new AbortController()
  try {
    await Promise.race([checked, sleep(OPEN_MS_MAX, undefined, { signal: late.signal }).catch(() => undefined)])
  } catch (error) {
    availability.close()
    await release()
    throw error
  } finally {
    late.abort()
  }
}

interface AppenderParts {
  kafka: Kafka
  cluster: KafkaCluster
  availability: KafkaAvailability
  options: KafkaLogOptions
  log: Logger
  now: () => number
}

function openAppender(topic: LogTopic, parts: AppenderParts): KafkaAppender {
  const { kafka, cluster, availability, options, log, now } = parts
  const topicName = kafkaTopic(options, topic)
  return createKafkaAppender({
    topic: topicName,
    async openProducer() {
      await availability.ready()
      const producer = kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
      })
      await producer.connect()
      return { producer, partitions: availability.partitions(topic) ?? (await cluster.offsets(topicName)).length }
    },
    partitions: () => availability.partitions(topic),
    compression: CompressionTypes.ZSTD,
    appendTimeoutMs: options.appendTimeoutMs,
    log,
    now,
  })
}

function openConsumer(kafka: Kafka, groupId: string, options: KafkaLogOptions): Consumer {
  return kafka.consumer({
    groupId,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.rebalanceTimeoutMs,
    metadataMaxAge: METADATA_MS_MAX,
    heartbeatInterval: heartbeatMs(options),
    maxWaitTimeInMs: FETCH_WAIT_MS,
    maxBytes: FETCH_BYTES_MAX,
    maxBytesPerPartition: FETCH_PARTITION_BYTES_MAX,
    allowAutoTopicCreation: false,
    retry: { ...CLIENT_RETRY, restartOnFailure: async () => false },
  })
}

/** The consumer that carries it is never run. */
function clusterOf(kafka: Kafka, options: KafkaLogOptions): Cluster {
  let found: Cluster | null = null
  kafka.consumer({
    groupId: options.clientId,
    metadataMaxAge: METADATA_MS_MAX,
    allowAutoTopicCreation: false,
    partitionAssigners: [
      config => {
        found = config.cluster
        return PartitionAssigners.roundRobin(config)
      },
    ],
  })
  assert(found, 'kafkajs makes its assigners with the consumer')
  return found
}

async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((cause: unknown) => {
    if (cause instanceof LogError) throw cause
    throw new LogError('LOG_UNAVAILABLE', cause instanceof Error ? cause.message : String(cause), { cause })
  })
}
