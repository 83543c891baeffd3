/** Three brokers, whose leaders die under load and come back: all that was acknowledged is stored, and stored once. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { describeWith } from '../../servers/describe-with.ts'
import { kafkaChecks } from '../../servers/kafka.ts'
import { type KafkaWorld, openKafkaWorld } from './kafka-world.ts'
import { makeCall } from './make-call.ts'

const WAIT = { timeout: 60_000, interval: 100 }
const BATCH = 100

describeWith(kafkaChecks, 'a leader of Kafka that dies under load', () => {
  let world: KafkaWorld
  beforeAll(async () => {
    world = await openKafkaWorld({ brokers: 3, partitions: 3 })
  }, 120_000)
  afterAll(() => world?.close())

  /** As a gateway does: sends again whatever was not acknowledged. */
  const send = () => {
    let isStopped = false
    let acknowledged = 0
    const sending = (async () => {
      while (!isStopped) {
        const batch = Array.from({ length: BATCH }, () => makeCall())
        while (
          !(await world.append(batch).then(
            () => true,
            () => sleep(100, false),
          ))
        );
        acknowledged += batch.length
        await sleep(10)
      }
    })()
    return {
      acknowledged: () => acknowledged,
      async stop() {
        isStopped = true
        await sending
        return acknowledged
      },
    }
  }

  test('takes nothing with it, and nothing is stored twice', { timeout: 240_000 }, async () => {
    const writer = world.startWriter()
    const load = send()
    await vi.waitFor(() => expect(writer.status().rows).toBeGreaterThan(2_000), WAIT)
    for (const broker of world.kafka.brokers.slice(0, 2)) {
      await broker.kill()
      const before = load.acknowledged()
      await vi.waitFor(() => expect(load.acknowledged()).toBeGreaterThan(before + 2_000), WAIT)
      await broker.start()
    }
    await world.expectStored(await load.stop())
    expect(world.losses).toEqual([])
    await writer.close()
  })
})
