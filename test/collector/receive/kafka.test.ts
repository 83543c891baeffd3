import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs'
import { pino } from 'pino'
import protobuf from 'protobufjs/minimal.js'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import { createIntake } from '../../../collector/receive/intake.ts'
import { consumeTopics } from '../../../collector/receive/kafka.ts'
import type { KafkaReceive } from '../../../collector/receive/listen-options.ts'
import { openListeners } from '../../../collector/receive/listeners.ts'
import type { ListenDeps } from '../../../collector/receive/listening.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { type KafkaServers, kafkaChecks, startKafka } from '../../servers/kafka.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'
import {
  callLine,
  depsOf,
  type Listening,
  listen,
  normalizer,
  numbers,
  sourceOf,
  tokensOf,
  untilCalls,
} from './listening.ts'

const BEGIN_WAIT = { timeout: 60_000, interval: 500 }
const sorted = (values: readonly number[]) => values.toSorted((one, other) => one - other)

describeWith(kafkaChecks, 'foreign topics', () => {
  let servers: KafkaServers
  let kafka: Kafka
  let admin: Admin
  let producer: Producer
  let testLog: TestLog
  let topic: string
  let open: Listening[]

  beforeAll(async () => {
    servers = await startKafka({ brokers: 1, isSecure: true })
    kafka = new Kafka({ brokers: servers.addresses, logLevel: logLevel.NOTHING })
    admin = kafka.admin()
    producer = kafka.producer()
    await Promise.all([admin.connect(), producer.connect()])
  })
  afterAll(async () => {
    await Promise.all([admin?.disconnect(), producer?.disconnect()])
    await servers?.stop()
  })
  beforeEach(async () => {
    testLog = await openTestLog()
    topic = `gateway-${randomUUID()}`
    open = []
  })
  afterEach(async () => {
    for (const listening of open) await listening.stop().catch(() => undefined)
    await testLog.close()
  })

  /** A broker knows what was made a moment later; until then it denies it, and a producer drops what is for it. */
  const untilPartitions = (count: number) =>
    expect
      .poll(async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions.length)
      .toBe(count)
  const makeTopic = async (numPartitions = 1, compression = 'producer') => {
    await admin.createTopics({
      topics: [{ topic, numPartitions, configEntries: [{ name: 'compression.type', value: compression }] }],
      waitForLeaders: false,
    })
    await untilPartitions(numPartitions)
  }
  const produce = (values: readonly (string | Buffer | null)[], partition = 0) =>
    producer.send({ topic, messages: values.map(value => ({ value, partition })) })
  const optionsOf = (changes: Partial<KafkaReceive> = {}): KafkaReceive => ({
    ...{ kind: 'kafka', brokers: servers.addresses, clientId: 'test', topics: [topic] },
    ...{ groupId: topic, from: 'begin', format: 'text' },
    ...changes,
  })
  async function consume(changes: Partial<KafkaReceive> = {}, deps: Partial<ListenDeps> = {}, source = sourceOf()) {
    const all = await depsOf(testLog, deps)
    // A broker that has just begun knows no coordinators yet; listeners try again as well.
    const listening = await vi.waitFor(() => listen(consumeTopics, optionsOf(changes), source, all), BEGIN_WAIT)
    open.push(listening)
    return listening
  }
  async function untilCommitted(offset: number, groupId = topic): Promise<void> {
    const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions[0]?.offset
    await expect.poll(committed).toBe(String(offset))
  }

  test('messages of one call, of many and of lines become calls; what is read again has the same ids', async () => {
    await makeTopic()
    const values = [
      callLine(0),
      `[${callLine(1)},${callLine(2)}]`,
      `${callLine(3)}\n${callLine(4)}\n`,
      null,
      'bad',
      callLine(0),
    ]
    await produce(values)
    const first = await consume()
    expect(first.problem()).toBeNull()
    const calls = await untilCalls(testLog, 6)
    expect(tokensOf(calls)).toEqual([0, 1, 2, 3, 4, 0])
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(6)
    await expect
      .poll(() => testLog.rejections())
      .toMatchObject([{ reason: 'unreadable', source: 'edge', input: 'bad' }])
    await untilCommitted(values.length)
    await first.stop()
    await produce([callLine(5)])
    await consume()
    await untilCalls(testLog, 7)
    await consume({ groupId: `${topic}-other` })
    const again = await untilCalls(testLog, 14)
    expect(tokensOf(again.slice(7))).toEqual(tokensOf(again.slice(0, 7)))
    expect(again.slice(7).map(({ callId }) => callId)).toEqual(again.slice(0, 7).map(({ callId }) => callId))
  })

  test.each(['gzip', 'snappy', 'lz4', 'zstd'])('what Java has compressed with %s is read', async compression => {
    await makeTopic(1, compression)
    const values = numbers(2000).map(callLine)
    await produce(values)
    await consume()
    expect(tokensOf(await untilCalls(testLog, 2000))).toEqual(numbers(2000))
  })

  test('from the end are only what comes, of partitions that come later all', async () => {
    await makeTopic()
    await produce([callLine(100)])
    const first = await consume({ from: 'end' })
    await produce([callLine(0)])
    await untilCalls(testLog, 1)
    await untilCommitted(2)
    await first.stop()
    await admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] })
    await untilPartitions(2)
    // A producer that has known fewer partitions drops what is for others.
    await producer.disconnect()
    producer = kafka.producer()
    await producer.connect()
    await produce([callLine(1)], 1)
    await consume({ from: 'end' })
    expect(tokensOf(await untilCalls(testLog, 2))).toEqual([0, 1])
  })

  test('nothing is committed while the log is full, and nothing is lost', async () => {
    await makeTopic()
    const values = numbers(100).map(callLine)
    await produce(values)
    let isFull = true
    const log: Pick<CallLog, 'append'> = {
      append: async (name, entries) => {
        if (isFull) throw new LogError('LOG_FULL', 'The log is full')
        await testLog.log.append(name, entries)
      },
    }
    const intake = createIntake({ log, normalizer, logger, now: Date.now })
    const stopped = await consume({}, { intake })
    await expect.poll(() => stopped.problem()).toBe('The log is full')
    await stopped.stop().catch(() => undefined)
    const waiting = await consume({}, { intake })
    await expect.poll(() => waiting.problem()).toBe('The log is full')
    await untilCommitted(-1)
    isFull = false
    expect(sorted(tokensOf(await untilCalls(testLog, 100)))).toEqual(numbers(100))
    await untilCommitted(100)
    expect(waiting.problem()).toBeNull()
  })

  test('messages that were dropped before we came are said to be lost', async () => {
    await makeTopic()
    await produce(numbers(5).map(callLine))
    const first = await consume()
    await untilCommitted(5)
    await first.stop()
    await produce(numbers(5, 5).map(callLine))
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '8' }] })
    const lines: Record<string, unknown>[] = []
    await consume({}, { logger: pino({ level: 'error' }, { write: line => lines.push(JSON.parse(line)) }) })
    expect(tokensOf(await untilCalls(testLog, 7)).slice(5)).toEqual([8, 9])
    expect(lines).toMatchObject([{ source: 'edge', topic, partition: 0, fromOffset: 5, toOffset: 8 }])
  })

  test('a consumer group that reads other topics, too, is named', async () => {
    await makeTopic(2)
    const other = `${topic}-other`
    await admin.createTopics({ topics: [{ topic: other, numPartitions: 2 }] })
    const told: string[] = []
    const warned = pino({ level: 'warn' }, { write: line => void told.push(line) })
    await consume({}, { logger: warned })
    await produce([callLine(0)])
    await untilCalls(testLog, 1)
    expect(told).toEqual([])
    const stranger = kafka.consumer({ groupId: topic })
    await stranger.connect()
    await stranger.subscribe({ topics: [other] })
    try {
      await stranger.run({ eachMessage: async () => undefined })
      await expect.poll(() => told.join(''), BEGIN_WAIT).toContain('give the source a groupId of its own')
      expect(told.join('')).toContain(other)
    } finally {
      await stranger.disconnect()
    }
  })

  test('OTLP requests in protobuf are read', async () => {
    await makeTopic()
    await produce([spansOf(3), Buffer.from('no request')])
    await consume({ format: 'otlp_traces' }, {}, sourceOf('otlp'))
    const calls = await untilCalls(testLog, 3)
    expect(calls.map(({ startedAtMs, latencyMs, status }) => [startedAtMs, latencyMs, status])).toEqual(
      numbers(3).map(index => [BEGIN_MS + index * STEP_MS, STEP_MS, 200]),
    )
    await expect.poll(() => testLog.rejections()).toMatchObject([{ reason: 'unreadable' }])
  })

  test.each(['plain', 'scram-sha-512'] as const)('signs in with %s over TLS', async mechanism => {
    const { secure } = servers
    if (secure === null) throw new Error('it was asked for')
    await makeTopic()
    await produce([callLine(0)])
    const { address, caFile, username, password } = secure
    await consume({ brokers: [address], tls: { caFile }, sasl: { mechanism, username, password } })
    await untilCalls(testLog, 1)
  })

  test('what the listener of the brokers wants is said', async () => {
    const options = optionsOf({ brokers: [servers.secure?.address ?? ''] })
    const listening = listen(consumeTopics, options, sourceOf(), await depsOf(testLog))
    await expect(listening).rejects.toThrow(/Closed connection: .*`tls: \{\}`/)
  })

  test('a topic that is missing and a broker that dies are waited for', async () => {
    const source = sourceOf()
    const { report: _report, reportWaiting: _waiting, signal: _signal, ...deps } = await depsOf(testLog)
    const listeners = openListeners([{ source, receive: optionsOf() }], deps)
    try {
      await expect
        .poll(() => listeners.problemOf('edge'))
        .toBe(`The brokers have no topic ${topic}, or do not show it to this user`)
      expect(listeners.readiness()).toEqual([`source edge: ${listeners.problemOf('edge')}`])
      await makeTopic()
      await produce([callLine(0)])
      await untilCalls(testLog, 1)
      expect(listeners.readiness()).toEqual([])
      await servers.brokers[0]?.kill()
      await sleep(1000)
      await servers.brokers[0]?.start()
      await produce([callLine(1)])
      await expect
        .poll(async () => new Set((await testLog.calls()).map(({ callId }) => callId)).size, { timeout: 60_000 })
        .toBe(2)
    } finally {
      await listeners.close()
    }
  }, 120_000)
})

