/**
 * `envoy.service.auth.v3` on the wire, as far as we speak it; field numbers as in
 * https://github.com/envoyproxy/envoy/blob/main/api/envoy/service/auth/v3/external_auth.proto and
 * https://github.com/envoyproxy/envoy/blob/main/api/envoy/service/auth/v3/attribute_context.proto
 */
import { type Caller, writeCaller } from './caller-metadata.ts'
import { writeHeader, writeWithin } from './envoy-headers.ts'
import { createWriter, delimited, type Reader, readFields, readWithin, varint, type Writer } from './protobuf.ts'

export interface CheckRequest {
  /** Who is connected to Envoy, or the client that it believes in. */
  address: string | null
  /** Of the call, with its query. */
  path: string
  /** Names in lower case. */
  headers: Map<string, string>
  /** What the route's config says. */
  contextExtensions: Map<string, string>
}

/** Throws `GrpcError`. */
export function decodeCheckRequest(message: Uint8Array): CheckRequest {
  const request: CheckRequest = { address: null, path: '', headers: new Map(), contextExtensions: new Map() }
  const inHttp = (tag: number, reader: Reader) => {
    if (tag === delimited(3)) readEntry(reader, request.headers)
    else if (tag === delimited(4)) request.path = reader.string()
    else if (tag === delimited(13)) readWithin(reader, inHeaderMap)
    else return false
    return true
  }
  const inHeaderMap = (tag: number, reader: Reader) => {
    if (tag !== delimited(1)) return false
    readHeader(reader, request.headers)
    return true
  }
  const inRequest = within(2, reader => readWithin(reader, inHttp))
  const inSocketAddress = within(2, reader => {
    request.address = reader.string()
  })
  const inAddress = within(1, reader => readWithin(reader, inSocketAddress))
  const inSource = within(1, reader => readWithin(reader, inAddress))
  const inAttributes = (tag: number, reader: Reader) => {
    if (tag === delimited(1)) readWithin(reader, inSource)
    else if (tag === delimited(4)) readWithin(reader, inRequest)
    else if (tag === delimited(10)) readEntry(reader, request.contextExtensions)
    else return false
    return true
  }
  readFields(
    message,
    within(1, reader => readWithin(reader, inAttributes)),
  )
  return request
}

/** Reads one field, text or a message, and steps over all others. */
const within = (field: number, read: (reader: Reader) => void) => (tag: number, reader: Reader) => {
  if (tag !== delimited(field)) return false
  read(reader)
  return true
}

function readEntry(reader: Reader, into: Map<string, string>): void {
  let [key, value] = ['', '']
  readWithin(reader, (tag, entry) => {
    if (tag === delimited(1)) key = entry.string()
    else if (tag === delimited(2)) value = entry.string()
    else return false
    return true
  })
  into.set(key, value)
}

/** A `HeaderValue`, its text raw or not; of several with a name the first one stays. */
function readHeader(reader: Reader, into: Map<string, string>): void {
  let [key, value] = ['', '']
  readWithin(reader, (tag, entry) => {
    if (tag === delimited(1)) key = entry.string()
    else if (tag === delimited(2) || tag === delimited(3)) value = entry.string()
    else return false
    return true
  })
  if (!into.has(key)) into.set(key, value)
}

type Headers = Readonly<Record<string, string>>

/** The call may pass: `headers` go on to the upstream, `responseHeaders` to the client, the caller to Envoy's log. */
export function encodeOk(headers: Headers, responseHeaders: Headers, caller: Caller): Uint8Array {
  const writer = createWriter()
  writeStatus(writer, 0)
  writeWithin(writer, 3, () => {
    writeHeaderOptions(writer, 2, headers)
    writeHeaderOptions(writer, 6, responseHeaders)
  })
  writeCaller(writer, 4, caller)
  return writer.finish()
}

interface Denied {
  status: number
  headers: Headers
  body: string
}

/** The client gets this answer. `code` is gRPC's name for it. */
export function encodeDenied(code: number, denied: Denied, caller: Caller): Uint8Array {
  const writer = createWriter()
  writeStatus(writer, code)
  writeWithin(writer, 2, () => {
    writeWithin(writer, 1, () => writer.uint32(varint(1)).int32(denied.status))
    writeHeaderOptions(writer, 2, denied.headers)
    if (denied.body !== '') writer.uint32(delimited(3)).string(denied.body)
  })
  writeCaller(writer, 4, caller)
  return writer.finish()
}

/** `google.rpc.Status`. */
function writeStatus(writer: Writer, code: number): void {
  writeWithin(writer, 1, () => writer.uint32(varint(1)).int32(code))
}

const OVERWRITE_IF_EXISTS_OR_ADD = 2

/** Repeated `HeaderValueOption`: each replaces what there is of its name. */
function writeHeaderOptions(writer: Writer, field: number, headers: Headers): void {
  for (const name in headers) {
    writeWithin(writer, field, () => {
      writeWithin(writer, 1, () => writeHeader(writer, name, headers[name] ?? ''))
      writer.uint32(varint(3)).int32(OVERWRITE_IF_EXISTS_OR_ADD)
    })
  }
}
