/** Partitions that are added to a topic lead ids elsewhere: to writers that have not seen the calls which had them before. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { describeWith } from '../../servers/describe-with.ts'
import { kafkaChecks } from '../../servers/kafka.ts'
import { type KafkaWorld, openKafkaWorld } from './kafka-world.ts'
import { makeCall } from './make-call.ts'

const topic = 'prefix.calls'
const WAIT = { timeout: 90_000, interval: 1_000 }

describeWith(kafkaChecks, 'calls that come again after partitions were added', () => {
  let world: KafkaWorld
  beforeAll(async () => {
    world = await openKafkaWorld({ brokers: 1, partitions: 2 })
  })
  afterAll(() => world?.close())

  const membersOf = async () => (await world.admin.describeGroups(['prefix.writer'])).groups[0]?.members.length
  const newCalls = (count: number) => Array.from({ length: count }, () => makeCall())

  test('are stored once, whichever writer reads them now', { timeout: 240_000 }, async () => {
    await Promise.all([world.forkWriter(), world.forkWriter()])
    await expect.poll(membersOf, WAIT).toBe(2)
    const calls = newCalls(1_000)
    await world.append(calls)
    await world.expectStored(calls.length)
    await world.admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    await vi.waitFor(async () => {
      await world.append(calls)
      const partitions = await world.log.partitions('calls')
      expect(partitions.filter(({ endOffset }) => endOffset > 0)).toHaveLength(3)
    }, WAIT)
    // Where these are stored, all that stands before them is.
    await world.append(newCalls(100))
    const rows = async () => Number((await world.opened.rows('SELECT count() AS rows FROM calls'))[0]?.rows)
    await expect.poll(rows, WAIT).toBeGreaterThanOrEqual(calls.length + 100)
    await world.expectStored(calls.length + 100)
    expect(world.losses).toEqual([])
  })
})
