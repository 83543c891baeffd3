/**
 * zstd for kafkajs, on the main thread. A record batch of ours takes a fraction of a millisecond, and in the thread pool
 * each one would cost a turn of the event loop: in a busy process those turns, one after the other, were what bounded
 * how fast a log could be written and read.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/** Of one record batch. Ours are a tenth of it; more is nothing that we would want in memory. */
export const DECOMPRESSED_BYTES_MAX = 64 * 2 ** 20
/** Decoding goes on for so long at most before others have their turn. */
const TURN_MS_MAX = 20

const compression = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

const takeTurns = createTurns()

/** As kafkajs wants it. Reading a long log leaves the event loop to others for half of the time. */
export const zstdCodec = {
  compress: async ({ buffer }: { buffer: Buffer }) => zstdCompressSync(buffer, compression),
  decompress: async (bytes: Buffer) => {
    await takeTurns()
    return zstdDecompressSync(bytes, { maxOutputLength: DECOMPRESSED_BYTES_MAX })
  },
}

/** Resolves at once for as long as others have had the event loop before, and after their next turn when that is over. */
function createTurns(): () => Promise<void> {
  let oursUntilMs = 0
  return async () => {
    const askedAtMs = performance.now()
    if (askedAtMs < oursUntilMs) return
    await nextTurn()
    const nowMs = performance.now()
    oursUntilMs = nowMs + Math.min(TURN_MS_MAX, nowMs - askedAtMs)
  }
}
