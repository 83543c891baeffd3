/**
 * Blocks of bytes in few buffers. A buffer of its own takes some three hundred bytes beside what is in it: too much where
 * there are hundreds of thousands of small ones.
 */
import assert from 'node:assert/strict'

/** Where a block begins. */
export type Place = number
export const NOWHERE: Place = -1

export interface Blocks {
  /** The buffer that holds the block, its first byte there and the one after its last. Good until the next `put`. */
  read(at: Place): { bytes: Uint8Array; from: number; to: number }
  /** Puts bytes in place of those of a block, or of none; answers where the block is now. */
  put(at: Place, bytes: Uint8Array): Place
  /** Gives it back. */
  forget(at: Place): void
}

const CHUNK_BYTES = 2 ** 20
/** Its size's class and its length stand before each block. */
const HEADER_BYTES = 4
/** A quarter more each, about. What was given back is used again by blocks of the same size. */
const SIZES = [...new Set(Array.from({ length: 46 }, (_, index) => 8 * Math.round(2 * 1.25 ** index)))].filter(
  size => size <= CHUNK_BYTES / 4,
)

export function createBlocks(): Blocks {
  const chunks: { bytes: Uint8Array; view: DataView }[] = []
  const free: Place[][] = SIZES.map(() => [])
  let end = 0
  const chunkOf = (at: Place) => {
    const chunk = chunks[Math.floor(at / CHUNK_BYTES)]
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
  const forget = (at: Place) => {
    if (at !== NOWHERE) free[sizeAt(at)]?.push(at)
  }
  return {
    forget,
    read(at) {
      const { bytes, view } = chunkOf(at)
      const from = (at % CHUNK_BYTES) + HEADER_BYTES
      return { bytes, from, to: from + (view.getUint32(from - HEADER_BYTES) & 0xffffff) }
    },
    put(at, bytes) {
      const fits = at !== NOWHERE && (SIZES[sizeAt(at)] ?? 0) >= bytes.length + HEADER_BYTES
      const next = fits ? at : blockOf(bytes.length)
      if (!fits) forget(at)
      const chunk = chunkOf(next)
      const from = next % CHUNK_BYTES
      chunk.view.setUint32(from, ((sizeAt(next) << 24) | bytes.length) >>> 0)
      chunk.bytes.set(bytes, from + HEADER_BYTES)
      return next
    },
  }
}
