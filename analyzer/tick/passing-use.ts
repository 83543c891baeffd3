/** What a subject used in the time that has just passed, and for how long it counts. */
import { type LimitStep, limitAt } from '../forecast/limit-steps.ts'
import { UNSAID_LIMIT } from '../forecast/passing.ts'
import { type UsageSeries, usedInStep } from '../usage/series.ts'
import type { RateWindow, SlidingWindow } from '../usage/window.ts'
import type { Allowed } from './allowed.ts'
import { usedBeforeReset } from './demand.ts'
import type { QuotaSeries } from './quota-series.ts'

/** Units that count in a sliding window now and at later instants. */
export interface SlidingUse {
  used: number
  /** Units of what is used now that still count at an instant. */
  counts: (atMs: number) => number
}

/** By the limiter's slots. The first step that counts does so whole: at most a step's use is too much. */
export function slidingUse(
  series: QuotaSeries,
  one: UsageSeries,
  { slotMs, lengthMs }: SlidingWindow,
  { nowMs, sinceMs, forgiven }: Pick<Allowed, 'sinceMs' | 'forgiven'> & { nowMs: number },
): SlidingUse {
  const { grid, quota } = series
  const stepAt = (atMs: number) => Math.floor((atMs - grid.startMs) / grid.stepMs)
  const slotsFromMs = (atMs: number) => Math.floor((atMs - lengthMs) / slotMs) * slotMs
  const countsFromMs = (atMs: number) => Math.max(sinceMs, slotsFromMs(atMs))
  const { ofStep } = usedBeforeReset(series, one, { fromMs: slotsFromMs(sinceMs), sinceMs, forgiven })
  const first = Math.max(0, stepAt(countsFromMs(nowMs)))
  const last = Math.min(grid.steps, Math.ceil((nowMs - grid.startMs) / grid.stepMs))
  // What the steps from each one on have used.
  const since = new Float64Array(Math.max(0, last - first) + 1)
  for (let step = last - 1; step >= first; step--) {
    since[step - first] = (since[step - first + 1] ?? 0) + usedInStep(one, quota.counts, step)
  }
  const counts = (atMs: number) => {
    const fromMs = countsFromMs(atMs)
    const units = since[Math.max(0, stepAt(fromMs) - first)] ?? 0
    return Math.max(0, units - (fromMs === sinceMs ? ofStep : 0))
  }
  return { used: Math.round(counts(nowMs)), counts }
}

/** What has not drained yet of a rate under its limits: the steps are filled in one after the other. */
export function rateLevel(
  { grid, quota }: QuotaSeries,
  one: UsageSeries,
  { periodMs }: RateWindow,
  { nowMs, sinceMs, limits }: { nowMs: number; sinceMs: number; limits: readonly LimitStep[] },
): number {
  const last = Math.min(grid.steps, Math.ceil((nowMs - grid.startMs) / grid.stepMs))
  let level = 0
  for (let step = Math.max(0, Math.ceil((sinceMs - grid.startMs) / grid.stepMs)); step < last; step++) {
    const atMs = grid.startMs + step * grid.stepMs
    // Under a limit that is not known all has drained.
    const drained = ((limitAt(limits, atMs) ?? UNSAID_LIMIT) * Math.min(grid.stepMs, nowMs - atMs)) / periodMs
    level = Math.max(0, level + usedInStep(one, quota.counts, step) - drained)
  }
  return level
}

/** Units that a length takes on average, in the steps that cover the last one: for lengths shorter than these. */
export function meanUse(
  { grid, quota }: QuotaSeries,
  one: UsageSeries,
  { nowMs, lengthMs }: { nowMs: number; lengthMs: number },
): number {
  const first = Math.max(0, Math.floor((nowMs - Math.max(grid.stepMs, lengthMs) - grid.startMs) / grid.stepMs))
  const last = Math.min(grid.steps, Math.ceil((nowMs - grid.startMs) / grid.stepMs))
  let used = 0
  for (let step = first; step < last; step++) used += usedInStep(one, quota.counts, step)
  return Math.round((used * lengthMs) / (nowMs - (grid.startMs + first * grid.stepMs)))
}
