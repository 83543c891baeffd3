import type { Logger } from 'pino'
import { LOG_TOPICS, LogError, type LogTopic } from './call-log.ts'
import { kafkaReason } from './kafka-client.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import type { KafkaLogOptions } from './kafka-options.ts'
import { kafkaTopic } from './kafka-topics.ts'

/** How often a log at rest asks whether its brokers are there. */
const PROBE_MS = 5_000

/** Whether the brokers can be reached and have our topics, so that a log at rest does not look well when it is not. */
export interface KafkaAvailability {
  /** Makes what is missing; throws why it cannot be had. */
  ready(): Promise<void>
  /** Why the log cannot be used, as far as was found out last, or `null`. */
  reason(): string | null
  /** How many partitions the topic had when the brokers were asked last; `null` before that. */
  partitions(topic: LogTopic): number | null
  close(): void
}

export function createKafkaAvailability(
  cluster: KafkaCluster,
  options: KafkaLogOptions,
  deps: { ensureTopics: () => Promise<void>; log: Logger },
): KafkaAvailability {
  let reason: string | null = 'Kafka has not answered yet'
  let isChecked = false
  const partitions = new Map<LogTopic, number>()
  let checking: Promise<void> | null = null

  const check = async (): Promise<void> => {
    const shapes = await Promise.all(LOG_TOPICS.map(topic => cluster.topic(kafkaTopic(options, topic))))
    for (const [index, topic] of LOG_TOPICS.entries()) {
      const shape = shapes[index]
      if (shape) partitions.set(topic, shape.partitions)
      else partitions.delete(topic)
    }
    if (isChecked && shapes.every(shape => shape !== null)) return
    await deps.ensureTopics()
    isChecked = true
  }
  const ready = (): Promise<void> => {
    checking ??= check()
      .then(
        () => {
          if (reason !== null) deps.log.info('Kafka is available')
          reason = null
        },
        (cause: unknown) => {
          const text = kafkaReason(cause)
          if (reason !== text) deps.log.warn({ err: cause }, 'Kafka is not available')
          reason = text
          throw cause instanceof LogError ? cause : new LogError('LOG_UNAVAILABLE', text, { cause })
        },
      )
      .finally(() => {
        checking = null
      })
    return checking
  }
  const timer = setInterval(() => ready().catch(() => undefined), PROBE_MS)
  timer.unref()
  return {
    ready,
    reason: () => reason,
    partitions: topic => partitions.get(topic) ?? null,
    close: () => clearInterval(timer),
  }
}
