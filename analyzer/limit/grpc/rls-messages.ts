/**
 * `envoy.service.ratelimit.v3` on the wire, as far as we speak it; field numbers as in
 * https://github.com/envoyproxy/envoy/blob/main/api/envoy/service/ratelimit/v3/rls.proto and
 * https://github.com/envoyproxy/envoy/blob/main/api/envoy/extensions/common/ratelimit/v3/ratelimit.proto. An override
 * of the limit in a descriptor is stepped over: limits are those of the quotas.
 */
import { type Caller, writeCaller } from './caller-metadata.ts'
import { writeHeaders, writeWithin } from './envoy-headers.ts'
import { createWriter, delimited, type Reader, readFields, readWithin, varint, type Writer } from './protobuf.ts'
import { GRPC, GrpcError } from './rpc.ts'

/** Far more than routes can name. */
const DESCRIPTORS_MAX = 100
const ENTRIES_MAX = 100
const UINT32_MAX = 0xff_ff_ff_ff

export const CODE = { ok: 1, overLimit: 2 } as const
type Code = (typeof CODE)[keyof typeof CODE]

export const UNIT = { unknown: 0, second: 1, minute: 2, hour: 3, day: 4, month: 5, year: 6, week: 7 } as const
export type WindowUnit = (typeof UNIT)[keyof typeof UNIT]

export interface Descriptor {
  entries: { key: string; value: string }[]
  /** Null: those of the request. */
  hits: number | null
  /** What was hit is given back. */
  isNegative: boolean
}

export interface RateLimitRequest {
  domain: string
  descriptors: Descriptor[]
  /** 1 where the request says none, or 0. */
  hitsAddend: number
}

export interface DescriptorStatus {
  code: Code
  limit: { perUnit: number; unit: WindowUnit; name: string; remaining: number; resetMs: number } | null
}

export interface RateLimitResponse {
  code: Code
  statuses: readonly DescriptorStatus[]
  responseHeaders: Readonly<Record<string, string>>
  requestHeaders: Readonly<Record<string, string>>
  body: string
  caller: Caller
}

/** Throws `GrpcError`. */
export function decodeRateLimitRequest(message: Uint8Array): RateLimitRequest {
  const request: RateLimitRequest = { domain: '', descriptors: [], hitsAddend: 0 }
  readFields(message, (tag, reader) => {
    switch (tag) {
      case delimited(1):
        request.domain = reader.string()
        return true
      case delimited(2):
        request.descriptors.push(readDescriptor(reader))
        return bounded(request.descriptors, DESCRIPTORS_MAX)
      case varint(3):
        request.hitsAddend = reader.uint32()
        return true
      default:
        return false
    }
  })
  request.hitsAddend ||= 1
  return request
}

function readDescriptor(within: Reader): Descriptor {
  const descriptor: Descriptor = { entries: [], hits: null, isNegative: false }
  readWithin(within, (tag, reader) => {
    switch (tag) {
      case delimited(1):
        descriptor.entries.push(readEntry(reader))
        return bounded(descriptor.entries, ENTRIES_MAX)
      case delimited(3):
        descriptor.hits = readWrapped(reader)
        return true
      case varint(4):
        descriptor.isNegative = reader.bool()
        return true
      default:
        return false
    }
  })
  return descriptor
}

function readEntry(within: Reader): Descriptor['entries'][number] {
  const entry = { key: '', value: '' }
  readWithin(within, (tag, reader) => {
    if (tag === delimited(1)) entry.key = reader.string()
    else if (tag === delimited(2)) entry.value = reader.string()
    else return false
    return true
  })
  return entry
}

/** A `UInt64Value`; an empty one is 0. */
function readWrapped(within: Reader): number {
  let value = 0
  readWithin(within, (tag, reader) => {
    if (tag !== varint(1)) return false
    value = Number(reader.uint64())
    return true
  })
  return value
}

function bounded(list: readonly unknown[], most: number): true {
  if (list.length > most) throw new GrpcError(GRPC.invalidArgument, `More than ${most} descriptors or entries.`)
  return true
}

export function encodeRateLimitResponse(response: RateLimitResponse): Uint8Array {
  const writer = createWriter().uint32(varint(1)).int32(response.code)
  for (const status of response.statuses) writeWithin(writer, 2, () => writeStatus(writer, status))
  writeHeaders(writer, 3, response.responseHeaders)
  writeHeaders(writer, 4, response.requestHeaders)
  if (response.body !== '') writer.uint32(delimited(5)).string(response.body)
  writeCaller(writer, 6, response.caller)
  return writer.finish()
}

function writeStatus(writer: Writer, { code, limit }: DescriptorStatus): void {
  writer.uint32(varint(1)).int32(code)
  if (limit === null) return
  writeWithin(writer, 2, () => {
    writer.uint32(varint(1)).uint32(clamped(limit.perUnit)).uint32(varint(2)).int32(limit.unit)
    writer.uint32(delimited(3)).string(limit.name)
  })
  writer.uint32(varint(3)).uint32(clamped(limit.remaining))
  writeWithin(writer, 4, () => writer.uint32(varint(1)).int64(Math.max(0, Math.ceil(limit.resetMs / 1000))))
}

const clamped = (value: number) => Math.min(UINT32_MAX, Math.max(0, Math.floor(value)))
