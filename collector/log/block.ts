/**
 * One entry of the embedded log: the values of one or more appends, compressed together. Little-endian:
 *
 *     u8 format | u8 codec | u16 zero | u32 values | u32 payload bytes before compression | u32 CRC-32 | payload
 *     payload: u32 length of each value in UTF-16 code units | all values, UTF-8, without separators
 *
 * Lengths in code units let a reader decode the text once and slice it, which costs a fifth of decoding each value.
 */
import { promisify } from 'node:util'
import { constants, crc32, zstdCompress, zstdDecompress } from 'node:zlib'
import { LogError } from './call-log.ts'

/** Most values of one block. */
export const BLOCK_ENTRIES_MAX = 4_000
/** A block is closed when its values reach this many characters. */
export const BLOCK_CHARACTERS_MAX = 2 ** 20
/** Longest value in characters; a longer one is a bug of the caller, whose inputs are all bounded below it. */
export const VALUE_CHARACTERS_MAX = 2 ** 20

const FORMAT = 1
const CODEC_NONE = 0
const CODEC_ZSTD = 1
const HEADER_BYTES = 16
const LENGTH_BYTES = 4
const CHECKSUM_AT = 12
/** Below this size a frame of its own saves nothing. */
const COMPRESSED_BYTES_MIN = 512
/** Two closed blocks of characters, three bytes each, and their lengths: what a sound block cannot exceed. */
const PAYLOAD_BYTES_MAX = 3 * (BLOCK_CHARACTERS_MAX + VALUE_CHARACTERS_MAX) + LENGTH_BYTES * BLOCK_ENTRIES_MAX

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
const params = { [constants.ZSTD_c_compressionLevel]: 1 }
/** Call records take less than this part of their size; more comes in further pieces. */
const COMPRESSED_SHARE = 1 / 4
/** One more than there is, or a further piece is made to find that nothing follows; the library takes none below 64. */
const SPARE_BYTES = 64

/** Cuts values into runs that each fit a block, keeping their order. */
export function* cutIntoBlocks(values: readonly string[]): Generator<readonly string[]> {
  let from = 0
  let characters = 0
  for (const [index, value] of values.entries()) {
    characters += value.length
    if (characters >= BLOCK_CHARACTERS_MAX || index + 1 - from === BLOCK_ENTRIES_MAX) {
      yield values.slice(from, index + 1)
      from = index + 1
      characters = 0
    }
  }
  if (from < values.length) yield from === 0 ? values : values.slice(from)
}

export async function encodeBlock(values: readonly string[]): Promise<Buffer> {
  const payload = payloadOf(values)
  const isCompressed = payload.length >= COMPRESSED_BYTES_MIN
  const stored = isCompressed
    ? await compress(payload, { params, chunkSize: Math.ceil(payload.length * COMPRESSED_SHARE) })
    : payload
  const block = Buffer.allocUnsafe(HEADER_BYTES + stored.length)
  block.writeUInt8(FORMAT, 0)
  block.writeUInt8(isCompressed ? CODEC_ZSTD : CODEC_NONE, 1)
  block.writeUInt16LE(0, 2)
  block.writeUInt32LE(values.length, 4)
  block.writeUInt32LE(payload.length, 8)
  block.set(stored, HEADER_BYTES)
  block.writeUInt32LE(checksumOf(block), CHECKSUM_AT)
  return block
}

/** The values of a block, in order. Throws `LogError` `LOG_CORRUPT` for anything that `encodeBlock` did not write. */
export async function decodeBlock(bytes: Uint8Array): Promise<string[]> {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (block.length < HEADER_BYTES) throw new LogError('LOG_CORRUPT', 'The block is shorter than its header')
  if (block.readUInt8(0) !== FORMAT) throw new LogError('LOG_CORRUPT', `Unknown block format ${block.readUInt8(0)}`)
  if (block.readUInt32LE(CHECKSUM_AT) !== checksumOf(block)) {
    throw new LogError('LOG_CORRUPT', 'The checksum of the block does not match its content')
  }
  const payload = await readPayload(block)
  const lengthsBytes = block.readUInt32LE(4) * LENGTH_BYTES
  const text = payload.toString('utf8', lengthsBytes)
  const values: string[] = []
  let from = 0
  for (let at = 0; at < lengthsBytes; at += LENGTH_BYTES) {
    const to = from + payload.readUInt32LE(at)
    values.push(text.slice(from, to))
    from = to
  }
  return values
}

async function readPayload(block: Buffer): Promise<Buffer> {
  const stored = block.subarray(HEADER_BYTES)
  const payloadBytes = block.readUInt32LE(8)
  if (payloadBytes > PAYLOAD_BYTES_MAX) throw new LogError('LOG_CORRUPT', 'The block is larger than any block may be')
  if (block.readUInt8(1) === CODEC_NONE) return stored
  try {
    // In one piece: by default it comes in 16 KiB, for each of which our own thread waits in turn and has to be woken.
    return await decompress(stored, { maxOutputLength: payloadBytes, chunkSize: payloadBytes + SPARE_BYTES })
  } catch (cause) {
    throw new LogError('LOG_CORRUPT', 'The block cannot be decompressed', { cause })
  }
}

function payloadOf(values: readonly string[]): Buffer {
  const text = values.join('')
  const lengthsBytes = values.length * LENGTH_BYTES
  const payload = Buffer.allocUnsafe(lengthsBytes + Buffer.byteLength(text))
  let at = 0
  for (const value of values) at = payload.writeUInt32LE(value.length, at)
  payload.write(text, lengthsBytes)
  return payload
}

/** Over everything but the checksum itself, so that a damaged header is found too. */
function checksumOf(block: Buffer): number {
  return crc32(block.subarray(HEADER_BYTES), crc32(block.subarray(0, CHECKSUM_AT)))
}
