import type { Admin } from 'kafkajs'
import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { LOG_TOPICS } from '../../../collector/log/call-log.ts'
import type { KafkaLogOptions } from '../../../collector/log/kafka-options.ts'
import { ensureTopics } from '../../../collector/log/kafka-topics.ts'

const options: KafkaLogOptions = {
  ...{ kind: 'kafka', brokers: ['a:1'], clientId: 'test', topicPrefix: 'q.', groupPrefix: 'q.' },
  ...{ partitions: 1, replicationFactor: 1, minInsyncReplicas: 1, retentionSeconds: 60 },
  ...{ appendTimeoutMs: 1_000, sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 6_000 },
}
const unknown = () => Promise.reject(Object.assign(new Error('unknown'), { type: 'UNKNOWN_TOPIC_OR_PARTITION' }))

/** Whose brokers do not know the topics that it made when they are asked for the first time, each in its way. */
function openAdmin() {
  const topics = LOG_TOPICS.map(topic => ({ name: `q.${topic}`, partitions: [{ replicas: [1] }] }))
  return {
    connect: vi.fn(),
    disconnect: vi.fn(),
    listTopics: vi
      .fn()
      .mockResolvedValueOnce([])
      .mockResolvedValue(topics.map(({ name }) => name)),
    createTopics: vi.fn().mockImplementationOnce(unknown).mockResolvedValue(true),
    describeConfigs: vi.fn().mockImplementationOnce(unknown).mockResolvedValue({ resources: [] }),
    fetchTopicMetadata: vi.fn().mockImplementationOnce(unknown).mockResolvedValue({ topics }),
  }
}

test('topics that the brokers do not know yet, as they were just made, are waited for', async () => {
  const admin = openAdmin()
  await ensureTopics(admin as unknown as Admin, options, pino({ level: 'silent' }))
  expect(admin.createTopics).toHaveBeenCalledTimes(1)
  expect(admin.fetchTopicMetadata).toHaveBeenCalledTimes(2)
  expect(admin.disconnect).toHaveBeenCalledTimes(1)
})

test('but not for ever', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const describeConfigs = () => {
    vi.advanceTimersByTime(2_000)
    return unknown()
  }
  const admin = { ...openAdmin(), describeConfigs }
  const ensured = ensureTopics(admin as unknown as Admin, options, pino({ level: 'silent' }))
  await expect(ensured).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE', message: expect.stringContaining('yet') })
  expect(admin.disconnect).toHaveBeenCalledTimes(1)
})
