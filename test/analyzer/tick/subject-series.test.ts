import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSubjectSeries } from '../../../analyzer/tick/subject-series.ts'
import { NOWHERE } from '../../../analyzer/usage/blocks.ts'
import { createPacked, type Entry } from '../../../analyzer/usage/packed.ts'
import { addHour, addStep, type Grid } from '../../../analyzer/usage/steps.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const HOURS = 200
const KEY = '["acme","app"]'

const amounts = (steps: number) => ({
  ...{ units: new Float64Array(steps), count: new Float64Array(steps), refused: new Float64Array(steps) },
})

/** Some slots of `[from, to)`, each once. */
const entriesIn = (from: number, to: number) =>
  fc.uniqueArray(
    fc.record({
      ...{ slot: fc.integer({ min: from, max: to - 1 }), units: fc.nat(999) },
      ...{ count: fc.nat(99), refused: fc.constantFrom(0, 0, 3) },
    }),
    { selector: ({ slot }) => slot, maxLength: 60 },
  )

const example = fc
  .record({
    stepMs: fc.constantFrom(MINUTE_MS * 20, MINUTE_MS * 30, HOUR_MS),
    offsetMs: fc.constantFrom(0, MINUTE_MS * 17 + 217, MINUTE_MS * 45),
  })
  .chain(({ stepMs, offsetMs }) => {
    const grid: Grid = { startMs: 400_000 * HOUR_MS + offsetMs, stepMs, steps: (HOURS * HOUR_MS) / stepMs }
    const rawFromMs = Math.floor((grid.startMs + 160 * HOUR_MS) / HOUR_MS) * HOUR_MS
    const firstHour = Math.ceil(grid.startMs / HOUR_MS)
    const hours = entriesIn(firstHour, rawFromMs / HOUR_MS)
    const steps = entriesIn(Math.floor((rawFromMs - grid.startMs) / stepMs), grid.steps)
    return fc.record({
      ...{ grid: fc.constant(grid), rawFromMs: fc.constant(rawFromMs), hours, steps },
      ...{ checkHours: hours, checkSteps: steps, later: steps },
    })
  })

test('what is unpacked is what arrays that were added to one by one would hold', () => {
  fc.assert(
    fc.property(example, ({ grid, rawFromMs, hours, steps, checkHours, checkSteps, later }) => {
      const packed = createPacked()
      const subject = ['acme', 'app']
      // Hours of other quotas of longer windows, and of the time since this one was read, are there too.
      const others = [1, rawFromMs / HOUR_MS].map(slot => ({ slot, units: 7, count: 7, refused: 7 }))
      const at = packed.add(NOWHERE, inOrder([...hours, ...others]))
      const shared = new Map([[KEY, { key: KEY, subject, at, seenAtMs: 0 }]])
      const series = createSubjectSeries({ grid, hours: { packed, subjects: shared, isStale: false }, rawFromMs })
      series.follow(['acme', 'other'])
      expect(series.follow(subject)).toBe(KEY)
      series.replaceSteps(KEY, 0, inOrder(steps))
      series.replaceSteps('["acme","other"]', 0, inOrder(later))
      const middle = Math.floor(grid.steps * 0.9)
      const fresh = inOrder(later).filter(({ slot }) => slot >= middle)
      series.replaceSteps(KEY, middle, fresh)
      series.addChecks(KEY, checksOf(checkHours, 0, HOUR_MS), 'hours')
      series.addChecks(KEY, checksOf(checkSteps, grid.startMs, grid.stepMs), 'steps')

      // Each addition is rounded, as that of calls is.
      const records = { ...amounts(grid.steps), count: new Float32Array(grid.steps) }
      for (const { slot, units, count, refused } of inOrder(hours))
        addHour(records, grid, slot * HOUR_MS, units, count, refused)
      for (const { slot, units, count, refused } of [...steps.filter(({ slot }) => slot < middle), ...fresh]) {
        addStep(records, grid, slot, units, count, refused)
      }
      const checks = amounts(grid.steps)
      for (const { slot, units, count, refused } of checkHours)
        addHour(checks, grid, slot * HOUR_MS, units, count, refused)
      for (const { slot, units, count, refused } of checkSteps) addStep(checks, grid, slot, units, count, refused)

      const one = series.get(KEY)
      const values = (array: ArrayLike<number> | undefined) => Array.from(array ?? []).slice(0, grid.steps)
      expect(values(one?.used)).toEqual(values(records.units))
      expect(values(one?.calls)).toEqual(values(records.count))
      expect(values(one?.refused ?? new Float64Array(grid.steps))).toEqual(values(records.refused))
      if (checkHours.length + checkSteps.length === 0) expect(one?.checks).toBeNull()
      else {
        expect(values(one?.checks?.units)).toEqual(values(checks.units))
        expect(values(one?.checks?.count)).toEqual(values(checks.count))
        expect(values(one?.checks?.refused)).toEqual(values(checks.refused))
      }
    }),
  )
})

const inOrder = (entries: readonly Entry[]) => entries.toSorted((a, b) => a.slot - b.slot)

const checksOf = (entries: readonly Entry[], startMs: number, stepMs: number) =>
  entries.map(({ slot, units, count, refused }) => ({
    ...{ middleMs: startMs + (slot + 0.5) * stepMs, spent: units, allowed: count, deniedCost: refused },
  }))
