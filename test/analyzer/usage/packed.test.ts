import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NOWHERE } from '../../../analyzer/usage/blocks.ts'
import { createPacked, type Entries, type Entry } from '../../../analyzer/usage/packed.ts'

const listOf = ({ length, slots, units, count, refused }: Readonly<Entries>): Entry[] =>
  Array.from({ length }, (_, index) => ({
    ...{ slot: Number(slots[index]), units: Number(units[index]) },
    ...{ count: Number(count[index]), refused: Number(refused[index]) },
  }))

const amount = fc.oneof(
  { weight: 3, arbitrary: fc.nat(300) },
  fc.nat(2 ** 31 - 1),
  fc.constantFrom(2 ** 40 + 1, 2 ** 51, 2 ** 52, 2 ** 60),
  fc.double({ min: 0, max: 1e12, noNaN: true }).filter(value => !Object.is(value, -0)),
)
const entry = fc.record({ slot: fc.nat(2_000), units: amount, count: amount, refused: amount })
const plain = fc.record({ slot: fc.nat(2_000), units: fc.nat(300) }).map(({ slot, units }) => ({
  ...{ slot, units, count: units, refused: 0 },
}))
const ascending = (entries: Entry[]): Entry[] =>
  [...new Map(entries.map(one => [one.slot, one])).values()].sort((a, b) => a.slot - b.slot)
const series = fc.array(fc.oneof({ weight: 2, arbitrary: plain }, entry), { maxLength: 300 }).map(ascending)
const isSomething = ({ units, count, refused }: Entry) => units + count + refused > 0

describe('packed series', () => {
  test('hold exactly what was added, each its own', () => {
    fc.assert(
      fc.property(fc.array(series, { maxLength: 8 }), all => {
        const packed = createPacked()
        const places = all.map(entries => packed.add(NOWHERE, entries))
        for (const [index, place] of places.entries()) {
          expect(listOf(packed.read(place))).toEqual(all[index]?.filter(isSomething))
        }
      }),
    )
  })

  test('that grow, shrink and are given back leave the others alone', () => {
    const change = fc.record({
      ...{ which: fc.nat(4), from: fc.nat(2_000), entries: series },
      ...{ isForgotten: fc.boolean(), isGathered: fc.boolean() },
    })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), changes => {
        const packed = createPacked()
        const places = Array.from({ length: 5 }, () => NOWHERE)
        const expected: Entry[][] = Array.from({ length: 5 }, () => [])
        for (const { which, from, entries, isForgotten, isGathered } of changes) {
          const at = places[which] ?? NOWHERE
          if (isForgotten) packed.forget(at)
          const later = entries.filter(({ slot }) => slot >= from)
          places[which] = isForgotten ? NOWHERE : packed.replace(at, { from, to: 2_001 }, later)
          const before = isForgotten ? [] : (expected[which]?.filter(({ slot }) => slot < from) ?? [])
          expected[which] = isForgotten ? [] : [...before, ...later.filter(isSomething)]
          const held = places.map(place => ({ at: place }))
          if (isGathered) packed.gather(held)
          places.splice(0, 5, ...held.map(one => one.at))
          expect(places.map(place => listOf(packed.read(place)))).toEqual(expected)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('that grew together and are gathered lie close together, and are what they were', () => {
    const packed = createPacked()
    const all = Array.from({ length: 200 }, () => ({ at: NOWHERE }))
    const growTo = (slots: number, from: number) => {
      const entries = Array.from({ length: slots - from }, (_, index) => ({ slot: from + index, units: 9 + index }))
      for (const [which, one] of all.entries()) {
        const own = entries.map(({ slot, units }) => ({ slot, units: units + which, count: 1, refused: 0 }))
        one.at = packed.replace(one.at, { from, to: slots }, own)
      }
    }
    for (let from = 0; from < 300; from += 10) growTo(from + 10, from)
    const gone = all.splice(0, 20)
    for (const { at } of gone) packed.forget(at)
    const series = () => all.map(({ at }) => listOf(packed.read(at)))
    const last = () => Math.max(...all.map(({ at }) => at))
    const [before, lastBefore] = [series(), last()]
    packed.gather([{ at: NOWHERE }, ...all])
    expect(series()).toEqual(before)
    expect(last()).toBeLessThan(0.5 * lastBefore)
    const lastAfter = last()
    packed.gather(all)
    expect(last()).toBe(lastAfter)
    growTo(320, 300)
    expect(series().map(entries => entries.length)).toEqual(all.map(() => 320))
  })

  test('add up what comes of the same slot, in whatever order', () => {
    const packed = createPacked()
    const some = [
      { slot: 7, units: 3, count: 2, refused: 0 },
      { slot: 9, units: 0.5, count: 1, refused: 4 },
    ]
    const at = packed.add(packed.add(NOWHERE, some), [
      { slot: 12, units: 1, count: 1, refused: 0 },
      { slot: 9, units: 1, count: 1, refused: 0 },
      { slot: 2, units: 5, count: 5, refused: 0 },
    ])
    expect(listOf(packed.read(at))).toEqual([
      { slot: 2, units: 5, count: 5, refused: 0 },
      { slot: 7, units: 3, count: 2, refused: 0 },
      { slot: 9, units: 1.5, count: 2, refused: 4 },
      { slot: 12, units: 1, count: 1, refused: 0 },
    ])
  })
})
