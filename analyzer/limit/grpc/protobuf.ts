/** What reading and writing Protocol Buffers by hand takes: https://protobuf.dev/programming-guides/encoding/ */
import protobuf from 'protobufjs/minimal.js'
import { GRPC, GrpcError } from './rpc.ts'

export type Reader = protobuf.Reader
export type Writer = protobuf.Writer

const WIRE_TYPE_BITS = 3
const WIRE_TYPE_MASK = 7
const VARINT = 0
const LENGTH_DELIMITED = 2

/** The tag of a field that is written as a number. */
export const varint = (field: number): number => (field << WIRE_TYPE_BITS) | VARINT
/** The tag of a field that is written as text, bytes or a message. */
export const delimited = (field: number): number => (field << WIRE_TYPE_BITS) | LENGTH_DELIMITED

/** A field as it comes, by its tag: `true` when it was read, `false` to step over it. */
type OnField = (tag: number, reader: Reader) => boolean

/** Goes through a whole message. Throws `GrpcError` for bytes that are none. */
export function readFields(bytes: Uint8Array, onField: OnField): void {
  const reader = protobuf.Reader.create(bytes)
  try {
    readUpTo(reader, bytes.length, onField)
  } catch (error) {
    if (error instanceof GrpcError) throw error
    throw new GrpcError(GRPC.invalidArgument, 'This is not the message that belongs here.', { cause: error })
  }
}

/** Goes through the message in a field that has just come. */
export function readWithin(reader: Reader, onField: OnField): void {
  const length = reader.uint32()
  readUpTo(reader, reader.pos + length, onField)
}

function readUpTo(reader: Reader, end: number, onField: OnField): void {
  if (end > reader.len) throw new RangeError('a message ends behind the one it is in')
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (!onField(tag, reader)) reader.skipType(tag & WIRE_TYPE_MASK)
  }
  if (reader.pos !== end) throw new RangeError('a message ends within one of its fields')
}

export const createWriter = (): Writer => protobuf.Writer.create()
