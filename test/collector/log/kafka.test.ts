import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Admin, ConfigResourceTypes, Kafka, logLevel } from 'kafkajs'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { startFold } from '../../../analyzer/control/fold.ts'
import type { CallLog, LogBatch, LogLoss, LogPartition, LogReader, LogTopic } from '../../../collector/log/call-log.ts'
import type { KafkaLogOptions } from '../../../collector/log/kafka-options.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { type LogUnderTest, testCallLog } from '../../contract/call-log.ts'
import { testControlLog } from '../../contract/control-log.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { type KafkaBroker, type KafkaServers, kafkaChecks, startKafka } from '../../servers/kafka.ts'

let servers: KafkaServers
let admin: Admin
let losses: LogLoss[]

/** Longer than a machine under test stands still now and then: who is expelled is delivered everything again. */
const SESSION_MS = 8_000
/** Of members that are meant to be missed. */
const MORTAL = { sessionTimeoutMs: 1_500 }

const optionsOf = (prefix: string, changes: Partial<KafkaLogOptions> = {}): KafkaLogOptions => ({
  kind: 'kafka',
  brokers: servers.addresses,
  clientId: 'test',
  topicPrefix: `${prefix}.`,
  groupPrefix: `${prefix}.`,
  partitions: 1,
  replicationFactor: 1,
  minInsyncReplicas: 1,
  retentionSeconds: 3_600,
  appendTimeoutMs: 10_000,
  sessionTimeoutMs: SESSION_MS,
  rebalanceTimeoutMs: SESSION_MS,
  ...changes,
})

