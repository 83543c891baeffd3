/** A log that was made anew is another log: said loudly, read from its begin, and a call of the old one stays once. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { describeWith } from '../../servers/describe-with.ts'
import { kafkaChecks } from '../../servers/kafka.ts'
import { type KafkaWorld, openKafkaWorld } from './kafka-world.ts'
import { makeCall } from './make-call.ts'

const WAIT = { timeout: 30_000, interval: 250 }
const calls = (count: number) => Array.from({ length: count }, () => makeCall())

describeWith(kafkaChecks, 'a topic of Kafka that is deleted and made anew under a running writer', () => {
  let world: KafkaWorld
  beforeAll(async () => {
    world = await openKafkaWorld({ brokers: 1, partitions: 2 })
  })
  afterAll(() => world?.close())

  test('is another log', { timeout: 120_000 }, async () => {
    const writer = world.startWriter()
    const old = calls(500)
    await world.append(old)
    await world.expectStored(500)
    const [before] = await world.log.partitions('calls')

    await world.admin.deleteTopics({ topics: ['prefix.calls'] })
    const fresh = calls(300)
    await vi.waitFor(() => world.append([...fresh, ...old.slice(0, 200)]), WAIT)
    await world.expectStored(800)
    const [after] = await world.log.partitions('calls')
    expect(after?.logId).not.toBe(before?.logId)
    expect(world.losses).toContainEqual(
      expect.objectContaining({ reader: 'writer', reason: 'other_log', logId: before?.logId }),
    )
    await writer.close()
  })
})
