/**
 * The series of the subjects of one quota. They are kept packed, and unpacked one at a time into arrays that the next one
 * is unpacked into: what is learnt of one must be taken from it before.
 */
import assert from 'node:assert/strict'
import { NOWHERE, type Place } from '../usage/blocks.ts'
import { createPacked, type Entry, type Packed } from '../usage/packed.ts'
import { keyOfSubject, type SubjectValues } from '../usage/selection.ts'
import type { CheckSums, UsageSeries } from '../usage/series.ts'
import { type Amounts, addHours, addSteps, type Grid } from '../usage/steps.ts'
import type { Hours } from './shared-hours.ts'

const HOUR_MS = 3_600_000
/** A grid has two thousand steps of history at most, and those of the next hour; what is left is of the window's rest. */
export const STEPS_MAX = 2_304

/** Checks of the minute, step or hour with this middle. */
type ChecksAt = CheckSums & { middleMs: number }

/** Steps of the exact part, or hours before it. */
export type ChecksBy = 'hours' | 'steps'

export interface SubjectSeries {
  readonly size: number
  has(key: string): boolean
  keys(): IterableIterator<string>
  /** What makes it a subject. */
  valuesOf(key: string): SubjectValues | undefined
  /** Its series; good until one is asked for again, of whichever quota. */
  get(key: string): UsageSeries | null
  /** Follows it, if it is not; answers its key. */
  follow(subject: SubjectValues): string
  /** What it used in the running window before the exact part. */
  usedBefore(key: string): number
  setUsedBefore(key: string, units: number): void
  /** Its calls of the steps from one on, in place of those known. */
  replaceSteps(key: string, fromStep: number, entries: readonly Entry[]): void
  /** Adds checks to their steps, or to the hours before the exact part. */
  addChecks(key: string, sums: readonly ChecksAt[], by: ChecksBy): void
}

interface One {
  readonly subject: SubjectValues
  usedBefore: number
  calls: Place
  /** `null` while the limiter was never asked. */
  checks: { hours: Place; steps: Place } | null
}

export interface SeriesParts {
  grid: Grid
  /** `null` where all of a series is exact. */
  hours: Hours | null
  /** Hours before this are in `hours`; all later is by the step. */
  rawFromMs: number
}

export function createSubjectSeries({ grid, hours, rawFromMs }: SeriesParts): SubjectSeries {
  assert(grid.steps <= STEPS_MAX, 'a grid is bounded')
  const packed = createPacked()
  const all = new Map<string, One>()
  const endMs = grid.startMs + grid.steps * grid.stepMs
  const oneOf = (key: string): One => {
    const one = all.get(key)
    assert(one, 'only what is followed is added to')
    return one
  }
  return {
    get size() {
      return all.size
    },
    has: key => all.has(key),
    keys: () => all.keys(),
    valuesOf: key => all.get(key)?.subject,
    get(key) {
      const one = all.get(key)
      if (!one) return null
      const { subject, calls, checks } = one
      const ofHours = { packed: hours?.packed ?? packed, at: hours?.subjects.get(key)?.at ?? NOWHERE }
      const isRefused = unpack(CALLS, { grid, rawFromMs }, ofHours, { packed, at: calls })
      if (checks) {
        unpack(CHECKS, { grid, rawFromMs }, { packed, at: checks.hours }, { packed, at: checks.steps })
      }
      return {
        ...{ subject, used: CALLS.units, calls: CALLS.count, refused: isRefused ? CALLS.refused : null },
        checks: checks && CHECKS,
      }
    },
    follow(subject) {
      const own = keyOfSubject(subject)
      const shared = hours?.subjects.get(own)
      const key = shared?.key ?? own
      if (!all.has(key))
        all.set(key, { subject: shared?.subject ?? subject, usedBefore: 0, calls: NOWHERE, checks: null })
      return key
    },
    usedBefore: key => all.get(key)?.usedBefore ?? 0,
    setUsedBefore(key, units) {
      const one = all.get(key)
      if (one) one.usedBefore = units
    },
    replaceSteps(key, fromStep, entries) {
      const one = oneOf(key)
      one.calls = packed.replace(one.calls, { from: fromStep, to: grid.steps }, entries)
    },
    addChecks(key, sums, by) {
      const one = oneOf(key)
      const slots = by === 'hours' ? { startMs: 0, stepMs: HOUR_MS } : grid
      const some = sums.filter(({ middleMs }) => middleMs >= grid.startMs && middleMs < endMs)
      if (some.length === 0) return
      one.checks ??= { hours: NOWHERE, steps: NOWHERE }
      one.checks[by] = packed.add(
        one.checks[by],
        some.map(sum => toEntry(sum, slots)),
      )
    },
  }
}

const steps = () => new Float64Array(STEPS_MAX)
/** Into which series are unpacked. */
const CALLS = { units: steps(), count: new Float32Array(STEPS_MAX), refused: steps() }
const CHECKS = { units: steps(), count: steps(), refused: steps() }

interface Part {
  packed: Packed
  at: Place
}

/** Answers whether anything was refused. */
function unpack(
  into: Amounts,
  { grid, rawFromMs }: Pick<SeriesParts, 'grid' | 'rawFromMs'>,
  hours: Part,
  steps: Part,
): boolean {
  into.units.fill(0)
  into.count.fill(0)
  into.refused.fill(0)
  // Of an hour that began before the grid nobody knows how much of it is in there.
  const range = { fromHour: Math.ceil(grid.startMs / HOUR_MS), toHour: rawFromMs / HOUR_MS }
  const isInHours = addHours(into, grid, range, hours.packed.read(hours.at))
  return addSteps(into, grid, steps.packed.read(steps.at)) || isInHours
}

const toEntry = (
  { middleMs, allowed, spent, deniedCost }: ChecksAt,
  { startMs, stepMs }: Pick<Grid, 'startMs' | 'stepMs'>,
): Entry => ({ slot: Math.floor((middleMs - startMs) / stepMs), units: spent, count: allowed, refused: deniedCost })