/** As nanoseconds these are whole multiples of 2^18, which a double can hold. */
const [BEGIN_MS, STEP_MS] = [1_700_000_006_144, 4_096]

/** An export request with server spans, one after the other. */
function spansOf(count: number): Buffer {
  type Write = (writer: protobuf.Writer) => protobuf.Writer
  const nested =
    (field: number, ...writes: Write[]): Write =>
    writer => {
      writer.uint32(field * 8 + 2).fork()
      for (const write of writes) write(writer)
      return writer.ldelim()
    }
  const text =
    (field: number, value: string): Write =>
    writer =>
      writer.uint32(field * 8 + 2).string(value)
  const instant =
    (field: number, atMs: number): Write =>
    writer =>
      writer.uint32(field * 8 + 1).fixed64(atMs * 1e6)
  const attribute = (name: string, value: Write) => nested(9, text(1, name), nested(2, value))
  const spans = numbers(count).map(index =>
    nested(
      2,
      text(5, 'GET'),
      writer => writer.uint32(6 * 8).int32(2),
      instant(7, BEGIN_MS + index * STEP_MS),
      instant(8, BEGIN_MS + (index + 1) * STEP_MS),
      attribute('http.request.method', text(1, 'GET')),
      attribute('url.path', text(1, '/v1')),
      attribute('http.response.status_code', writer => writer.uint32(3 * 8).int64(200)),
    ),
  )
  return Buffer.from(nested(1, nested(2, ...spans))(protobuf.Writer.create()).finish())
}
