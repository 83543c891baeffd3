import { expect, test } from 'vitest'
import { createLineQueue } from '../../../collector/receive/line-queue.ts'
import type { Line } from '../../../collector/receive/lines.ts'

const lineOf = (text: string) => ({ text, problem: null })

test('takes what fits, keeps the order, and has room again', async () => {
  const gate = Promise.withResolvers<void>()
  const accepted: Line[] = []
  const queue = createLineQueue(1000, async lines => {
    await gate.promise
    accepted.push(...lines)
  })
  expect([1, 2, 3].map(index => queue.offer(lineOf('x'.repeat(100 * index))))).toEqual([true, true, false])
  const room = queue.room()
  gate.resolve()
  await room
  expect(queue.offer(lineOf('last'))).toBe(true)
  await queue.done()
  expect(accepted.map(({ text }) => text.length)).toEqual([100, 200, 4])
  expect(accepted.map(({ number }) => number)).toEqual([1, 2, 3])
})

test('takes one line of any size', async () => {
  const queue = createLineQueue(1, async () => undefined)
  expect(queue.offer(lineOf('much longer than one byte'))).toBe(true)
  await queue.done()
})

test('has failed for good when a batch has', async () => {
  const queue = createLineQueue(1000, () => Promise.reject(new Error('the log is corrupt')))
  queue.offer(lineOf('a'))
  await expect(queue.failed).rejects.toThrow('corrupt')
  await expect(queue.done()).rejects.toThrow('corrupt')
  await expect(queue.room()).rejects.toThrow('corrupt')
  expect(queue.offer(lineOf('b'))).toBe(false)
})
