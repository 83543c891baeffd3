/**
 * Protocol Buffers into what their JSON mapping would hold (https://protobuf.dev/programming-guides/json/): names as
 * given, integers of 64 bits as text, bytes as hex or base64, enums as numbers; what was not sent is absent. A message is
 * described by the fields that we read; all others are stepped over.
 */
import protobuf from 'protobufjs/minimal.js'

const VARINT = 0
const FIXED_64 = 1
const LENGTH_DELIMITED = 2
const FIXED_32 = 5
const WIRE_TYPE_BITS = 3
const WIRE_TYPE_MASK = 7

/** How each scalar is written, and what is made of it. */
const SCALARS = {
  string: { wireType: LENGTH_DELIMITED, read: reader => reader.string() },
  hex: { wireType: LENGTH_DELIMITED, read: reader => bytesOf(reader).toString('hex') },
  base64: { wireType: LENGTH_DELIMITED, read: reader => bytesOf(reader).toString('base64') },
  bool: { wireType: VARINT, read: reader => reader.bool() },
  int32: { wireType: VARINT, read: reader => reader.int32() },
  uint32: { wireType: VARINT, read: reader => reader.uint32() },
  int64: { wireType: VARINT, read: reader => String(reader.int64()) },
  uint64: { wireType: VARINT, read: reader => String(reader.uint64()) },
  fixed32: { wireType: FIXED_32, read: reader => reader.fixed32() },
  fixed64: { wireType: FIXED_64, read: reader => String(reader.fixed64()) },
  double: { wireType: FIXED_64, read: reader => reader.double() },
} as const satisfies Record<string, { wireType: number; read: (reader: protobuf.Reader) => unknown }>

const bytesOf = (reader: protobuf.Reader) => Buffer.from(reader.bytes())

/** A message is named late, since it may hold itself. */
type Type = keyof typeof SCALARS | (() => Message)

interface Field {
  name: string
  type: Type
  shape: 'one' | 'many' | 'map'
}

/** The fields of a message by their numbers. */
export type Message = Readonly<Record<number, Field>>

export const one = (name: string, type: Type): Field => ({ name, type, shape: 'one' })
export const many = (name: string, type: Type): Field => ({ name, type, shape: 'many' })
/** Values by keys that are text: written as messages of a key and a value. */
export const map = (name: string, type: Type): Field => {
  const entry = { 1: one('key', 'string'), 2: one('value', type) }
  return { name, type: () => entry, shape: 'map' }
}

/** Messages within messages; what is nested deeper is no log. */
const DEPTH_MAX = 32

/** Bytes that are no such message, or hold more messages than we look at. */
export class ProtobufError extends Error {
  readonly code: 'MESSAGE_UNREADABLE' | 'MESSAGE_TOO_LARGE'

  constructor(code: ProtobufError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ProtobufError'
    this.code = code
  }
}

type Values = Record<string, unknown>

/** Throws `ProtobufError`. `messagesMax` bounds the messages within, and so the memory that the answer takes. */
export function decodeProtobuf(bytes: Buffer, message: Message, messagesMax: number): Values {
  const walk: Walk = { reader: protobuf.Reader.create(bytes), messagesMax, left: messagesMax }
  try {
    return readMessage(walk, bytes.length, message, 0)
  } catch (error) {
    throw error instanceof ProtobufError ? error : unreadable('This is not the message that belongs here.', error)
  }
}

interface Walk {
  reader: protobuf.Reader
  messagesMax: number
  /** Messages that may still come. */
  left: number
}

function readMessage(walk: Walk, end: number, fields: Message, depth: number): Values {
  const { reader, messagesMax } = walk
  if (depth > DEPTH_MAX) throw unreadable(`Messages are nested deeper than ${DEPTH_MAX}.`)
  if (--walk.left < 0) throw new ProtobufError('MESSAGE_TOO_LARGE', `More than ${messagesMax} messages at once.`)
  const values: Values = {}
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag >>> WIRE_TYPE_BITS === 0) throw unreadable('No field has the number 0.')
    const field = fields[tag >>> WIRE_TYPE_BITS]
    const wireType = tag & WIRE_TYPE_MASK
    if (field === undefined || wireType !== wireTypeOf(field)) reader.skipType(wireType)
    else put(values, field, readValue(walk, field, depth))
  }
  if (reader.pos !== end) throw unreadable('A message ends within one of its fields.')
  return values
}

function readValue(walk: Walk, { type }: Field, depth: number): unknown {
  if (typeof type === 'string') return SCALARS[type].read(walk.reader)
  const end = walk.reader.uint32() + walk.reader.pos
  return readMessage(walk, end, type(), depth + 1)
}

function put(values: Values, { name, shape }: Field, value: unknown): void {
  if (shape === 'one') {
    values[name] = value
  } else if (shape === 'many') {
    const list = values[name]
    if (Array.isArray(list)) list.push(value)
    else values[name] = [value]
  } else {
    const { key = '', value: inner } = value as Values
    // Whoever sends the keys may call one `__proto__`.
    const entries = (values[name] ?? Object.create(null)) as Values
    entries[String(key)] = inner
    values[name] = entries
  }
}

const wireTypeOf = ({ type }: Field) => (typeof type === 'string' ? SCALARS[type].wireType : LENGTH_DELIMITED)

const unreadable = (message: string, cause?: unknown) =>
  new ProtobufError('MESSAGE_UNREADABLE', message, cause === undefined ? {} : { cause })
