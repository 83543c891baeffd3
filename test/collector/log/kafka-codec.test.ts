import { setImmediate as nextTurn } from 'node:timers/promises'
import { zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { zstdCodec } from '../../../collector/log/kafka-codec.ts'

test('what was compressed is what is decompressed', async () => {
  const bytes = Buffer.from('a call record, '.repeat(1_000))
  const compressed = await zstdCodec.compress({ buffer: bytes })
  expect(compressed.length).toBeLessThan(bytes.length / 10)
  expect(await zstdCodec.decompress(compressed)).toEqual(bytes)
})

test('what would fill the memory is refused', async () => {
  const bomb = zstdCompressSync(Buffer.alloc(65 * 2 ** 20))
  await expect(zstdCodec.decompress(bomb)).rejects.toThrow()
})

test('others have their turn while a long log is decoded', async () => {
  const batch = zstdCompressSync(Buffer.from('x'.repeat(2 ** 20)))
  let isOver = false
  let turnsOfOthers = 0
  const others = async () => {
    while (!isOver) {
      turnsOfOthers += 1
      await nextTurn()
    }
  }
  const going = others()
  for (let index = 0; index < 100; index++) await zstdCodec.decompress(batch)
  isOver = true
  await going
  // The turns of these others take no time, so that nearly every batch waits for one.
  expect(turnsOfOthers).toBeGreaterThan(10)
})