describeWith(kafkaChecks, 'one broker', () => {
  beforeAll(async () => {
    servers = await startKafka({ brokers: 1, isSecure: true })
    admin = new Kafka({ brokers: servers.addresses, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
  })
  beforeEach(() => {
    losses = []
  })
  afterAll(async () => {
    await admin?.disconnect()
    await servers?.stop()
  })

  const underTest = async (): Promise<LogUnderTest> => {
    const prefix = randomUUID()
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    const broker = brokerOf(servers)
    const partition = join(broker.logDir, `${prefix}.calls-0`)
    const copy = join(dir, 'copy')
    const whileStopped = async (work: () => Promise<void>): Promise<void> => {
      await broker.stop()
      await work()
      await broker.start()
    }
    const topics = ['calls', 'rejections', 'decisions', 'control'].map(topic => `${prefix}.${topic}`)
    return {
      dir,
      options: (changes = {}) => {
        const { retentionSeconds } = changes
        return optionsOf(prefix, retentionSeconds === undefined ? {} : { retentionSeconds })
      },
      mortalOptions: () => optionsOf(prefix, MORTAL),
      wipe: () => admin.deleteTopics({ topics }),
      backup: () => whileStopped(() => cp(partition, copy, { recursive: true })),
      restore: () =>
        whileStopped(async () => {
          await rm(partition, { recursive: true })
          await cp(copy, partition, { recursive: true })
        }),
      remove: () => rm(dir, { recursive: true }),
    }
  }

  testCallLog('kafka', underTest, { isBounded: false, comparesAtOnce: false })
  testControlLog('kafka', underTest)

  test('holes that transactions leave in the control log are no gap', async () => {
    const prefix = randomUUID()
    const { log } = await openLog({}, prefix)
    const topic = `${prefix}.control`
    const client = new Kafka({ brokers: servers.addresses, logLevel: logLevel.NOTHING })
    const producer = client.producer({ transactionalId: prefix, idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    const change = (version: number) => {
      const asked = { changeId: randomUUID(), atMs: 0, by: 'test', reason: null }
      return JSON.stringify({
        kind: 'grant',
        key: 'a',
        expectedVersion: version,
        version: version + 1,
        value: 1,
        ...asked,
      })
    }
    const transact = async (value: string, end: 'commit' | 'abort') => {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value, partition: 0 }] })
      await transaction[end]()
    }
    await transact(change(7), 'abort')
    await transact(change(0), 'commit')
    const fold = await startFold({ log, logger: pino({ level: 'silent' }), onChange: () => undefined })
    await transact(change(1), 'commit')
    await transact(change(7), 'abort')
    await log.append('control', [{ key: 'a', value: change(2) }])
    await vi.waitFor(() => expect(fold.current('grant', 'a').version).toBe(3), waiting)
    expect(fold.unavailable()).toBeNull()
    const [partition] = await log.partitions('control')
    expect(partition?.endOffset).toBeGreaterThan(5)
    await fold.close()
    await producer.disconnect()
    await log.close()
  })

  test('loses nothing that it acknowledged when the broker is killed under load', { timeout: 240_000 }, async () => {
    const broker = brokerOf(servers)
    const { log, entries } = await openLog({ partitions: 3 })
    const seen = collect()
    log.subscribe(['calls'], 'writer', seen.reader)
    const load = startLoad(log)
    await vi.waitFor(() => expect(seen.values.size).toBeGreaterThan(2_000), waiting)
    await broker.kill()
    await vi.waitFor(() => expect(log.unavailable()).not.toBeNull(), waiting)
    await broker.start()
    const before = load.acknowledged.size
    await vi.waitFor(() => expect(load.acknowledged.size).toBeGreaterThan(before + 2_000), waiting)
    await load.stop()
    expect(log.unavailable()).toBeNull()
    const stored = await entries('calls')
    expect([...load.acknowledged].filter(key => !stored.has(key))).toEqual([])
    await vi.waitFor(() => expect(seen.values.size).toBe(stored.size), waiting)
    expect(losses).toEqual([])
    await log.close()
  })

  test('loses nothing that it acknowledged when the broker stalls longer than an append may take', {
    timeout: 240_000,
  }, async () => {
    const broker = brokerOf(servers)
    const { log, entries } = await openLog({ partitions: 3, appendTimeoutMs: 1_000 })
    const load = startLoad(log)
    await vi.waitFor(() => expect(load.acknowledged.size).toBeGreaterThan(1_000), waiting)
    for (let stalls = 0; stalls < 3; stalls++) {
      broker.signal('SIGSTOP')
      await vi.waitFor(() => expect(log.unavailable()).not.toBeNull(), waiting)
      broker.signal('SIGCONT')
      const before = load.acknowledged.size
      await vi.waitFor(() => expect(load.acknowledged.size).toBeGreaterThan(before + 1_000), waiting)
    }
    await load.stop()
    const stored = await entries('calls')
    expect([...load.acknowledged].filter(key => !stored.has(key))).toEqual([])
    await log.close()
  })

  test('an entry that comes again through another process is where it was, though partitions were added', async () => {
    const prefix = randomUUID()
    const { log: one } = await openLog({}, prefix)
    const entries = Array.from({ length: 20 }, () => ({ key: randomUUID(), value: randomUUID() }))
    await one.append('calls', entries)
    await admin.createPartitions({ topicPartitions: [{ topic: `${prefix}.calls`, count: 3 }] })
    const { log: other } = await openLog({}, prefix)
    const valuesOf = async (partition: number, fromOffset: number) => {
      const { entries } = await other.read('calls', partition, fromOffset, 100)
      return entries.map(({ value }) => value)
    }
    await vi.waitFor(async () => {
      const begins = (await other.partitions('calls')).map(({ endOffset }) => endOffset)
      expect(begins).toHaveLength(3)
      for (const log of [one, other]) await log.append('calls', entries)
      for (const [partition, begin] of begins.entries()) {
        const values = await valuesOf(partition, begin)
        expect(values.slice(values.length / 2)).toEqual(values.slice(0, values.length / 2))
        expect(values.length).toBeGreaterThan(0)
      }
    }, waiting)
    await Promise.all([one.close(), other.close()])
  })

  test('starts and is read from before there is a broker', { timeout: 240_000 }, async () => {
    const broker = brokerOf(servers)
    await broker.kill()
    const { log } = await openLog()
    const seen = collect()
    log.subscribe(['calls'], 'writer', seen.reader)
    expect(log.unavailable()).not.toBeNull()
    await expect(log.append('calls', numbered(0, 1))).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      retryable: true,
    })
    await broker.start()
    await vi.waitFor(() => log.append('calls', numbered(0, 10)), waiting)
    await vi.waitFor(() => expect(seen.values.size).toBe(10), waiting)
    await log.close()
  })

  test('a batch that takes longer than the session costs nothing', async () => {
    const { log } = await openLog()
    const seen = collect({ handle: () => sleep(SESSION_MS + 1_000) })
    await log.append('calls', numbered(0, 10))
    log.subscribe(['calls'], 'writer', seen.reader)
    await vi.waitFor(async () => expect(await log.lag(['calls'], 'writer')).toMatchObject([{ entries: 0 }]), waiting)
    expect(seen.assigned).toHaveLength(1)
    expect(seen.batches).toHaveLength(1)
    await log.close()
  })

  test('two members share the partitions, and nothing is handled twice', async () => {
    const prefix = randomUUID()
    const [one, two] = [await openLog({ partitions: 4 }, prefix), await openLog({ partitions: 4 }, prefix)]
    const readers = [collect({ handle: () => sleep(20) }), collect({ handle: () => sleep(20) })] as const
    one.log.subscribe(['calls'], 'writer', readers[0].reader)
    for (let from = 0; from < 1_000; from += 50) await one.log.append('calls', numbered(from, from + 50))
    two.log.subscribe(['calls'], 'writer', readers[1].reader)
    for (let from = 1_000; from < 4_000; from += 50) await two.log.append('calls', numbered(from, from + 50))
    const handled = () =>
      readers.flatMap(reader => reader.batches.flatMap(batch => batch.entries.map(each => each.value)))
    await vi.waitFor(() => expect(handled()).toHaveLength(4_000), waiting)
    const held = () => readers.map(reader => reader.held().map(partition => partition.partition))
    // While partitions are shared out anew, nobody holds any.
    await vi.waitFor(() => expect(held().map(partitions => partitions.length)).toEqual([2, 2]), waiting)
    expect(new Set(held().flat()).size).toBe(4)
    expect(handled()).toHaveLength(4_000)
    expect(new Set(handled()).size).toBe(4_000)
    await Promise.all([one.log.close(), two.log.close()])
  })

  test('a member that was stopped is expelled, and commits nothing when it comes back', async () => {
    const prefix = randomUUID()
    const { log } = await openLog({ partitions: 2 }, prefix)
    await log.append('calls', numbered(0, 1_000))
    const script = new URL('../../contract/call-log-process.ts', import.meta.url).pathname
    const task = {
      options: optionsOf(prefix, { ...MORTAL, partitions: 2 }),
      dir: '',
      act: 'read',
      name: 'writer',
      batchEntries: 0,
    }
    const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'ignore'] })
    let printed = ''
    child.stdout.on('data', data => (printed += data))
    await vi.waitFor(() => expect(printed.split('\n').length).toBeGreaterThan(2), waiting)
    child.kill('SIGSTOP')
    await log.append('calls', numbered(1_000, 2_000))
    const seen = collect()
    log.subscribe(['calls'], 'writer', seen.reader)
    await vi.waitFor(() => expect(seen.values.size).toBeGreaterThanOrEqual(1_000), waiting)
    const lag = async () => (await log.lag(['calls'], 'writer')).reduce((sum, each) => sum + each.entries, 0)
    await vi.waitFor(async () => expect(await lag()).toBe(0), waiting)
    child.kill('SIGCONT')
    for (let checks = 0; checks < 20; checks++) {
      expect(await lag()).toBe(0)
      await sleep(100)
    }
    await vi.waitFor(() => expect(seen.held()).toHaveLength(1), waiting)
    child.kill('SIGKILL')
    await log.append('calls', numbered(2_000, 3_000))
    await vi.waitFor(async () => expect(await lag()).toBe(0), waiting)
    expect(seen.held()).toHaveLength(2)
    expect(losses).toEqual([])
    await log.close()
  })

  test('delivers again from where an operator has moved the group', async () => {
    const prefix = randomUUID()
    const { log } = await openLog({}, prefix)
    await log.append('calls', numbered(0, 10))
    const first = collect()
    const subscription = log.subscribe(['calls'], 'writer', first.reader)
    await vi.waitFor(() => expect(first.values.size).toBe(10), waiting)
    await subscription.close()
    const partitions = [{ partition: 0, offset: '4' }]
    await admin.setOffsets({ groupId: `${prefix}.writer`, topic: `${prefix}.calls`, partitions })
    const again = collect()
    log.subscribe(['calls'], 'writer', again.reader)
    await vi.waitFor(() => expect([...again.values].map(Number)).toEqual([4, 5, 6, 7, 8, 9]), waiting)
    expect(again.assigned[0]).toMatchObject({ committedOffset: 4 })
    expect(losses).toEqual([])
    await log.close()
  })

  test('a reader is told what was trimmed before it got there', async () => {
    const prefix = randomUUID()
    const { log } = await openLog({}, prefix)
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
    await log.append('calls', numbered(0, 10))
    const seen = collect({ handle: () => mayGoOn })
    log.subscribe(['calls'], 'writer', seen.reader)
    await vi.waitFor(() => expect(seen.isHandling()).toBe(true), waiting)
    await log.append('calls', numbered(10, 20))
    await admin.fetchTopicOffsets(`${prefix}.calls`)
    await admin.deleteTopicRecords({ topic: `${prefix}.calls`, partitions: [{ partition: 0, offset: '15' }] })
    goOn()
    await vi.waitFor(() => expect(seen.values.has('19')).toBe(true), waiting)
    expect([...seen.values].map(Number).filter(value => value >= 10)).toEqual([15, 16, 17, 18, 19])
    expect(losses).toMatchObject([{ reason: 'trimmed', fromOffset: 10, toOffset: 15, reader: 'writer' }])
    await log.append('calls', numbered(20, 21))
    await vi.waitFor(() => expect(seen.values.has('20')).toBe(true), waiting)
    await log.close()
  })

  test('refuses a topic whose settings would lose entries, and says how to change them', async () => {
    const prefix = randomUUID()
    const configEntries = [{ name: 'retention.ms', value: '60000' }]
    await admin.createTopics({ topics: [{ topic: `${prefix}.calls`, numPartitions: 1, configEntries }] })
    await expect(openLog({}, prefix)).rejects.toThrow(
      /retention\.ms=60000.*kafka-configs\.sh --alter --topic .*calls --add-config retention\.ms=-1/,
    )
  })

  test('a topic that cannot be appended to keeps nothing out of the others', async () => {
    const prefix = randomUUID()
    const { log } = await openLog({ appendTimeoutMs: 2_000 }, prefix)
    const configEntries = [{ name: 'max.message.bytes', value: '1' }]
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: `${prefix}.rejections`, configEntries }]
    await admin.alterConfigs({ validateOnly: false, resources })
    await vi.waitFor(() => expect(log.append('rejections', numbered(0, 1))).rejects.toThrow(), waiting)
    expect(log.unavailable()).toMatch(/^rejections: /)
    expect(log.unavailable('rejections')).toMatch(/^rejections: /)
    expect(log.unavailable('calls')).toBeNull()
    await log.append('calls', numbered(0, 1))
    await log.close()
  })

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('signs in over TLS with %s', async mechanism => {
    if (servers.secure === null) throw new Error('the broker has a secure listener')
    const { address, caFile, username, password } = servers.secure
    const secure = { brokers: [address], tls: { caFile }, sasl: { mechanism, username, password } }
    const { log } = await openLog(secure)
    const seen = collect()
    log.subscribe(['calls'], 'writer', seen.reader)
    await log.append('calls', numbered(0, 10))
    await vi.waitFor(() => expect(seen.values.size).toBe(10), waiting)
    await log.close()
    const wrong = await openLog({ ...secure, sasl: { ...secure.sasl, password: 'wrong' } })
    await expect.poll(() => wrong.log.unavailable()).toMatch(/authenticat|credential|password/i)
    await wrong.log.close()
  })

  test('says what the config lacks for the listener of the brokers, or has too much', async () => {
    if (servers.secure === null) throw new Error('the broker has a secure listener')
    const { address, username, password } = servers.secure
    const sasl = { mechanism: 'plain' as const, username, password }
    const wrong: [Partial<KafkaLogOptions>, RegExp][] = [
      [{ brokers: [address] }, /Closed connection: .*`tls: \{\}`.*`sasl`/],
      [{ brokers: [address], tls: {}, sasl }, /self-signed certificate.*: .*`tls\.caFile`/],
      [{ tls: {} }, /TLS connection.*: .*leave `tls` out/],
      [{ sasl }, /SASL state: .*leave `sasl` out/],
    ]
    for (const [options, reason] of wrong) {
      const { log } = await openLog(options)
      await expect.poll(() => log.unavailable()).toMatch(reason)
      await log.close()
    }
  })
})

