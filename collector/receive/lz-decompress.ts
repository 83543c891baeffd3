/** Snappy and LZ4, in which foreign producers write to Kafka and which Node lacks. Reading only; checksums are the brokers' business. */

const SNAPPY_STREAM = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
/** Behind the magic of a stream: two versions. */
const SNAPPY_STREAM_BEGIN = SNAPPY_STREAM.length + 8
const LZ4_FRAME = 0x184d2204
const OUTPUT_BYTES_MIN = 64 * 1024

/** Bytes that make no sense, or become more than is allowed. */
class DecompressError extends Error {
  readonly code = 'DECOMPRESS_FAILED'

  constructor(message: string) {
    super(message)
    this.name = 'DecompressError'
  }
}

/** What was written so far, which later bytes may repeat. */
interface Output {
  literal(from: Buffer, begin: number, bytes: number): void
  repeat(distance: number, bytes: number): void
  done(): Buffer
}

/** A block of raw snappy, or the stream of blocks that Java's library writes. Throws `DecompressError`. */
export function decompressSnappy(input: Buffer, bytesMax: number): Buffer {
  const output = createOutput(bytesMax)
  if (!input.subarray(0, SNAPPY_STREAM.length).equals(SNAPPY_STREAM)) {
    snappyBlock(input, output)
    return output.done()
  }
  for (let at = SNAPPY_STREAM_BEGIN; at < input.length; ) {
    const begin = at + 4
    at = begin + numberAt(input, at, 4, 'big')
    snappyBlock(slice(input, begin, at), output)
  }
  return output.done()
}

/** A frame of LZ4. Throws `DecompressError`. */
export function decompressLz4(input: Buffer, bytesMax: number): Buffer {
  const output = createOutput(bytesMax)
  if (numberAt(input, 0, 4) !== LZ4_FRAME) throw new DecompressError('This is no LZ4 frame')
  const flags = numberAt(input, 4, 1)
  const checksumBytes = flags & 0x10 ? 4 : 0
  let at = 7 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
  for (;;) {
    const size = numberAt(input, at, 4)
    if (size === 0) return output.done()
    const isPlain = size >= 0x80000000
    const block = slice(input, at + 4, at + 4 + (isPlain ? size - 0x80000000 : size))
    if (isPlain) output.literal(block, 0, block.length)
    else lz4Block(block, output)
    at += 4 + block.length + checksumBytes
  }
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function snappyBlock(input: Buffer, output: Output): void {
  let at = 0
  // The length, which the output finds out by itself.
  while (numberAt(input, at++, 1) >= 0x80);
  while (at < input.length) {
    const tag = numberAt(input, at++, 1)
    const kind = tag & 3
    if (kind === 0) {
      const extraBytes = Math.max(0, (tag >> 2) - 59)
      const bytes = (extraBytes === 0 ? tag >> 2 : numberAt(input, at, extraBytes)) + 1
      at += extraBytes
      output.literal(input, at, bytes)
      at += bytes
    } else if (kind === 1) {
      output.repeat(((tag >> 5) << 8) | numberAt(input, at++, 1), ((tag >> 2) & 7) + 4)
    } else {
      const distanceBytes = kind === 2 ? 2 : 4
      output.repeat(numberAt(input, at, distanceBytes), (tag >> 2) + 1)
      at += distanceBytes
    }
  }
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4Block(input: Buffer, output: Output): void {
  let at = 0
  const length = (begin: number) => {
    let total = begin
    if (begin < 15) return total
    for (;;) {
      const more = numberAt(input, at++, 1)
      total += more
      if (more < 255) return total
    }
  }
  while (at < input.length) {
    const token = numberAt(input, at++, 1)
    const literals = length(token >> 4)
    output.literal(input, at, literals)
    at += literals
    // The last sequence is literals alone.
    if (at >= input.length) return
    const distance = numberAt(input, at, 2)
    at += 2
    output.repeat(distance, length(token & 15) + 4)
  }
}

function createOutput(bytesMax: number): Output {
  let buffer = Buffer.allocUnsafe(OUTPUT_BYTES_MIN)
  let at = 0
  const grow = (bytes: number) => {
    if (at + bytes > bytesMax) throw new DecompressError(`It is larger than ${bytesMax} bytes`)
    if (at + bytes <= buffer.length) return
    const larger = Buffer.allocUnsafe(Math.min(bytesMax, Math.max(2 * buffer.length, at + bytes)))
    buffer.copy(larger, 0, 0, at)
    buffer = larger
  }
  return {
    literal(from, begin, bytes) {
      if (begin + bytes > from.length) throw new DecompressError('It ends too early')
      grow(bytes)
      from.copy(buffer, at, begin, begin + bytes)
      at += bytes
    },
    repeat(distance, bytes) {
      if (distance === 0 || distance > at) throw new DecompressError('It repeats what is not there')
      grow(bytes)
      if (distance >= bytes) buffer.copyWithin(at, at - distance, at - distance + bytes)
      // Bytes that repeat themselves.
      else for (let index = at; index < at + bytes; index++) buffer[index] = buffer[index - distance] ?? 0
      at += bytes
    },
    done: () => buffer.subarray(0, at),
  }
}

function numberAt(input: Buffer, at: number, bytes: number, order: 'little' | 'big' = 'little'): number {
  if (at + bytes > input.length) throw new DecompressError('It ends too early')
  return order === 'little' ? input.readUIntLE(at, bytes) : input.readUIntBE(at, bytes)
}

function slice(input: Buffer, begin: number, end: number): Buffer {
  if (end > input.length) throw new DecompressError('It ends too early')
  return input.subarray(begin, end)
}
