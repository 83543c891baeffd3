/** What a subject used in the time that has just passed. */
import { type UsageSeries, usedInStep } from '../usage/series.ts'
import type { Window } from '../usage/window.ts'
import type { QuotaSeries } from './quota-series.ts'

/** Units in the steps that the window covers, the first one whole: at most a step's use too much. */
export function passingUse({ grid, quota }: QuotaSeries, one: UsageSeries, { startMs, endMs }: Window): number {
  const stepAt = (atMs: number) => (atMs - grid.startMs) / grid.stepMs
  const first = Math.max(0, Math.round(stepAt(startMs)))
  const last = Math.min(grid.steps, Math.ceil(stepAt(endMs)))
  let used = 0
  for (let step = first; step < last; step++) used += usedInStep(one, quota.counts, step)
  return used
}
