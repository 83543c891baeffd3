import { expect, test } from 'vitest'
import { noDimensions } from '../../../analyzer/limit/http.ts'
import { createLastKnown } from '../../../analyzer/limit/last-known.ts'
import { createOpenSums } from '../../../analyzer/limit/open-sums.ts'
import { ownText } from '../../../analyzer/limit/own-text.ts'
import { claim } from '../../contract/limit-store.ts'
import { quota } from './call-records.ts'

const NAMES = 300
const SAID_CHARACTERS = 200_000

/** Bytes that are held when so many long names, cut short as at the doors, were remembered. */
function heldBy(remember: (name: string) => void): number {
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < NAMES; index += 1) {
    remember(
      Buffer.from(`${index} ${'x'.repeat(SAID_CHARACTERS)}`)
        .toString()
        .slice(0, 512),
    )
  }
  return process.memoryUsage().heapUsed - before
}
const BYTES_MAX = (NAMES * SAID_CHARACTERS) / 2

test('a sum of decisions keeps its subject, and not the text that it was cut from', () => {
  const sums = createOpenSums()
  const one = quota()
  expect(heldBy(consumer => sums.obtain(one, consumer, { ...noDimensions(), consumer }, 0))).toBeLessThan(BYTES_MAX)
  sums.obtain(one, 'web', noDimensions(), 0)
})

test('so does what is known for the time when the counters are away', () => {
  const known = createLastKnown()
  const standing = { used: 1, reserved: 0 } as Parameters<typeof known.note>[1]
  const at = { atMs: 1, heldUntilMs: 1 }
  expect(heldBy(subject => known.note(claim({ subject }), standing, at))).toBeLessThan(BYTES_MAX)
  expect(known.find(claim({ subject: 'web' }), 1)).toBeNull()
})

test.each(['web', 'größer 😀', '', 'half \ud83d'])('%j is the same in a text of its own', text => {
  expect(ownText(text)).toBe(text)
})
