import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFrameSplit } from '../../../collector/receive/zstd-frames.ts'

const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } }
const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at * 2_654_435_761) >>> 13))
const SKIPPABLE = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])

const FRAMES = [
  zstdCompressSync(Buffer.from('a')),
  zstdCompressSync(Buffer.alloc(0)),
  zstdCompressSync(Buffer.alloc(500_000), checked),
  zstdCompressSync(noise),
  SKIPPABLE,
]

/** Where each of some buffers ends when they follow each other. */
const endsOf = (buffers: readonly Buffer[]) =>
  buffers.map((_, index) => Buffer.concat(buffers.slice(0, index + 1)).length)

const manyFrames = fc.array(fc.constantFrom(...FRAMES), { maxLength: 6 })

test('no piece holds bytes of two frames, however they come', () => {
  fc.assert(
    fc.property(manyFrames, fc.integer({ min: 1000, max: 400_000 }), (frames, size) => {
      const all = Buffer.concat(frames)
      const split = createFrameSplit()
      const pieces: Buffer[] = []
      for (let at = 0; at < all.length; at += size) pieces.push(...split(all.subarray(at, at + size)))
      expect(Buffer.concat(pieces).equals(all)).toBe(true)
      expect(endsOf(pieces)).toEqual(expect.arrayContaining(endsOf(frames)))
    }),
    { numRuns: 50 },
  )
})

test('heads come byte by byte', () => {
  const [small = Buffer.alloc(0)] = FRAMES
  const split = createFrameSplit()
  const bytes = [...small, ...SKIPPABLE, ...small].map(byte => split(Buffer.from([byte])))
  expect(bytes.every(pieces => pieces.length === 1)).toBe(true)
  expect(split(Buffer.concat([small, small]))).toEqual([small, small])
})

test('what is no frame stays whole', () => {
  const [frame = Buffer.alloc(0)] = FRAMES
  const rest = Buffer.from('no frame, and as long as one may be')
  expect(createFrameSplit()(Buffer.concat([frame, rest]))).toEqual([frame, rest])
})

test('more frames than are wanted are not divided any more', () => {
  const all = Buffer.concat(Array<Buffer>(50).fill(SKIPPABLE))
  const pieces = createFrameSplit(10)(all)
  expect(pieces).toHaveLength(11)
  expect(Buffer.concat(pieces).equals(all)).toBe(true)
})
