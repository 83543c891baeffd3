import { setTimeout as sleep } from 'node:timers/promises'
import type { Message, Producer } from 'kafkajs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createKafkaAppender } from '../../../collector/log/kafka-appender.ts'

type Send = (messages: Message[]) => Promise<number[]>

/** An appender whose producers send with `sends`, one after the other; each answers the partitions that it stored. */
function open(
  sends: Send[],
  options: { openMs?: number; appendTimeoutMs?: number; shape?: { partitions: number } } = {},
) {
  const { shape = { partitions: 3 } } = options
  const opened: { disconnect: () => Promise<void>; isDisconnected: boolean }[] = []
  const sent: { producer: number; values: (string | Buffer | null)[] }[] = []
  const openProducer = async () => {
    await sleep(options.openMs ?? 0)
    const number = opened.length
    const producer = {
      isDisconnected: false,
      async send({ messages }: { messages: Message[] }) {
        sent.push({ producer: number, values: messages.map(message => message.value) })
        const stored = await (sends.shift() ?? all)(messages)
        return stored.map(partition => ({ partition, errorCode: 0 }))
      },
      async disconnect() {
        producer.isDisconnected = true
      },
    }
    opened.push(producer)
    return { producer: producer as unknown as Producer, ...shape }
  }
  const appender = createKafkaAppender({
    topic: 'calls',
    openProducer,
    partitions: () => shape.partitions,
    compression: 0,
    appendTimeoutMs: options.appendTimeoutMs ?? 5_000,
    log: pino({ level: 'silent' }),
    now: () => 7,
  })
  return { appender, opened, sent }
}

const all: Send = async messages => [...new Set(messages.map(message => message.partition ?? -1))]
const entries = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({ key: `${from + index}`, value: `${from + index}` }))

test('sends again to the partitions that an answer leaves out, and only to those', async () => {
  const missing: Message[] = []
  const leaveOneOut: Send = async messages => {
    missing.push(...messages.filter(message => message.partition === 1))
    return [0, 2]
  }
  const { appender, sent } = open([leaveOneOut])
  await appender.append(entries(0, 100))
  expect(missing.length).toBeGreaterThan(0)
  expect(sent.map(each => each.values.length)).toEqual([100, missing.length])
  expect(sent[1]?.values).toEqual(missing.map(message => message.value))
})

test('shares entries out among partitions that were added, through another producer', async () => {
  const shape = { partitions: 1 }
  const used: Set<number | undefined>[] = []
  const note: Send = messages => {
    used.push(new Set(messages.map(message => message.partition)))
    return all(messages)
  }
  const { appender, opened } = open([note, note, note], { shape })
  await appender.append(entries(0, 10))
  await appender.append(entries(0, 10))
  expect(opened).toHaveLength(1)
  shape.partitions = 2
  await appender.append(entries(0, 10))
  expect(used).toEqual([new Set([0]), new Set([0]), new Set([0, 1])])
  expect(opened.map(({ isDisconnected }) => isDisconnected)).toEqual([true, false])
})

test('sends in pieces what the brokers find too large, and gives up one entry that is', async () => {
  const tooLarge = () => Promise.reject(Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' }))
  const { appender, sent } = open([tooLarge, all, tooLarge, all, all, tooLarge])
  await appender.append(entries(0, 8))
  expect(sent.map(({ values }) => values.map(Number))).toEqual([
    [0, 1, 2, 3, 4, 5, 6, 7],
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [4, 5],
    [6, 7],
  ])
  expect(sent.map(({ producer }) => producer)).toEqual([0, 1, 1, 2, 2])
  await expect(appender.append(entries(0, 1))).rejects.toThrow('too large')
})

test('never uses a producer again that has failed', async () => {
  const { appender, opened, sent } = open([all, () => Promise.reject(new Error('Closed connection')), all])
  await appender.append(entries(0, 10))
  await expect(appender.append(entries(10, 20))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE', retryable: true })
  expect(opened.map(producer => producer.isDisconnected)).toEqual([true])
  await expect.poll(() => appender.append(entries(20, 30))).toBeUndefined()
  expect(sent.map(each => each.producer)).toEqual([0, 0, 1])
})

test('refuses at once for a while after a failure, with its reason, then tries again', async () => {
  const { appender, sent } = open([() => Promise.reject(new Error('Closed connection'))])
  const [first, second] = await Promise.allSettled([appender.append(entries(0, 1)), appender.append(entries(1, 2))])
  expect([first.status, second.status]).toEqual(['rejected', 'rejected'])
  expect(appender.unavailable()).toBe('Closed connection')
  await expect(appender.append(entries(2, 3))).rejects.toThrow('Closed connection')
  expect(sent).toHaveLength(1)
  await expect.poll(() => appender.unavailable()).toBeNull()
  await appender.append(entries(3, 4))
})

test('an append has a deadline, and a producer that comes after it is not used', async () => {
  const { appender, opened, sent } = open([], { openMs: 150, appendTimeoutMs: 50 })
  await expect(appender.append(entries(0, 1))).rejects.toThrow(/not acknowledged within 50 ms/)
  await expect.poll(() => opened.map(producer => producer.isDisconnected)).toEqual([true])
  expect(sent).toEqual([])
})

test('keeps the order of appends, groups what waits, and bounds a group', async () => {
  const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
  const slow: Send = async messages => {
    await mayGoOn
    return all(messages)
  }
  const { appender, sent } = open([slow])
  const appended = [
    appender.append(entries(0, 10)),
    ...Array.from({ length: 40 }, (_, index) => appender.append(entries(10 + index * 50, 60 + index * 50))),
    appender.append(entries(2_010, 4_510)),
  ]
  goOn()
  await Promise.all(appended)
  expect(sent.flatMap(each => each.values)).toEqual(entries(0, 4_510).map(entry => entry.value))
  expect(sent.map(each => each.values.length)).toEqual([10, 1_000, 1_000, 1_000, 1_000, 500])
})

test('equal keys meet in one partition, and every entry has the time of its append', async () => {
  const partitions = new Map<string, Set<number | undefined>>()
  const look: Send = async messages => {
    for (const message of messages) {
      expect(message.timestamp).toBe('7')
      const seen = partitions.get(String(message.key)) ?? new Set()
      partitions.set(String(message.key), seen.add(message.partition))
    }
    return all(messages)
  }
  const { appender } = open([look, look])
  await appender.append(entries(0, 300))
  await appender.append(entries(0, 300))
  expect([...partitions.values()].every(seen => seen.size === 1)).toBe(true)
  expect(new Set([...partitions.values()].flatMap(seen => [...seen])).size).toBe(3)
})

test('settles what is pending when it is closed, and refuses what comes after', async () => {
  const { appender, opened } = open([])
  const appended = appender.append(entries(0, 10))
  await appender.close()
  await appended
  expect(opened.map(producer => producer.isDisconnected)).toEqual([true])
  await expect(appender.append(entries(0, 1))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
})
