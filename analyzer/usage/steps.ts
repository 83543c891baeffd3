/** Amounts by equal steps of time, and how what is known by the hour is shared out over them: evenly. */
import type { Entries } from './packed.ts'

const HOUR_MS = 3_600_000

/** Step `i` is `[startMs + i × stepMs, startMs + (i + 1) × stepMs)`. */
export interface Grid {
  startMs: number
  stepMs: number
  steps: number
}

/** Per step. Of calls, calls are refused; of checks, `units` are spent as estimated, `count` were let pass, units refused. */
export interface Amounts {
  units: Float64Array
  count: Float64Array | Float32Array
  refused: Float64Array
}

/** Adds to a step; outside of the grid it is nobody's. */
export function addStep(into: Amounts, grid: Grid, step: number, units: number, count: number, refused: number): void {
  if (step < 0 || step >= grid.steps) return
  into.units[step] = (into.units[step] ?? 0) + units
  into.count[step] = (into.count[step] ?? 0) + count
  if (refused !== 0) into.refused[step] = (into.refused[step] ?? 0) + refused
}

/**
 * Adds what an hour holds, spread evenly over the steps that it covers: of calls and of checks alike, as the two are
 * compared step by step.
 */
export function addHour(
  into: Amounts,
  grid: Grid,
  hourMs: number,
  units: number,
  count: number,
  refused: number,
): void {
  const from = (hourMs - grid.startMs) / grid.stepMs
  const to = (hourMs + HOUR_MS - grid.startMs) / grid.stepMs
  if (Number.isInteger(from)) {
    const share = 1 / (to - from)
    for (let step = from; step < to; step++) addStep(into, grid, step, units * share, count * share, refused * share)
    return
  }
  for (let step = Math.floor(from); step < to; step++) {
    const share = (Math.min(to, step + 1) - Math.max(from, step)) / (to - from)
    addStep(into, grid, step, units * share, count * share, refused * share)
  }
}

/** What addHour does where hours lie on whole steps, and nothing was there before: by far the most often, and thrice as fast. */
function setHours(
  { units: intoUnits, count: intoCount, refused: intoRefused }: Amounts,
  { startMs, stepMs, steps }: Grid,
  { fromHour, toHour }: { fromHour: number; toHour: number },
  { length, slots, units, count, refused }: Entries,
): boolean {
  const perHour = HOUR_MS / stepMs
  const share = 1 / perHour
  let isRefused = false
  for (let index = 0; index < length; index++) {
    const hour = slots[index] ?? 0
    if (hour < fromHour || hour >= toHour) continue
    const from = (hour * HOUR_MS - startMs) / stepMs
    const to = Math.min(steps, from + perHour)
    const used = (units[index] ?? 0) * share
    const called = (count[index] ?? 0) * share
    for (let step = from; step < to; step++) {
      intoUnits[step] = used
      intoCount[step] = called
    }
    const some = refused[index] ?? 0
    if (some === 0) continue
    isRefused = true
    intoRefused.fill(some * share, from, to)
  }
  return isRefused
}

/** Adds to steps that are empty entries whose slots are hours since 1970, those in `[fromHour, toHour)`; answers whether anything was refused. */
export function addHours(
  into: Amounts,
  grid: Grid,
  range: { fromHour: number; toHour: number },
  entries: Entries,
): boolean {
  if (grid.startMs % grid.stepMs === 0) return setHours(into, grid, range, entries)
  const { fromHour, toHour } = range
  const { length, slots, units, count, refused } = entries
  let refusedInAll = 0
  for (let index = 0; index < length; index++) {
    const hour = slots[index] ?? 0
    if (hour < fromHour || hour >= toHour) continue
    refusedInAll += refused[index] ?? 0
    addHour(into, grid, hour * HOUR_MS, units[index] ?? 0, count[index] ?? 0, refused[index] ?? 0)
  }
  return refusedInAll > 0
}

/** Adds entries whose slots are steps; answers whether anything was refused. */
export function addSteps(into: Amounts, grid: Grid, { length, slots, units, count, refused }: Entries): boolean {
  let refusedInAll = 0
  for (let index = 0; index < length; index++) {
    refusedInAll += refused[index] ?? 0
    addStep(into, grid, slots[index] ?? 0, units[index] ?? 0, count[index] ?? 0, refused[index] ?? 0)
  }
  return refusedInAll > 0
}
