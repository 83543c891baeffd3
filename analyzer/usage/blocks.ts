/**
 * Blocks of bytes in few buffers. A buffer of its own takes some three hundred bytes beside what is in it: too much where
 * there are hundreds of thousands of small ones.
 */
import assert from 'node:assert/strict'

/** Where a block begins. */
export type Place = number
export const NOWHERE: Place = -1

/** A block: the buffer that holds it, its first byte there and the one after its last. */
export interface Bytes {
  bytes: Uint8Array
  from: number
  to: number
}

export interface Blocks {
  /** Good until the next `put`. */
  read(at: Place): Bytes
  /** Puts bytes in place of those of a block, or of none; answers where the block is now. */
  put(at: Place, bytes: Uint8Array): Place
  /** Gives it back. */
  forget(at: Place): void
  /**
   * Where much lies free, puts all blocks that are held side by side, and writes where they are now. Blocks that grow
   * together leave room behind that is too small for any of them.
   */
  gather(held: Iterable<{ at: Place }>): void
}

const CHUNK_BYTES = 2 ** 20
/** Blocks are gathered when more than this share of all lies free. */
const FREE_SHARE_MAX = 0.2
/** Its size's class and its length stand before each block. */
const HEADER_BYTES = 4
/** A quarter more each, about. What was given back is used again by blocks of the same size. */
const SIZES = [...new Set(Array.from({ length: 46 }, (_, index) => 8 * Math.round(2 * 1.25 ** index)))].filter(
  size => size <= CHUNK_BYTES / 4,
)

interface Chunk {
  bytes: Uint8Array
  view: DataView
}

export function createBlocks(): Blocks {
  const chunks: Chunk[] = []
  const free: Place[][] = SIZES.map(() => [])
  let end = 0
  const chunkOf = (at: Place, all = chunks) => {
    const chunk = all[Math.floor(at / CHUNK_BYTES)]
    assert(chunk, 'a block lies in a chunk')
    return chunk
  }
  const sizeAt = (at: Place) => chunkOf(at).view.getUint32(at % CHUNK_BYTES) >>> 24
  function blockOf(bytes: number): Place {
    const size = SIZES.findIndex(one => one >= bytes + HEADER_BYTES)
    assert(size >= 0, 'a series is bounded by its steps')
    const at = free[size]?.pop() ?? blockAtEnd(SIZES[size] ?? 0)
    chunkOf(at).view.setUint32(at % CHUNK_BYTES, size << 24)
    return at
  }
  function blockAtEnd(bytes: number): Place {
    if (end + bytes > chunks.length * CHUNK_BYTES) {
      end = chunks.length * CHUNK_BYTES
      const made = new Uint8Array(CHUNK_BYTES)
      chunks.push({ bytes: made, view: new DataView(made.buffer) })
    }
    end += bytes
    return end - bytes
  }
  function read(at: Place, all = chunks): Bytes {
    const { bytes, view } = chunkOf(at, all)
    const from = (at % CHUNK_BYTES) + HEADER_BYTES
    return { bytes, from, to: from + (view.getUint32(from - HEADER_BYTES) & 0xffffff) }
  }
  function put(at: Place, bytes: Uint8Array): Place {
    const fits = at !== NOWHERE && (SIZES[sizeAt(at)] ?? 0) >= bytes.length + HEADER_BYTES
    const next = fits ? at : blockOf(bytes.length)
    if (!fits) forget(at)
    const chunk = chunkOf(next)
    const from = next % CHUNK_BYTES
    chunk.view.setUint32(from, ((sizeAt(next) << 24) | bytes.length) >>> 0)
    chunk.bytes.set(bytes, from + HEADER_BYTES)
    return next
  }
  const forget = (at: Place) => {
    if (at !== NOWHERE) free[sizeAt(at)]?.push(at)
  }
  return {
    read: at => read(at),
    put,
    forget,
    gather(held) {
      const freeBytes = free.reduce((sum, places, size) => sum + places.length * (SIZES[size] ?? 0), 0)
      if (freeBytes <= FREE_SHARE_MAX * end) return
      const before = chunks.splice(0)
      for (const places of free) places.length = 0
      end = 0
      for (const one of held) {
        if (one.at === NOWHERE) continue
        const { bytes, from, to } = read(one.at, before)
        one.at = put(NOWHERE, bytes.subarray(from, to))
      }
    },
  }
}
