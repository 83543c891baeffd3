/** The baseline of the log on Kafka: kafkajs by itself, as safe as ours (`acks=all`, idempotent), doing nothing else. */
import kafkajs from 'kafkajs'

const TOPIC = 'bare'
const PARTITIONS = 3
const RECORD_BYTES = 600

interface BareKafka {
  producedPerSecond: number
  consumedPerSecond: number
}

/** Produces and consumes so many records of the size that ours have in the log. */
export async function measureBareKafka(
  brokers: string[],
  { records, batch, inFlight }: { records: number; batch: number; inFlight: number },
): Promise<BareKafka> {
  const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: 1 }] })
  await admin.disconnect()
  const producedMs = await produce(kafka, { batches: Math.ceil(records / batch), batch, inFlight })
  const consumedMs = await consume(kafka, records)
  return { producedPerSecond: (records / producedMs) * 1000, consumedPerSecond: (records / consumedMs) * 1000 }
}

async function produce(
  kafka: kafkajs.Kafka,
  { batches, batch, inFlight }: { batches: number; batch: number; inFlight: number },
): Promise<number> {
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  const value = 'x'.repeat(RECORD_BYTES)
  const messages = Array.from({ length: batch }, (_, index) => ({ key: `key-${index}`, value }))
  const beginMs = performance.now()
  let left = batches
  const send = async () => {
    while (left-- > 0) await producer.send({ topic: TOPIC, messages, acks: -1 })
  }
  await Promise.all(Array.from({ length: inFlight }, send))
  const ms = performance.now() - beginMs
  await producer.disconnect()
  return ms
}

/** From the first record on: joining the group is no part of it. */
async function consume(kafka: kafkajs.Kafka, records: number): Promise<number> {
  const consumer = kafka.consumer({ groupId: TOPIC })
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  const { promise: ended, resolve: end } = Promise.withResolvers<number>()
  let count = 0
  let beginMs = 0
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: PARTITIONS,
    async eachBatch({ batch }) {
      beginMs ||= performance.now()
      count += batch.messages.length
      if (count >= records) end(performance.now() - beginMs)
    },
  })
  const ms = await ended
  await consumer.disconnect()
  return ms
}
