import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ForecastState } from '../../../analyzer/forecast/refit.ts'
import { createLearnt } from '../../../analyzer/tick/learnt.ts'

const state = fc
  .record({
    values: fc.array(fc.nat(2_000), { minLength: 7, maxLength: 7 }),
    atMs: fc.nat(),
    unit: fc.double({ noNaN: true }),
  })
  .map(
    ({ values, atMs, unit }): ForecastState => ({
      outlook: { atMs, untilMs: atMs + 2, windowMs: atMs + 3, unit, values: Float16Array.from(values) },
      untilMs: atMs + 1,
    }),
  )
const change = fc.record({ key: fc.nat(700).map(String), state: fc.option(state) })

test('what was learnt of each subject is what comes back, whoever came and went', () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 500, maxLength: 2_000, size: 'max' }), changes => {
      const learnt = createLearnt()
      const expected = new Map<string, ForecastState>()
      for (const { key, state } of changes) {
        if (state) {
          learnt.set(key, state)
          expected.set(key, state)
        } else {
          learnt.delete(key)
          expected.delete(key)
        }
      }
      expect([...learnt.keys()].toSorted()).toEqual([...expected.keys()].toSorted())
      for (const [key, known] of expected) expect(learnt.get(key)).toEqual(known)
      expect(learnt.get('nobody')).toBeNull()
    }),
    { numRuns: 20 },
  )
})
