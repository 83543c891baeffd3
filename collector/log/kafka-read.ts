/** What is asked of the log without being a reader of it: entries, bounds, trimming. */
import type { LogBatch, LogPartition, LogTopic } from './call-log.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import type { KafkaLives } from './kafka-lives.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import { kafkaTopic } from './kafka-topics.ts'

const READ_ENTRIES_MAX = 20_000
const READ_CHARACTERS_MAX = 16 * 2 ** 20
/** Asked for at once, compressed. */
const FETCH_BYTES_MAX = 2 * 2 ** 20

export interface ReadDeps {
  cluster: KafkaCluster
  lives: KafkaLives
  options: KafkaLogOptions
}

export async function partitionsOf({ cluster, lives, options }: ReadDeps, topic: LogTopic) {
  const [logIds, offsets] = await Promise.all([lives.logIds(topic), cluster.offsets(kafkaTopic(options, topic))])
  return offsets.map(({ partition, beginOffset, endOffset }) => {
    return { topic, logId: logIds.of(partition), partition, beginOffset, endOffset }
  })
}

export async function readEntries(
  { cluster, lives, options }: ReadDeps,
  {
    topic,
    partition,
    fromOffset,
    entriesMax,
  }: Pick<LogPartition, 'topic' | 'partition'> & {
    fromOffset: number
    entriesMax: number
  },
): Promise<LogBatch> {
  const topicName = kafkaTopic(options, topic)
  const [logIds, offsets] = await Promise.all([lives.logIds(topic, { isFresh: false }), cluster.offsets(topicName)])
  const bounds = offsets.find(found => found.partition === partition)
  if (bounds === undefined) throw new Error(`There is no partition ${partition} of ${topicName}`)
  const batch = { topic, logId: logIds.of(partition), partition, entries: [] as LogBatch['entries'] }
  const count = Math.min(entriesMax, READ_ENTRIES_MAX)
  let nextOffset = Math.max(fromOffset, bounds.beginOffset)
  let characters = 0
  while (nextOffset < bounds.endOffset && batch.entries.length < count && characters < READ_CHARACTERS_MAX) {
    const messages = await cluster.fetch(topicName, partition, nextOffset, FETCH_BYTES_MAX)
    // A fetch begins with the batch that holds the offset, not with the offset.
    const wanted = messages.filter(message => Number(message.offset) >= nextOffset)
    for (const message of wanted.slice(0, count - batch.entries.length)) {
      const value = message.value?.toString('utf8') ?? ''
      characters += value.length
      nextOffset = Number(message.offset) + 1
      batch.entries.push({ offset: Number(message.offset), value })
    }
    if (wanted.length === 0) break
  }
  return { ...batch, nextOffset }
}

/** Kafka drops to the entry: everything below the offset and older than the retention, nothing else. */
export async function trimBelow(
  { cluster, lives, options }: ReadDeps,
  { topic, partition, logId }: LogPartition,
  belowOffset: number,
  nowMs: number,
): Promise<void> {
  const topicName = kafkaTopic(options, topic)
  if ((await lives.logIds(topic)).of(partition) !== logId) return
  const [young, offsets] = await Promise.all([
    cluster.offsetAt(topicName, partition, nowMs - options.retentionSeconds * 1_000),
    cluster.offsets(topicName),
  ])
  const bounds = offsets.find(found => found.partition === partition)
  if (bounds === undefined) return
  const offset = Math.min(belowOffset, young ?? bounds.endOffset, bounds.endOffset)
  if (offset > bounds.beginOffset) await cluster.deleteBelow(topicName, partition, offset)
}
