/** Where named readers are, as the brokers keep it: each is a consumer group. */
import type { LogLag, LogTopic } from './call-log.ts'
import type { GroupPosition } from './kafka-cluster.ts'
import type { LogIds } from './kafka-lives.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import type { LogPosition } from './kafka-partition.ts'
import type { ReadDeps } from './kafka-read.ts'
import { kafkaTopic } from './kafka-topics.ts'

const LAG_FETCH_BYTES = 64 * 2 ** 10

export const groupOf = ({ groupPrefix }: Pick<KafkaLogOptions, 'groupPrefix'>, name: string): string =>
  `${groupPrefix}${name}`

/** An operator who moves a group by hand leaves no metadata: that is a position of the log as it is now. */
export function toLogPosition({ partition, offset, metadata }: GroupPosition, logIds: LogIds): LogPosition | null {
  return offset === null ? null : { offset, logId: metadata === '' ? logIds.of(partition) : metadata }
}

/** How far a reader is behind the end of a topic, whether or not it reads now. */
export async function topicLag(
  { cluster, lives, options }: ReadDeps,
  { topic, name, nowMs }: { topic: LogTopic; name: string; nowMs: number },
): Promise<LogLag[]> {
  const topicName = kafkaTopic(options, topic)
  const [logIds, offsets, positions] = await Promise.all([
    lives.logIds(topic),
    cluster.offsets(topicName),
    cluster.positions(groupOf(options, name), topicName),
  ])
  return Promise.all(
    offsets.map(async ({ partition, beginOffset, endOffset }) => {
      const found = positions.find(position => position.partition === partition)
      const committed = found === undefined ? null : toLogPosition(found, logIds)
      const isSame = committed?.logId === logIds.of(partition)
      const from = isSame ? Math.max(beginOffset, committed.offset) : beginOffset
      const entries = Math.max(0, endOffset - from)
      if (entries === 0) return { topic, partition, entries, ageMs: 0 }
      const messages = await cluster.fetch(topicName, partition, from, LAG_FETCH_BYTES)
      const oldest = messages.find(message => Number(message.offset) >= from)
      const ageMs = oldest === undefined ? 0 : Math.max(0, nowMs - Number(oldest.timestamp))
      return { topic, partition, entries, ageMs }
    }),
  )
}
