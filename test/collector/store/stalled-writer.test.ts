/** A writer that lost its partition cannot write, whatever it had under way: no call is lost, none is stored twice. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { describeWith } from '../../servers/describe-with.ts'
import { kafkaChecks } from '../../servers/kafka.ts'
import { type KafkaWorld, openKafkaWorld } from './kafka-world.ts'
import { makeCall } from './make-call.ts'
import { type StallingProxy, startStallingProxy } from './stalling-proxy.ts'

const TEST_MS = 120_000
/** For the one that comes back: to finish what it had under way, and to find out. */
const COME_BACK_MS = 2_000
const calls = (count: number) => Array.from({ length: count }, () => makeCall())

describeWith(kafkaChecks, 'a writer on Kafka that is stopped and comes back after another took its place', () => {
  let world: KafkaWorld
  let proxy: StallingProxy
  let stored = 0
  beforeAll(async () => {
    world = await openKafkaWorld({ brokers: 1, partitions: 1 })
  })
  afterAll(() => world?.close())
  beforeEach(async () => {
    proxy = await startStallingProxy(world.opened.options.port)
  })
  afterEach(() => proxy?.close())

  test.each([
    { when: 'before its insert', calls: 500, afterBytes: 0 },
    { when: 'in an insert too short to be seen by the server', calls: 200, afterBytes: 20_000 },
    { when: 'in an insert long enough to be seen by the server', calls: 5_000, afterBytes: 600_000 },
  ])('$when', { timeout: TEST_MS }, async ({ calls: count, afterBytes }) => {
    const first = await world.forkWriter(proxy.port)
    await world.append(calls(10))
    stored += 10
    await world.expectStored(stored)

    const stalled = proxy.stallNext(afterBytes)
    await world.append(calls(count))
    await stalled
    first.kill('SIGSTOP')
    const second = await world.forkWriter()
    stored += count
    await world.expectStored(stored)

    proxy.release()
    first.kill('SIGCONT')
    await sleep(COME_BACK_MS)
    await world.append(calls(100))
    stored += 100
    await world.expectStored(stored)

    // It stands by, and takes over when it is needed again.
    second.kill('SIGKILL')
    await once(second, 'exit')
    await world.append(calls(100))
    stored += 100
    await world.expectStored(stored)
    expect(world.losses).toEqual([])
    first.kill('SIGKILL')
    await once(first, 'exit')
  })
})
