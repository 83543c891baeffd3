/**
 * Where the frames of zstd end. What is compressed piece by piece, or by several threads, is frames one behind the other, of
 * which Node's decompressor reads the first and drops the rest without a word: it must be given one after the other.
 * https://www.rfc-editor.org/rfc/rfc8878#section-3
 */

const FRAME = 0xfd2fb528
const SKIPPABLE = 0x184d2a50
const SKIPPABLE_BITS = 0xfffffff0
const BLOCK_OF_ONE_BYTE = 1
const DICTIONARY_ID_BYTES = [0, 1, 2, 4]
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]

/** Bytes to be read, to be passed over, or none of both: the frame has ended. */
type Step = { read: number } | { skip: number } | 'end'

export type SplitFrames = (chunk: Buffer) => Buffer[]

/**
 * Divides chunks so that no piece holds bytes of two frames. What is no frame is left whole, for zstd to refuse; so is what
 * comes behind `framesMax` frames of one chunk, which ends the dividing.
 */
export function createFrameSplit(framesMax = Number.POSITIVE_INFINITY): SplitFrames {
  const steps = frameSteps()
  let step = steps.next().value
  let head: Buffer = Buffer.alloc(0)
  return chunk => {
    const pieces: Buffer[] = []
    let begin = 0
    for (let at = 0; at < chunk.length && pieces.length < framesMax; ) {
      if (step === 'end') {
        step = steps.next().value
        continue
      }
      const wanted = 'read' in step ? step.read - head.length : step.skip
      const taken = Math.min(wanted, chunk.length - at)
      if ('read' in step) head = Buffer.concat([head, chunk.subarray(at, at + taken)])
      at += taken
      if (taken < wanted) {
        if ('skip' in step) step = { skip: wanted - taken }
        continue
      }
      step = steps.next(head).value
      head = Buffer.alloc(0)
      while (step !== 'end' && 'skip' in step && step.skip === 0) step = steps.next(head).value
      if (step === 'end' && at < chunk.length) {
        pieces.push(chunk.subarray(begin, at))
        begin = at
      }
    }
    if (begin < chunk.length) pieces.push(chunk.subarray(begin))
    return pieces
  }
}

function* frameSteps(): Generator<Step, never, Buffer> {
  for (;;) {
    const magic = (yield { read: 4 }).readUInt32LE()
    if ((magic & SKIPPABLE_BITS) >>> 0 === SKIPPABLE) yield { skip: (yield { read: 4 }).readUInt32LE() }
    else if (magic === FRAME) yield* blockSteps()
    else yield { skip: Number.POSITIVE_INFINITY }
    yield 'end'
  }
}

function* blockSteps(): Generator<Step, void, Buffer> {
  const flags = (yield { read: 1 }).readUInt8()
  const isSingleSegment = (flags & 0x20) !== 0
  const sizeBytes = CONTENT_SIZE_BYTES[flags >> 6] || (isSingleSegment ? 1 : 0)
  yield { skip: (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[flags & 3] ?? 0) + sizeBytes }
  for (let isLast = false; !isLast; ) {
    const block = (yield { read: 3 }).readUIntLE(0, 3)
    isLast = (block & 1) !== 0
    yield { skip: ((block >> 1) & 3) === BLOCK_OF_ONE_BYTE ? 1 : block >> 3 }
  }
  if ((flags & 0x04) !== 0) yield { skip: 4 }
}
