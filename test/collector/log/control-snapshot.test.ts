import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { VALUE_CHARACTERS_MAX } from '../../../collector/log/block.ts'
import { type HeldEntry, parseSnapshotPiece } from '../../../collector/log/control-change.ts'
import { createSnapshotPieces, findSnapshot, toSnapshotPieces } from '../../../collector/log/control-snapshot.ts'
import { openMemoryLog } from '../../analyzer/control/control-log.ts'

const heldOf = (count: number, value: unknown = 1): HeldEntry[] =>
  Array.from({ length: count }, (_, index) => ({ kind: 'quota', key: `q${index}`, version: 1, value }))

test('pieces in any order, between those of another snapshot and some of them twice, are what was cut', async () => {
  const entry = fc.record({
    kind: fc.constantFrom('quota' as const, 'later' as never),
    key: fc.string({ minLength: 1, maxLength: 9 }),
    version: fc.integer({ min: 1 }),
    value: fc.jsonValue(),
  })
  const property = fc.asyncProperty(
    fc.array(entry),
    fc.array(entry),
    fc.nat(200),
    fc.infiniteStream(fc.nat()),
    async (one, other, charactersMax, picks) => {
      const open = [
        ...(await toSnapshotPieces({ asOfOffset: 3, held: one }, charactersMax)),
        ...(await toSnapshotPieces({ asOfOffset: 4, held: other }, charactersMax)),
      ]
      const pieces = createSnapshotPieces()
      const found = []
      while (open.length > 0) {
        const [value = ''] = open.splice((picks.next().value ?? 0) % open.length, 1)
        const piece = parseSnapshotPiece({ offset: 9, value })
        if (piece === null) expect.fail(value)
        // Again, as when the outcome of an append was unclear.
        if (piece.parts > 1) found.push(pieces.add(piece))
        found.push(pieces.add(piece))
      }
      const complete = found.filter(snapshot => snapshot !== null).toSorted((a, b) => a.asOfOffset - b.asOfOffset)
      expect(complete).toEqual([
        { asOfOffset: 3, held: JSON.parse(JSON.stringify(one)) },
        { asOfOffset: 4, held: JSON.parse(JSON.stringify(other)) },
      ])
    },
  )
  await fc.assert(property)
})

test('what one change can be fits a piece of its own', async () => {
  const change = { kind: 'pace', key: 'k', value: '', by: 'b', reason: null }
  const envelope = JSON.stringify({
    ...change,
    changeId: crypto.randomUUID(),
    atMs: Date.now(),
    expectedVersion: 0,
    version: 1,
  })
  const value = 'x'.repeat(VALUE_CHARACTERS_MAX - envelope.length)
  const held: HeldEntry[] = [...heldOf(2), { kind: 'pace', key: 'k', version: 1, value }, ...heldOf(1)]
  const pieces = await toSnapshotPieces({ asOfOffset: 1e15, held })
  expect(pieces).toHaveLength(3)
  expect(Math.max(...pieces.map(piece => piece.length))).toBeLessThanOrEqual(VALUE_CHARACTERS_MAX)
})

test('too much for a snapshot is refused, not cut off', async () => {
  await expect(toSnapshotPieces({ asOfOffset: 0, held: heldOf(8_193) }, 1)).rejects.toThrow('8193 pieces, too many')
})

test('the newest that needs nothing from before the begin is found, wherever it lies, without reading all of a long log', async () => {
  const log = openMemoryLog(500)
  const skipTo = (offset: number) => {
    while (log.endOffset() < offset) log.put('{}')
  }
  const put = async (asOfOffset: number) => {
    const pieces = await toSnapshotPieces({ asOfOffset, held: heldOf(2, asOfOffset) }, 1)
    for (const piece of pieces) log.put(piece)
  }
  const find = async () => {
    const stretch = { logId: 'log', beginOffset: log.beginOffset(), endOffset: log.endOffset() }
    return (await findSnapshot(log, stretch))?.asOfOffset ?? null
  }
  skipTo(20_000)
  expect(await find()).toBeNull()
  await put(10_000)
  await put(20_000)
  await put(15_000)
  expect(await find()).toBe(20_000)
  skipTo(25_000)
  // Of an analyzer that was slow: it was finished long after a newer one.
  await put(19_000)
  log.trim(19_500)
  expect(await find()).toBe(20_000)
  // One whose first piece was trimmed, or that was never finished, is none.
  const [first = '', second = ''] = await toSnapshotPieces({ asOfOffset: 24_000, held: heldOf(2) }, 1)
  log.put(second)
  expect(await find()).toBe(20_000)
  skipTo(28_000)
  log.put(first)
  expect(await find()).toBe(24_000)
  skipTo(29_500)
  await put(29_000)
  const read = vi.spyOn(log, 'read')
  expect(await find()).toBe(29_000)
  expect(Math.min(...read.mock.calls.map(([, , fromOffset]) => fromOffset))).toBeGreaterThan(28_000)
})
