/** Bodies of requests, put together from the pieces they come in. */
import type { IncomingMessage } from 'node:http'
import { BodyError } from './body.ts'

/** Pieces of a body that are held one by one: each takes a hundred bytes of its own, and may hold a single one. */
const PIECES_MAX = 256

/** The whole body. `admit` hears of each piece; the connection stays for the answer to what it throws. Throws `BodyError`. */
export async function collectBody(
  payload: IncomingMessage,
  bytesMax: number,
  admit?: (pieceBytes: number) => void,
): Promise<Buffer> {
  if (Number(payload.headers['content-length'] ?? 0) > bytesMax) throw bodyTooLarge(bytesMax)
  const parts: Buffer[] = []
  let pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of payload.iterator({ destroyOnReturn: false })) {
    bytes += piece.length
    if (bytes > bytesMax) throw bodyTooLarge(bytesMax)
    admit?.(piece.length)
    if (pieces.push(piece) < PIECES_MAX) continue
    parts.push(Buffer.concat(pieces))
    pieces = []
  }
  return Buffer.concat([...parts, ...pieces])
}

const bodyTooLarge = (bytesMax: number) =>
  new BodyError('BODY_TOO_LARGE', `The body is larger than ${bytesMax} bytes: send less at once.`)
