/** What is delivered again, with whatever borders, is not stored again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../servers/describe-with.ts'
import { kafkaChecks } from '../../servers/kafka.ts'
import { type KafkaWorld, openKafkaWorld } from './kafka-world.ts'
import { makeCall } from './make-call.ts'

describeWith(kafkaChecks, 'a delivery from Kafka that is rewound', () => {
  let world: KafkaWorld
  beforeAll(async () => {
    world = await openKafkaWorld({ brokers: 1, partitions: 2 })
  })
  afterAll(() => world?.close())

  test('is read back, and only what is missing is stored', async () => {
    const first = world.startWriter()
    for (let batch = 0; batch < 20; batch++) await world.append(Array.from({ length: 100 }, () => makeCall()))
    await world.expectStored(2_000)
    await first.close()
    const topic = 'prefix.calls'
    const [part] = [{ partition: 0, offset: '0' }]
    await world.admin.setOffsets({
      groupId: 'prefix.writer',
      topic,
      partitions: [part, { partition: 1, offset: '137' }],
    })
    // What was stored before, and is then deleted behind our back, is missing: a rewound delivery brings it back.
    await world.opened.store.client.command({
      query:
        'ALTER TABLE calls DELETE WHERE log_partition = 0 AND log_offset BETWEEN 50 AND 149 SETTINGS mutations_sync = 2',
    })
    await world.append([makeCall()])
    const second = world.startWriter()
    await world.expectStored(2_001)
    await sleep(1_000)
    await world.expectStored(2_001)
    expect(second.status().rows).toBe(101)
    expect(world.losses).toEqual([])
    await second.close()
  })
})
