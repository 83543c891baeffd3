import type { EachBatchPayload } from 'kafkajs'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import type { LogBatch, LogLoss, LogReader } from '../../../collector/log/call-log.ts'
import type { KafkaCluster } from '../../../collector/log/kafka-cluster.ts'
import type { KafkaLives } from '../../../collector/log/kafka-lives.ts'
import { KafkaPartition, type LogPosition } from '../../../collector/log/kafka-partition.ts'

const WAIT_MS_MAX = 30_000

/** A partition that has begun at offset 0, whose log begins at `begin.offset`. */
async function begin(
  reader: Partial<LogReader> = {},
  { isResumed = true, log = { beginOffset: 0, endOffset: 1_000, logId: 'this' } } = {},
) {
  const batches: LogBatch[] = []
  const losses: LogLoss[] = []
  const order: string[] = []
  const resumed = vi.fn((_offset: number) => undefined)
  const cluster: Pick<KafkaCluster, 'offsets'> = { offsets: async () => [{ partition: 0, ...log }] }
  const lives: KafkaLives = {
    logIds: async () => ({ of: () => log.logId, partitions: 1 }),
    async renew() {
      log.logId = 'renewed'
    },
  }
  let last: LogPosition | null = null
  const partition = new KafkaPartition(
    {
      topic: 'calls',
      topicName: 'quotacast.calls',
      partition: 0,
      name: 'writer',
      reader: {
        assigned: reader.assigned ?? (async () => null),
        async handle(batch, heartbeat) {
          await reader.handle?.(batch, heartbeat)
          batches.push(batch)
        },
        async revoked({ logId }) {
          order.push(logId === 'this' ? 'revoked' : `revoked ${logId}`)
        },
      },
      cluster: cluster as KafkaCluster,
      lives,
      heartbeatMs: 5,
      log: pino({ level: 'silent' }),
      onLoss: loss => losses.push(loss),
      lastPosition: () => last,
      committedPosition: async () => null,
      onCommitted: position => {
        last = position
        order.push(`committed ${position.offset}`)
      },
      resume: resumed,
    },
    Promise.resolve(),
  )
  if (isResumed) await vi.waitFor(() => expect(resumed).toHaveBeenCalled(), WAIT_MS_MAX)
  const values = () => batches.flatMap(batch => batch.entries.map(entry => entry.value))
  return { partition, log, batches, losses, order, resumed, values }
}

function payload(offsets: number[], broker: Partial<EachBatchPayload> = {}) {
  const messages = offsets.map(offset => ({ offset: `${offset}`, value: Buffer.from(`${offset}`) }))
  const resolved: number[] = []
  const delivery = {
    batch: { messages },
    heartbeat: async () => undefined,
    commitOffsetsIfNecessary: async () => undefined,
    resolveOffset: (offset: string) => void resolved.push(Number(offset)),
    isRunning: () => true,
    ...broker,
  }
  return { resolved, delivery: delivery as unknown as EachBatchPayload }
}

const protocolError = (type: string) => Object.assign(new Error(type), { type })
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

test('steps over what a rewound delivery repeats, whatever its borders', async () => {
  const { partition, values, losses } = await begin()
  await partition.deliver(payload(range(0, 10)).delivery)
  await partition.deliver(payload(range(3, 8)).delivery)
  const { delivery, resolved } = payload(range(5, 15))
  await partition.deliver(delivery)
  expect(values()).toEqual(range(0, 15).map(String))
  expect(resolved).toEqual([14])
  expect(losses).toEqual([])
})

test('a hole is a loss where the log no longer has it, and none where it never had', async () => {
  const { partition, losses, log } = await begin()
  await partition.deliver(payload([0, 1, 5, 6]).delivery)
  await partition.deliver(payload([9]).delivery)
  expect(losses).toEqual([])
  log.beginOffset = 20
  await partition.deliver(payload([20, 21]).delivery)
  const lost = { topic: 'calls', logId: 'this', partition: 0, reader: 'writer', reason: 'trimmed' }
  expect(losses).toEqual([{ ...lost, fromOffset: 10, toOffset: 20 }])
})

test('commits again what was handled when its commit had failed, without handling it again', async () => {
  const { partition, values, order } = await begin()
  const commitOffsetsIfNecessary = vi.fn().mockRejectedValueOnce(protocolError('REBALANCE_IN_PROGRESS'))
  const first = payload(range(0, 10), { commitOffsetsIfNecessary })
  await expect(partition.deliver(first.delivery)).rejects.toThrow('REBALANCE_IN_PROGRESS')
  expect(first.resolved).toEqual([])
  await partition.deliver(payload(range(0, 10), { commitOffsetsIfNecessary }).delivery)
  expect(values()).toHaveLength(10)
  expect(commitOffsetsIfNecessary).toHaveBeenCalledTimes(2)
  expect(order).toEqual(['committed 10'])
})

test('an expelled member learns it by its heartbeat, and does not commit', async () => {
  const refused: unknown[] = []
  const { partition, order } = await begin({
    handle: async (_batch, heartbeat) => void refused.push(await heartbeat().catch((error: unknown) => error)),
  })
  const commitOffsetsIfNecessary = vi.fn()
  const heartbeat = () => Promise.reject(protocolError('UNKNOWN_MEMBER_ID'))
  await partition.deliver(payload([0], { heartbeat, commitOffsetsIfNecessary }).delivery)
  expect(refused).toMatchObject([{ code: 'LOG_UNAVAILABLE' }])
  expect(commitOffsetsIfNecessary).not.toHaveBeenCalled()
  await partition.end({ isLost: true })
  expect(order).toEqual(['revoked'])
})

