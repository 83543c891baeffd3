/** Blocks of header fields, put together from their frames and read; a peer that says the same again is read once. */
import { ERROR, Http2Error } from './frames.ts'
import { createHpackDecoder } from './hpack.ts'
import { type RequestHeaders, toRequestHeaders } from './request-headers.ts'

/** As on the HTTP port; compressed, and by RFC 9113's count of what is not. */
const BYTES_MAX = 32 * 1024
const FRAMES_MAX = 16
/** Longer ones are read every time. */
const REMEMBERED_BYTES_MAX = 1024

interface Whole {
  readonly id: number
  readonly isEnd: boolean
  readonly block: Buffer
}

export interface HeaderBlocks {
  readonly listBytesMax: number
  /** True between the first frame of a block and its last. */
  isOpen(): boolean
  begin(id: number, isEnd: boolean, part: Buffer): void
  /** The whole block with its last part. Throws `Http2Error`. */
  continue(id: number, part: Buffer, isLast: boolean): Whole | null
  /** What the block says; only blocks that `isRequest` have to make one. Throws `Http2Error`. */
  read(block: Buffer, isRequest: boolean): RequestHeaders | 'too_many' | 'malformed'
}

export function createHeaderBlocks(): HeaderBlocks {
  const decoder = createHpackDecoder(BYTES_MAX)
  let open: { id: number; isEnd: boolean; parts: Buffer[]; bytes: number } | null = null
  let last: { block: Buffer; generation: number; headers: RequestHeaders } | null = null

  const add = (part: Buffer) => {
    if (open === null) throw new Http2Error(ERROR.protocol, 'there is no block to go on with')
    open.parts.push(Buffer.from(part))
    open.bytes += part.length
    if (open.bytes > BYTES_MAX || open.parts.length > FRAMES_MAX) {
      throw new Http2Error(ERROR.enhanceYourCalm, 'a block of fields does not end')
    }
    return open
  }
  return {
    listBytesMax: BYTES_MAX,
    isOpen: () => open !== null,
    begin(id, isEnd, part) {
      open = { id, isEnd, parts: [], bytes: 0 }
      add(part)
    },
    continue(id, part, isLast) {
      const { id: ofId, isEnd, parts } = add(part)
      if (id !== ofId) throw new Http2Error(ERROR.protocol, 'a block of fields goes on in its own stream')
      if (!isLast) return null
      open = null
      return { id, isEnd, block: Buffer.concat(parts) }
    },
    read(block, isRequest) {
      const generation = decoder.generation()
      if (isRequest && last?.generation === generation && isEqual(last.block, block)) return last.headers
      const fields = decoder.decode(block)
      if (fields === null) return 'too_many'
      const headers = toRequestHeaders(fields)
      if (headers === null) return 'malformed'
      const isLasting = decoder.generation() === generation && block.length <= REMEMBERED_BYTES_MAX
      if (isRequest && isLasting) last = { block: Buffer.from(block), generation, headers }
      return headers
    },
  }
}

function isEqual(one: Buffer, other: Buffer): boolean {
  if (one.length !== other.length) return false
  for (let at = 0; at < one.length; at += 1) if (one[at] !== other[at]) return false
  return true
}
