/**
 * Messages that have not arrived whole, bounded. The gRPC library holds what has come of each and shows only whole ones,
 * so what comes is counted beside it, by the framing: a flag, four bytes of length, and the message.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Flight } from './flight.ts'

const PREFIX_BYTES = 5
/** What keeping a piece takes, beside its bytes. */
export const PIECE_BYTES = 256

/** Of one stream, its pieces counted: the largest message in pieces of a hundred bytes. More is no sender's way to send. */
const STREAM_BYTES_MAX = 16 * 2 ** 20

/** A call with one message that has not ended by then is cut off, as a request of HTTP is. */
export const SENDING_MS_MAX = 60_000

/** Bytes that what is there of a message that is not whole takes, given one piece of a stream after the other. */
export function createUnfinished(): (piece: Uint8Array) => number {
  let prefixed = 0
  let length = 0
  let missing = 0
  let pieces = 0
  return piece => {
    pieces++
    for (let at = 0; at < piece.length; ) {
      if (prefixed < PREFIX_BYTES) {
        // The first byte is the flag.
        length = prefixed === 0 ? 0 : length * 256 + (piece[at] ?? 0)
        missing = length
        prefixed++
        at++
      } else {
        const taken = Math.min(missing, piece.length - at)
        missing -= taken
        at += taken
      }
      if (prefixed === PREFIX_BYTES && missing === 0) {
        prefixed = 0
        pieces = 1
      }
    }
    if (prefixed === 0) pieces = 0
    return (prefixed === PREFIX_BYTES ? length - missing : 0) + pieces * PIECE_BYTES
  }
}

/** Holds what arrives on a stream until it is closed. One that finds no room is refused by `refuse`, and closed. */
export function holdArriving(stream: ServerHttp2Stream, flight: Flight, refuse: () => void): void {
  const unfinished = createUnfinished()
  stream.on('data', (piece: Buffer) => {
    const bytes = unfinished(piece)
    flight.leave(stream)
    // One stream alone always finds room.
    if (bytes === 0 || (bytes <= STREAM_BYTES_MAX && flight.enter(stream, bytes))) return
    refuse()
    // The library would keep what has come as long as the sender leaves the stream open.
    stream.close(constants.NGHTTP2_NO_ERROR)
  })
  stream.once('close', () => flight.leave(stream))
}

/** Ends a stream that its sender has not ended in time, having told it so by `refuse`. */
export function endLate(stream: ServerHttp2Stream, refuse: () => void): void {
  const late = setTimeout(() => {
    refuse()
    stream.close(constants.NGHTTP2_NO_ERROR)
  }, SENDING_MS_MAX)
  const stop = () => clearTimeout(late)
  stream.once('end', stop).once('close', stop)
}
