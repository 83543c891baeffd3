/**
 * What the log asks of the brokers beside producing and consuming. kafkajs has an admin client for most of it; the rest
 * (reading without a group, committing without being a member, the id of a topic) goes through the `Cluster` that it
 * hands to every partition assigner, the one place where its public interface gives it out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Broker, Cluster, KafkaMessage } from 'kafkajs'
import { requestTopic, type TopicShape } from './kafka-topic-id.ts'

const ATTEMPTS_MAX = 4
const RETRY_MS = 100
const FETCH_WAIT_MS = 50
/** The brokers keep a position as long as their `offsets.retention.minutes` says. */
const BROKER_DECIDES = -1
const NO_GENERATION = -1
const NOT_FOUND = -1

export interface PartitionOffsets {
  partition: number
  beginOffset: number
  endOffset: number
}

export interface GroupPosition {
  partition: number
  /** `null` where nothing was committed. */
  offset: number | null
  metadata: string
}

/** Topics are given by their full names. Everything is retried a few times, then throws what kafkajs throws. */
export interface KafkaCluster {
  /** The id that a topic has from its making to its deletion, and its partitions; `null` when there is no such topic. */
  topic(topic: string): Promise<TopicShape | null>
  offsets(topic: string): Promise<PartitionOffsets[]>
  /** Offset of the first entry at or after `atMs` (Unix ms), `null` where there is none. */
  offsetAt(topic: string, partition: number, atMs: number): Promise<number | null>
  /** Messages from the batch that holds `fromOffset` on: one batch at least, if there is one, else about `bytesMax`. */
  fetch(topic: string, partition: number, fromOffset: number, bytesMax: number): Promise<KafkaMessage[]>
  positions(groupId: string, topic: string): Promise<GroupPosition[]>
  /** Commits for a group without members. */
  commit(groupId: string, topic: string, position: GroupPosition & { offset: number }): Promise<void>
  deleteBelow(topic: string, partition: number, offset: number): Promise<void>
  close(): Promise<void>
}

interface Clients {
  admin: Admin
  leaders: Cluster
  /** Knows no topics: one that has known a topic can learn nothing while that is missing. */
  controller: Cluster
}

export function createKafkaCluster({ admin, leaders, controller }: Clients): KafkaCluster {
  return {
    topic: topic =>
      attempt(controller, async () => {
        await controller.refreshMetadataIfNecessary()
        return requestTopic(await controller.findControllerBroker(), topic)
      }),
    offsets: topic => attempt(leaders, () => offsetsOf(leaders, topic)),
    offsetAt: (topic, partition, atMs) =>
      attempt(leaders, async () => {
        await leaders.addTargetTopic(topic)
        const asked = { topic, partitions: [{ partition }], fromTimestamp: atMs }
        const [found] = await leaders.fetchTopicsOffset([asked])
        const offset = Number(found?.partitions[0]?.offset ?? NOT_FOUND)
        return offset === NOT_FOUND ? null : offset
      }),
    fetch: (topic, partition, fromOffset, bytesMax) =>
      attempt(leaders, async () => {
        const broker = await leaderOf(leaders, topic, partition)
        const partitions = [{ partition, fetchOffset: String(fromOffset), maxBytes: bytesMax }]
        const fetched: { responses: { partitions: { messages: KafkaMessage[] }[] }[] } = await broker.fetch({
          maxWaitTime: FETCH_WAIT_MS,
          maxBytes: bytesMax,
          topics: [{ topic, partitions }],
        })
        return fetched.responses[0]?.partitions[0]?.messages ?? []
      }),
    positions: (groupId, topic) =>
      attempt(leaders, async () => {
        const [found] = await admin.fetchOffsets({ groupId, topics: [topic] })
        return (found?.partitions ?? []).map(({ partition, offset, metadata }) => ({
          partition,
          offset: Number(offset) < 0 ? null : Number(offset),
          metadata: metadata ?? '',
        }))
      }),
    commit: (groupId, topic, { partition, offset, metadata }) =>
      attempt(leaders, async () => {
        const coordinator = await leaders.findGroupCoordinator({ groupId })
        const position = { partition, offset: String(offset), metadata }
        await coordinator.offsetCommit({
          groupId,
          groupGenerationId: NO_GENERATION,
          memberId: '',
          retentionTime: BROKER_DECIDES,
          topics: [{ topic, partitions: [position] }],
        })
      }),
    deleteBelow: (topic, partition, offset) =>
      attempt(leaders, async () => {
        // It takes the leaders from what it has loaded, and loads nothing for that.
        await admin.fetchTopicOffsets(topic)
        await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] })
      }),
    async close() {
      await Promise.all([admin.disconnect(), leaders.disconnect(), controller.disconnect()])
    },
  }
}

async function attempt<T>(cluster: Cluster, operation: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      if (!cluster.isConnected()) await cluster.connect()
      return await operation()
    } catch (error) {
      if (attempts === ATTEMPTS_MAX) throw error
      await sleep(RETRY_MS * 2 ** attempts)
      await cluster.refreshMetadata().catch(() => undefined)
    }
  }
}

async function leaderOf(cluster: Cluster, topic: string, partition: number): Promise<Broker> {
  await cluster.addTargetTopic(topic)
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  if (nodeId === undefined) throw new Error(`Partition ${partition} of ${topic} has no leader`)
  return cluster.findBroker({ nodeId })
}

async function offsetsOf(cluster: Cluster, topic: string): Promise<PartitionOffsets[]> {
  await cluster.addTargetTopic(topic)
  await cluster.refreshMetadataIfNecessary()
  const partitions = cluster.findTopicPartitionMetadata(topic).map(found => ({ partition: found.partitionId }))
  const ask = (fromBeginning: boolean) => cluster.fetchTopicsOffset([{ topic, partitions, fromBeginning }])
  const [begins, ends] = await Promise.all([ask(true), ask(false)])
  const beginOf = new Map(begins[0]?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
  return (ends[0]?.partitions ?? [])
    .map(({ partition, offset }) => {
      return { partition, beginOffset: beginOf.get(partition) ?? 0, endOffset: Number(offset) }
    })
    .sort((one, other) => one.partition - other.partition)
}
