import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BLOCK_CHARACTERS_MAX,
  BLOCK_ENTRIES_MAX,
  cutIntoBlocks,
  decodeBlock,
  encodeBlock,
} from '../../../collector/log/block.ts'

const values = fc.array(fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.json()), { maxLength: 200 })

test('what is decoded is what was encoded', async () => {
  await fc.assert(
    fc.asyncProperty(values, async texts => {
      expect(await decodeBlock(await encodeBlock(texts))).toEqual(texts)
    }),
  )
})

test('no changed byte goes unnoticed', async () => {
  const block = await encodeBlock(Array.from({ length: 200 }, (_, index) => `{"index":${index}}`))
  await fc.assert(
    fc.asyncProperty(fc.nat(block.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const damaged = Buffer.from(block)
      damaged[at] = (damaged[at] ?? 0) ^ change
      await expect(decodeBlock(damaged)).rejects.toMatchObject({ code: 'LOG_CORRUPT', retryable: false })
    }),
  )
  await expect(decodeBlock(block.subarray(0, block.length - 1))).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  await expect(decodeBlock(Buffer.alloc(3))).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
})

test('cutting keeps order and bounds', () => {
  const lengths = fc.array(fc.constantFrom(1, 10, 1_000, BLOCK_CHARACTERS_MAX / 2, BLOCK_CHARACTERS_MAX), {
    maxLength: 60,
  })
  fc.assert(
    fc.property(lengths, chosen => {
      const texts = chosen.map(length => 'x'.repeat(length))
      const blocks = [...cutIntoBlocks(texts)]
      expect(blocks.flat()).toEqual(texts)
      for (const block of blocks) {
        expect(block.length).toBeGreaterThan(0)
        expect(block.slice(0, -1).join('').length).toBeLessThan(BLOCK_CHARACTERS_MAX)
      }
    }),
    { numRuns: 50 },
  )
  const many = Array.from({ length: 2 * BLOCK_ENTRIES_MAX + 1 }, (_, index) => `${index}`)
  expect([...cutIntoBlocks(many)].map(block => block.length)).toEqual([BLOCK_ENTRIES_MAX, BLOCK_ENTRIES_MAX, 1])
  expect([...cutIntoBlocks([])]).toEqual([])
})
