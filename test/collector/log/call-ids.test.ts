import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCallIdSet } from '../../../collector/log/call-ids.ts'

/** The bytes of one slot and its part of a table that is about to grow. */
const BYTES_PER_ID = 30

test('is a set, whatever the order, and stays one while it grows', () => {
  const ids = createCallIdSet({ bytesMax: 2 ** 22 })
  const added = Array.from({ length: 50_000 }, () => randomUUID())
  for (const [index, id] of added.entries()) expect(ids.add(id, index * 1_000)).toBe(true)
  for (const [index, id] of added.entries()) expect(ids.add(id, index)).toBe(false)
  expect(added.every(id => ids.has(id))).toBe(true)
  expect(Array.from({ length: 50_000 }, () => ids.has(randomUUID()))).not.toContain(true)
  expect(ids.size).toBe(50_000)
  expect(ids.completeFromMs).toBe(0)
})

test('ids that differ in one digit are different, case does not matter', () => {
  const ids = createCallIdSet({ bytesMax: 2 ** 20 })
  const id = '00000000-0000-0000-0000-000000000000'
  ids.add(id, 0)
  for (let at = 0; at < id.length; at++) {
    if (id[at] !== '-') expect(ids.has(`${id.slice(0, at)}f${id.slice(at + 1)}`)).toBe(false)
  }
  ids.add('abcdef01-2345-6789-abcd-ef0123456789', 0)
  expect(ids.has('ABCDEF01-2345-6789-ABCD-EF0123456789')).toBe(true)
})

test('is complete from completeFromMs on, however small it is', () => {
  const second = fc.integer({ min: 0, max: 4_000 })
  const step = fc.record({ startedAtMs: second.map(seconds => seconds * 1_000 + 7), forget: fc.boolean() })
  const steps = fc.array(step, { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 1_500 }),
      fc.integer({ min: 0, max: 500 }),
      (rounds, count, spread) => {
        const ids = createCallIdSet({ bytesMax: 1_024 * BYTES_PER_ID })
        const added = new Map<string, number>()
        for (const { startedAtMs, forget } of rounds) {
          for (let index = 0; index < count; index++) {
            const id = randomUUID()
            const atMs = startedAtMs + (index % (spread + 1)) * 1_000
            const isOld = atMs < ids.completeFromMs
            if (ids.add(id, atMs)) added.set(id, atMs)
            else expect(isOld || atMs < ids.completeFromMs).toBe(true)
          }
          if (forget) ids.forgetBefore(startedAtMs)
          if (forget) expect(ids.completeFromMs).toBeGreaterThanOrEqual(startedAtMs)
          for (const [id, atMs] of added) expect(ids.has(id)).toBe(atMs >= ids.completeFromMs)
        }
        expect(ids.size).toBeLessThanOrEqual(1_024)
      },
    ),
    { numRuns: 60 },
  )
})

test('drops about the older half when it is full', () => {
  const ids = createCallIdSet({ bytesMax: 2 ** 16 * BYTES_PER_ID })
  let sizeMax = 0
  for (let index = 0; index < 200_000; index++) {
    ids.add(randomUUID(), index * 1_000)
    sizeMax = Math.max(sizeMax, ids.size)
    if (index > 2 ** 16) expect(ids.size).toBeGreaterThan(2 ** 16 * 0.25)
  }
  expect(sizeMax).toBeLessThanOrEqual(2 ** 16 * 0.7 + 1)
  expect(200_000_000 - ids.completeFromMs).toBeLessThanOrEqual(2 ** 16 * 1_000)
})
