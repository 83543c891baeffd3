/**
 * Messages on the wire: one byte that says whether it is compressed, four bytes of length, the message.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { GRPC, GrpcError } from './rpc.ts'

const LENGTH_AT = 1
/** Before each message. */
export const HEAD_BYTES = 5

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(HEAD_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, LENGTH_AT)
  framed.set(message, HEAD_BYTES)
  return framed
}

/** The one message of a whole unary request. Throws `GrpcError`. */
export function unframe(body: Buffer): Buffer {
  if (body.length < HEAD_BYTES) throw new GrpcError(GRPC.invalidArgument, 'The call ended before its message.')
  // We accept no encoding but identity, and say so in every answer.
  if (body[0] !== 0) throw new GrpcError(GRPC.unimplemented, 'Compressed messages are not taken.')
  if (body.readUInt32BE(LENGTH_AT) !== body.length - HEAD_BYTES) {
    throw new GrpcError(GRPC.invalidArgument, 'The call must have one message, and all of it.')
  }
  return body.subarray(HEAD_BYTES)
}

const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** Milliseconds of a `grpc-timeout` header; `null` for one that is none. */
export function timeoutMs(header: string): number | null {
  const [, amount, unit = ''] = TIMEOUT.exec(header) ?? []
  const unitMs = UNIT_MS[unit]
  return amount === undefined || unitMs === undefined ? null : Number(amount) * unitMs
}
