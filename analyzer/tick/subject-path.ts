/** How one subject came to where it is, and where it may go: what a chart of its forecast shows. */
import { mixedCurve } from '../forecast/outlook.ts'
import { bandsAhead } from '../forecast/passing.ts'
import { type Band, bandsUntilReset } from '../forecast/reset-bands.ts'
import { usedInStep } from '../usage/series.ts'
import { isResetting } from '../usage/window.ts'
import type { AllowedOf } from './allowed.ts'
import { usedBeforeReset } from './demand.ts'
import type { OneSubject } from './one-subject.ts'
import { passingAskOf, usedAt } from './passing-ask.ts'
import type { FollowedForecast } from './subject-forecast.ts'

/** Points of the past that are answered at most: as many as a chart has room for. */
const POINTS_MAX = 240
/** The same where nothing resets: each is a sum of its own. */
const PASSING_POINTS = 60

export interface SubjectPath {
  /** `[atMs, used]`, in order; the last is now. */
  history: [number, number][]
  /** Empty where nothing can be said. */
  bands: Band[]
}

/** The path of a forecast that was made by `forecastOne` under the same `allowedOf`. */
export function pathOf(one: OneSubject, made: FollowedForecast, allowedOf: AllowedOf): SubjectPath {
  const { forecast, state } = made
  const { series, key } = one
  const { window } = series.quota
  const use = series.subjects.get(key)
  const curve = state && mixedCurve(state.outlook)
  const { asOfMs: nowMs, windowEndMs, used, usageAtReset } = forecast
  if (isResetting(window)) {
    const bands = curve && usageAtReset ? bandsUntilReset(curve, { nowMs, windowEndMs, used, usageAtReset }) : []
    return { history: sinceReset(one, made), bands }
  }
  if (!use) return { history: [], bands: [] }
  const scratch = new Float64Array(series.grid.steps + 1)
  const { ask, allowed } = passingAskOf(series, use, { spec: window, nowMs, allowedOf, scratch })
  const history = Array.from({ length: PASSING_POINTS }, (_, index): [number, number] => {
    const atMs = Math.round(nowMs - ((PASSING_POINTS - 1 - index) * ask.lengthMs) / (PASSING_POINTS - 1))
    return [atMs, Math.round(usedAt(series, use, { spec: window, nowMs: atMs, allowedOf, allowed }))]
  })
  return { history, bands: curve && usageAtReset ? bandsAhead(ask, curve) : [] }
}

/** Use step by step since the window, or a reset by hand in it; what hours share out is made to end at what is used now. */
function sinceReset({ series, key }: OneSubject, { forecast, allowed }: FollowedForecast): [number, number][] {
  const { grid, quota, subjects } = series
  const { windowStartMs, asOfMs, used } = forecast
  const startMs = Math.max(windowStartMs, allowed.sinceMs)
  const one = subjects.get(key)
  const first = Math.max(0, Math.floor((startMs - grid.startMs) / grid.stepMs))
  const last = Math.min(grid.steps, Math.ceil((asOfMs - grid.startMs) / grid.stepMs))
  const every = Math.max(1, Math.ceil((last - first) / POINTS_MAX))
  const points: [number, number][] = [[startMs, 0]]
  let sum = one ? -usedBeforeReset(series, one, { fromMs: windowStartMs, ...allowed }).ofStep : 0
  for (let step = first; one && step < last; step++) {
    sum = Math.min(used, sum + usedInStep(one, quota.counts, step))
    const endMs = grid.startMs + (step + 1) * grid.stepMs
    if ((step + 1 - first) % every === 0 && endMs < asOfMs) points.push([endMs, Math.round(sum)])
  }
  points.push([asOfMs, used])
  return points
}
