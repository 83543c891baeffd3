/**
 * Which life of the log a partition is in. Its id is the id that Kafka gave the topic, so that a topic that was deleted
 * and made again is another log wherever one looks. Only a partition that lost its end (restored from a copy, or an
 * unclean election) keeps that id while its offsets are given out a second time: then the reader that notices gives
 * it a new one, kept where all can see it and where it dies with the topic: as a position of a group without members.
 */
import { randomUUID } from 'node:crypto'
import type { LogTopic } from './call-log.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import { kafkaTopic } from './kafka-topics.ts'

/** How long reading may go on with what was found out last. */
const FRESH_MS = 1_000
/** The brokers forget positions a week after they were committed, unless configured otherwise. */
const RECOMMIT_MS = 3_600_000

export interface KafkaLives {
  /** Id of the life each partition is in. Throws when the topic is not there. */
  logIds(topic: LogTopic, options?: { isFresh: boolean }): Promise<LogIds>
  /** Begins another life of the partition, unless somebody else was faster. */
  renew(topic: LogTopic, partition: number, logId: string, endOffset: number): Promise<void>
}

export interface LogIds {
  of(partition: number): string
  /** How many there are. */
  partitions: number
}

/** What is kept of a renewed life; a position that outlived its topic has another `topicId`. */
interface Life {
  topicId: string
  logId: string
}

interface Known {
  atMs: number
  topicId: string
  partitions: number
  lives: Map<number, Life>
}

export function createKafkaLives(cluster: KafkaCluster, options: KafkaLogOptions): KafkaLives {
  const groupId = `${options.groupPrefix}lives`
  const known = new Map<LogTopic, Known>()
  const recommittedAtMs = new Map<string, number>()

  const keep = async (topic: LogTopic, partition: number, life: Life, offset: number): Promise<void> => {
    await cluster.commit(groupId, kafkaTopic(options, topic), { partition, offset, metadata: JSON.stringify(life) })
    recommittedAtMs.set(life.logId, performance.now())
  }
  const find = async (topic: LogTopic): Promise<Known> => {
    const name = kafkaTopic(options, topic)
    const [shape, positions] = await Promise.all([cluster.topic(name), cluster.positions(groupId, name)])
    if (shape === null) throw new Error(`The topic ${name} is missing`)
    const { id: topicId, partitions } = shape
    const found: Known = { atMs: performance.now(), topicId, partitions, lives: new Map() }
    for (const { partition, offset, metadata } of positions) {
      const life = parseLife(metadata)
      if (offset === null || life?.topicId !== topicId) continue
      found.lives.set(partition, life)
      const keptAtMs = recommittedAtMs.get(life.logId) ?? Number.NEGATIVE_INFINITY
      if (performance.now() - keptAtMs > RECOMMIT_MS) await keep(topic, partition, life, offset)
    }
    known.set(topic, found)
    return found
  }

  return {
    async logIds(topic, { isFresh } = { isFresh: true }) {
      const last = known.get(topic)
      const isGood = !isFresh && last !== undefined && performance.now() - last.atMs < FRESH_MS
      const { topicId, partitions, lives } = isGood ? last : await find(topic)
      return { of: partition => lives.get(partition)?.logId ?? topicId, partitions }
    },
    async renew(topic, partition, logId, endOffset) {
      const { topicId, lives } = await find(topic)
      if ((lives.get(partition)?.logId ?? topicId) !== logId) return
      await keep(topic, partition, { topicId, logId: randomUUID() }, endOffset)
      known.delete(topic)
    },
  }
}

function parseLife(metadata: string): Life | null {
  try {
    const life: Partial<Life> = JSON.parse(metadata)
    return typeof life.topicId === 'string' && typeof life.logId === 'string' ? (life as Life) : null
  } catch {
    return null
  }
}
