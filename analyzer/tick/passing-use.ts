/** What a subject used in the time that has just passed, and how it expires as time goes on. */
import { type UsageSeries, usedInStep } from '../usage/series.ts'
import type { Window } from '../usage/window.ts'
import type { QuotaSeries } from './quota-series.ts'

export interface PassingUse {
  /** Units in the steps that the window covers, the first one whole: at most a step's use too much. */
  readonly used: number
  /** What of it lies before the window so many milliseconds later, a step's use taken as even. */
  expiredAfter(sinceMs: number): number
}

/** Of the window that ends now and is `lengthMs` long; it begins on a step of the series. */
export function passingUse(
  { grid, quota }: QuotaSeries,
  one: UsageSeries,
  { startMs, endMs }: Window,
  lengthMs: number,
): PassingUse {
  const stepAt = (atMs: number) => (atMs - grid.startMs) / grid.stepMs
  const first = Math.max(0, Math.round(stepAt(startMs)))
  const last = Math.min(grid.steps, Math.ceil(stepAt(endMs)))
  const totals = [0]
  for (let step = first; step < last; step++) totals.push((totals.at(-1) ?? 0) + usedInStep(one, quota.counts, step))
  const used = totals.at(-1) ?? 0
  return {
    used,
    expiredAfter(sinceMs) {
      const passed = stepAt(endMs - lengthMs + sinceMs) - first
      const whole = Math.floor(passed)
      const before = totals[whole] ?? used
      const after = totals[whole + 1] ?? used
      return sinceMs >= lengthMs ? used : before + (passed - whole) * (after - before)
    },
  }
}