describeWith(kafkaChecks, 'three brokers', () => {
  beforeAll(async () => {
    servers = await startKafka({ brokers: 3 })
    admin = new Kafka({ brokers: servers.addresses, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    losses = []
  })
  afterAll(async () => {
    await admin?.disconnect()
    await servers?.stop()
  })

  test('loses nothing that it acknowledged when leaders die under load and come back', async () => {
    const prefix = randomUUID()
    const replicated = { partitions: 3, replicationFactor: 3, minInsyncReplicas: 2 }
    const { log, entries } = await openLog(replicated, prefix)
    const seen = collect()
    log.subscribe(['calls'], 'writer', seen.reader)
    const load = startLoad(log)
    await vi.waitFor(() => expect(seen.values.size).toBeGreaterThan(2_000), waiting)
    for (const broker of servers.brokers.slice(0, 2)) {
      const before = load.acknowledged.size
      await broker.kill()
      await vi.waitFor(() => expect(load.acknowledged.size).toBeGreaterThan(before + 2_000), waiting)
      await broker.start()
    }
    await load.stop()
    const stored = await entries('calls')
    expect([...load.acknowledged].filter(key => !stored.has(key))).toEqual([])
    await vi.waitFor(() => expect(seen.values.size).toBe(stored.size), waiting)
    expect(losses).toEqual([])
    for (const partition of [0, 1, 2]) {
      const offsets = seen.batches
        .filter(batch => batch.partition === partition)
        .flatMap(batch => batch.entries.map(each => each.offset))
      const firsts = offsets.filter((offset, index) => offsets.indexOf(offset) === index)
      expect(firsts, 'no entry comes before one that is older').toEqual(firsts.toSorted((a, b) => a - b))
    }
    await log.close()
  }, 240_000)
})

/** Brokers get as long to start. */
const waiting = { timeout: 60_000, interval: 25 }

async function openLog(changes: Partial<KafkaLogOptions> = {}, prefix: string = randomUUID()) {
  const log = await openCallLog(optionsOf(prefix, changes), {
    dir: '',
    log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
    onLoss: loss => losses.push(loss),
  })
  /** Everything that a topic holds. */
  const entries = async (topic: LogTopic): Promise<Set<string>> => {
    const values = new Set<string>()
    for (const { partition, beginOffset, endOffset } of await log.partitions(topic)) {
      for (let offset = beginOffset; offset < endOffset; ) {
        const batch = await log.read(topic, partition, offset, 20_000)
        for (const entry of batch.entries) values.add(entry.value)
        offset = batch.nextOffset
      }
    }
    return values
  }
  return { log, entries }
}

function brokerOf({ brokers }: KafkaServers): KafkaBroker {
  const [broker] = brokers
  if (!broker) throw new Error('there is a broker')
  return broker
}

/** Four senders that send again whatever was not acknowledged, as a gateway does. */
function startLoad(log: CallLog) {
  const acknowledged = new Set<string>()
  let isStopped = false
  let next = 0
  const send = async (): Promise<void> => {
    while (!isStopped) {
      const batch = numbered(next, next + 100)
      next += 100
      for (let isSent = false; !isSent; ) {
        isSent = await log.append('calls', batch).then(
          () => true,
          () => sleep(100, false),
        )
      }
      for (const entry of batch) acknowledged.add(entry.value)
      await sleep(5)
    }
  }
  const senders = Array.from({ length: 4 }, send)
  return {
    acknowledged,
    async stop() {
      isStopped = true
      await Promise.all(senders)
    },
  }
}

function numbered(from: number, to: number) {
  return Array.from({ length: to - from }, (_, index) => ({ key: `${from + index}`, value: `${from + index}` }))
}

/** A reader that keeps what it has handled and which partitions it holds. */
function collect({ handle }: { handle?: () => Promise<unknown> } = {}) {
  const batches: LogBatch[] = []
  const values = new Set<string>()
  const assigned: (LogPartition & { committedOffset: number | null })[] = []
  const held = new Map<number, LogPartition>()
  let handling = 0
  const reader: LogReader = {
    async assigned(partition) {
      expect(held.has(partition.partition)).toBe(false)
      held.set(partition.partition, partition)
      assigned.push(partition)
      return null
    },
    async handle(batch) {
      handling++
      await handle?.()
      handling--
      batches.push(batch)
      for (const entry of batch.entries) values.add(entry.value)
    },
    revoked: async ({ partition }) => void held.delete(partition),
  }
  return { reader, batches, values, assigned, held: () => [...held.values()], isHandling: () => handling > 0 }
}
