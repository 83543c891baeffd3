/**
 * The id of a topic: another one each time a topic of that name is made; and how many partitions it has at this moment. kafkajs
 * speaks version 6 of the request that tells them, which knows no ids, and remembers its answer for minutes; this is
 * version 12, sent over its connections.
 */
import type { Broker } from 'kafkajs'

export interface TopicShape {
  id: string
  partitions: number
}

/** The connections of a broker, as kafkajs has them; it writes what `encode` answers behind the header of a request. */
interface Connections {
  connectionPool: {
    send(exchange: {
      request: {
        apiKey: number
        apiVersion: number
        apiName: string
        encode(): Promise<{ buf: Buffer; buffer: Buffer }>
      }
      response: { decode(bytes: Buffer): Promise<Buffer>; parse(bytes: Buffer): Promise<TopicShape | null> }
    }): Promise<TopicShape | null>
  }
}

const METADATA = { apiKey: 3, apiVersion: 12, apiName: 'Metadata' }
const UNKNOWN_TOPIC = 3
const ID_BYTES = 16

/**
 * Metadata (version 12) of one topic; kafkajs speaks version 6, which knows no ids. `{}` are tagged fields, none here;
 * compact lengths are varints, one more than the length.
 *
 *     request: {} | compact [ id (16), compact name, {} ] | i8 make it | i8 its operations | {}
 *     answer:  {} | i32 throttle | compact [ i32 node, compact host, i32 port, compact rack, {} ]
 *              | compact cluster | i32 controller | compact [ i16 error, compact name, id (16), i8 internal, compact [ … ], … ] | …
 */
export async function requestTopic(broker: Broker, topic: string): Promise<TopicShape | null> {
  const name = Buffer.from(topic)
  const topics = [varint(2), Buffer.alloc(ID_BYTES), varint(name.length + 1), name, varint(0)]
  const buffer = Buffer.concat([varint(0), ...topics, Buffer.from([0, 0]), varint(0)])
  return (broker as Broker & Connections).connectionPool.send({
    request: { ...METADATA, encode: async () => ({ buf: buffer, buffer }) },
    response: { decode: async bytes => bytes, parse: async bytes => parseTopic(bytes, topic) },
  })
}

function parseTopic(bytes: Buffer, topic: string): TopicShape | null {
  let at = 0
  const skip = (length: number): number => {
    at += length
    return at - length
  }
  const readVarint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.readUInt8(skip(1))
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const skipText = (): number => skip(Math.max(0, readVarint() - 1))
  const skipTags = (): void => {
    for (let tags = readVarint(); tags > 0; tags--) {
      readVarint()
      skip(readVarint())
    }
  }
  skipTags()
  skip(4)
  for (let brokers = readVarint() - 1; brokers > 0; brokers--) {
    skip(4)
    skipText()
    skip(4)
    skipText()
    skipTags()
  }
  skipText()
  skip(4)
  readVarint()
  const error = bytes.readInt16BE(skip(2))
  skipText()
  const id = bytes.toString('hex', skip(ID_BYTES), at)
  if (error === UNKNOWN_TOPIC) return null
  if (error !== 0) throw new Error(`The metadata of ${topic} cannot be had: error ${error} of the Kafka protocol`)
  skip(1)
  return { id: id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), partitions: readVarint() - 1 }
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}
