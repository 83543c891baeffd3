import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createAppendQueue, type EncodedBlock, PENDING_CHARACTERS_MAX } from '../../../collector/log/append-queue.ts'
import { decodeBlock, VALUE_CHARACTERS_MAX } from '../../../collector/log/block.ts'

const decoded = async (groups: EncodedBlock[][]) =>
  (await Promise.all(groups.flat().map(block => decodeBlock(block.bytes)))).flat()

test('appends that wait together are committed together, in the order of their calls', async () => {
  const groups: EncodedBlock[][] = []
  const queue = createAppendQueue(async blocks => {
    await turn()
    groups.push(blocks)
  })
  const texts = Array.from({ length: 1_000 }, (_, index) => `${index}`)
  await Promise.all(texts.map(text => queue.append([text])))
  expect(await decoded(groups)).toEqual(texts)
  expect(groups.length).toBeLessThan(10)
})

test('a failed group rejects its own appends and no others', async () => {
  let commits = 0
  const groups: EncodedBlock[][] = []
  const queue = createAppendQueue(async blocks => {
    if (commits++ === 0) throw new Error('disk')
    groups.push(blocks)
  })
  const settled = await Promise.allSettled([queue.append(['a']), queue.append(['b']), queue.append(['c'])])
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  expect(await decoded(groups)).toEqual(['b', 'c'])
})

test('what waits is bounded, and room comes back', async () => {
  const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
  const queue = createAppendQueue(() => mayGoOn)
  const text = 'x'.repeat(VALUE_CHARACTERS_MAX)
  const held = Array.from({ length: PENDING_CHARACTERS_MAX / VALUE_CHARACTERS_MAX }, () => queue.append([text]))
  await expect(queue.append(['y'])).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE', retryable: true })
  goOn()
  await Promise.all(held)
  await queue.append(['y'])
})