test('a reader that was never ready is told all the same that the partition is no longer its own', async () => {
  const assigned = vi.fn().mockRejectedValue(new Error('not yet'))
  const { partition, order } = await begin({ assigned }, { isResumed: false })
  await vi.waitFor(() => expect(assigned).toHaveBeenCalled(), WAIT_MS_MAX)
  expect(order).toEqual([])
  await partition.end({ isLost: true })
  expect(order).toEqual(['revoked'])
})

test('a rebalance does not disturb a handler: what it does now still counts', async () => {
  const { partition, order } = await begin({ handle: async (_batch, heartbeat) => heartbeat() })
  const heartbeat = () => Promise.reject(protocolError('REBALANCE_IN_PROGRESS'))
  await partition.deliver(payload([0], { heartbeat }).delivery)
  expect(order).toEqual(['committed 1'])
})

test('speaks for a busy handler', async () => {
  const heartbeat = vi.fn(async () => undefined)
  const { partition } = await begin({
    handle: () => vi.waitFor(() => expect(heartbeat.mock.calls.length).toBeGreaterThan(3), WAIT_MS_MAX),
  })
  await partition.deliver(payload([0], { heartbeat }).delivery)
})

test('ends after the delivery under way, which is committed unless the partition was lost', async () => {
  for (const isLost of [false, true]) {
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
    const handle = vi.fn(() => mayGoOn)
    const { partition, order } = await begin({ handle })
    const delivered = partition.deliver(payload([0]).delivery)
    await vi.waitFor(() => expect(handle).toHaveBeenCalled(), WAIT_MS_MAX)
    const ended = partition.end({ isLost })
    await new Promise(resolve => setImmediate(resolve))
    expect(order).toEqual([])
    goOn()
    await Promise.all([delivered, ended])
    expect(order).toEqual(isLost ? ['revoked'] : ['committed 1', 'revoked'])
    await partition.deliver(payload([1]).delivery)
    expect(order.at(-1)).toBe('revoked')
  }
})

test('notices another log at once, and a log that ends below it only when that lasts', async () => {
  const { partition, log } = await begin()
  await partition.deliver(payload(range(0, 10)).delivery)
  const at = (endOffset: number) => ({ partition: 0, beginOffset: 0, endOffset })
  expect(partition.isOutdated(log.logId, at(10))).toBe(false)
  expect(partition.isOutdated('another', at(10))).toBe(true)
  for (let checks = 0; checks < 4; checks++) expect(partition.isOutdated(log.logId, at(9))).toBe(false)
  expect(partition.isOutdated(log.logId, at(10))).toBe(false)
  for (let checks = 0; checks < 4; checks++) expect(partition.isOutdated(log.logId, at(9))).toBe(false)
  expect(partition.isOutdated(log.logId, at(9))).toBe(true)
})

test('cuts what is too much for one delivery', async () => {
  const { partition, batches } = await begin()
  await partition.deliver(payload(range(0, 25_000)).delivery)
  expect(batches.map(batch => [batch.entries.length, batch.nextOffset])).toEqual([
    [10_000, 10_000],
    [10_000, 20_000],
    [5_000, 25_000],
  ])
})

test('a log that ends below what its reader has stored gets another id and is read anew', async () => {
  const asked: string[] = []
  const { losses, resumed, order } = await begin({
    async assigned({ logId }) {
      asked.push(logId)
      return logId === 'this' ? 1_200 : null
    },
  })
  expect(asked).toEqual(['this', 'renewed'])
  expect(order).toEqual(['revoked'])
  expect(losses).toMatchObject([{ reason: 'beyond_end', logId: 'this', fromOffset: 1_000, toOffset: 1_200 }])
  expect(resumed).toHaveBeenCalledWith(0)
})

test('a log that has caught up with its reader while it was looked at is shown to it again', async () => {
  const ends: number[] = []
  const log = { beginOffset: 0, endOffset: 1_000, logId: 'this' }
  const assigned: LogReader['assigned'] = async ({ endOffset }) => {
    ends.push(endOffset)
    setTimeout(() => {
      log.endOffset = 1_300
    }, 100)
    return 1_200
  }
  const { losses, resumed } = await begin({ assigned }, { log })
  expect(ends).toEqual([1_000, 1_300])
  expect(losses).toEqual([])
  expect(resumed).toHaveBeenCalledWith(1_200)
})

test('gives a delivery back when it is expelled, though its reader would go on failing', async () => {
  let failures = 0
  const { partition, order } = await begin({
    async handle(_batch, heartbeat) {
      failures++
      await heartbeat()
      throw new Error('somebody else has taken over')
    },
  })
  const heartbeat = () => Promise.reject(protocolError('UNKNOWN_MEMBER_ID'))
  await partition.deliver(payload(range(0, 10), { heartbeat }).delivery)
  expect(failures).toBe(1)
  // What comes before the rebalance is nobody's either.
  await partition.deliver(payload(range(0, 10)).delivery)
  expect(failures).toBe(1)
  await partition.end({ isLost: true })
  expect(order).toEqual(['revoked'])
})
