/** The topics of the log: made where they are missing, refused where they would lose entries. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import type { Logger } from 'pino'
import { LOG_TOPICS, LogError, type LogTopic } from './call-log.ts'
import type { KafkaLogOptions } from './kafka-options.ts'

/** Of one record batch, compressed. Ours stay below it before compression: see `GROUP_BYTES_MAX` of the appender. */
const BATCH_BYTES_MAX = 8 * 2 ** 20
const ANY_AGE_MS = '9223372036854775807'
const CREATE_TIMEOUT_MS = 10_000
/** How long the brokers may take to know what was made. */
const KNOWN_MS_MAX = 5_000
const KNOWN_POLL_MS = 100
const UNKNOWN = 'UNKNOWN_TOPIC_OR_PARTITION'
/** `ConfigResourceTypes.TOPIC` of the protocol. */
const TOPIC_RESOURCE = 2

export function kafkaTopic(options: Pick<KafkaLogOptions, 'topicPrefix'>, topic: LogTopic): string {
  return `${options.topicPrefix}${topic}`
}

/**
 * What a topic must be set to. `control` is not compacted by Kafka: its order decides which of two changes has won, and of
 * two with one key compaction keeps the later one, which may be the loser. What snapshots in it hold is trimmed instead.
 */
const SETTINGS: Record<string, string> = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'unclean.leader.election.enable': 'false',
}

/** What a topic is made with besides; an operator may have had reasons to change it. */
const MADE_WITH: Record<string, string> = {
  'max.message.bytes': String(BATCH_BYTES_MAX),
  // Whatever else writes here, our readers can decompress it.
  'compression.type': 'zstd',
  // A collector whose clock is wrong still has to deliver.
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': ANY_AGE_MS,
  'message.timestamp.after.max.ms': ANY_AGE_MS,
}

/**
 * Makes the topics that are missing, then checks all of them, with an admin client that is used up by it. Throws `LogError` `LOG_UNAVAILABLE` that says which
 * setting would lose entries and how to change it, or why a topic could not be made.
 */
export async function ensureTopics(admin: Admin, options: KafkaLogOptions, log: Logger): Promise<void> {
  try {
    await admin.connect()
    const beganMs = performance.now()
    while (!(await areSound(admin, options, log))) {
      if (performance.now() - beganMs > KNOWN_MS_MAX)
        throw new LogError('LOG_UNAVAILABLE', 'The topics of the log were made, and the brokers do not know them yet')
      await sleep(KNOWN_POLL_MS)
    }
  } finally {
    await admin.disconnect()
  }
}

/** False while a broker does not know all of them: it does a moment after they were made. Throws as `ensureTopics`. */
async function areSound(admin: Admin, options: KafkaLogOptions, log: Logger): Promise<boolean> {
  try {
    const existing = new Set(await admin.listTopics())
    const missing = LOG_TOPICS.filter(topic => !existing.has(kafkaTopic(options, topic)))
    if (missing.length > 0) await makeTopics(admin, options, missing, log)
    const problems = [...(await settingProblems(admin, options, log)), ...(await shapeProblems(admin, options))]
    if (problems.length > 0) throw new LogError('LOG_UNAVAILABLE', problems.join(' '))
    return true
  } catch (error) {
    if (codeOf(error) === UNKNOWN) return false
    throw error
  }
}

async function makeTopics(admin: Admin, options: KafkaLogOptions, missing: readonly LogTopic[], log: Logger) {
  const settings = { ...SETTINGS, ...MADE_WITH, 'min.insync.replicas': String(options.minInsyncReplicas) }
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
  const { replicationFactor } = options
  const topics = missing.map(topic => ({
    topic: kafkaTopic(options, topic),
    numPartitions: partitionsOf(options, topic),
    replicationFactor,
    configEntries,
  }))
  try {
    // False where another process was faster.
    const isMade = await admin.createTopics({ topics, timeout: CREATE_TIMEOUT_MS })
    if (isMade) log.info({ topics: topics.map(topic => topic.topic), replicationFactor }, 'topics were made')
  } catch (cause) {
    if (codeOf(cause) === UNKNOWN) throw cause
    throw new LogError('LOG_UNAVAILABLE', `The topics of the log could not be made: ${reasonOf(cause)}`, { cause })
  }
}

/** The log needs the order of one partition for `control`. */
function partitionsOf(options: KafkaLogOptions, topic: LogTopic): number {
  return topic === 'control' ? 1 : options.partitions
}

async function settingProblems(admin: Admin, options: KafkaLogOptions, log: Logger): Promise<string[]> {
  const resources = LOG_TOPICS.map(topic => ({
    type: TOPIC_RESOURCE,
    name: kafkaTopic(options, topic),
    configNames: [...Object.keys(SETTINGS), 'min.insync.replicas'],
  }))
  const described = await admin.describeConfigs({ resources, includeSynonyms: false }).catch((err: unknown) => {
    if (!/AUTHORIZATION/.test(codeOf(err))) throw err
    log.warn({ err }, 'the settings of the topics may not be read, and were not checked')
    return null
  })
  return (described?.resources ?? []).flatMap(({ resourceName, configEntries }) =>
    configEntries
      .filter(({ configName, configValue }) => !isSound(configName, configValue, options))
      .map(({ configName, configValue }) => {
        const wanted = SETTINGS[configName] ?? String(options.minInsyncReplicas)
        return `Topic ${resourceName} has ${configName}=${configValue}, which could lose entries: kafka-configs.sh --alter --topic ${resourceName} --add-config ${configName}=${wanted}.`
      }),
  )
}

function isSound(name: string, value: string, options: KafkaLogOptions): boolean {
  return name === 'min.insync.replicas' ? Number(value) >= options.minInsyncReplicas : value === SETTINGS[name]
}

async function shapeProblems(admin: Admin, options: KafkaLogOptions): Promise<string[]> {
  const names = LOG_TOPICS.map(topic => kafkaTopic(options, topic))
  const { topics } = await admin.fetchTopicMetadata({ topics: names })
  return topics.flatMap(({ name, partitions }) => {
    const replicas = Math.min(...partitions.map(partition => partition.replicas.length))
    const isControl = name === kafkaTopic(options, 'control')
    return [
      ...(replicas < options.replicationFactor
        ? [
            `Topic ${name} has ${replicas} copies of a partition, log.replicationFactor says ${options.replicationFactor}.`,
          ]
        : []),
      ...(isControl && partitions.length !== 1
        ? [`Topic ${name} has ${partitions.length} partitions: it must have one, its order decides.`]
        : []),
    ]
  })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'type' in error ? String(error.type) : ''
}

/** kafkajs answers several failures of one request as an aggregate whose own text says nothing. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!('errors' in error) || !Array.isArray(error.errors)) return error.message
  return [...new Set(error.errors.map(String))].join('; ')
}
