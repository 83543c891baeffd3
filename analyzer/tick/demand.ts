/** What a subject of a series used in a window, and what it asked for. */
import { completeEdge } from '../forecast/arrival.ts'
import { type History, totalBetween } from '../forecast/history.ts'
import { demandInStep, meanCallUnits, pendingInStep, type UsageSeries, usedInStep } from '../usage/series.ts'
import type { Window } from '../usage/window.ts'
import type { QuotaSeries } from './quota-series.ts'

/** Whole units that the subject used in a window that resets, up to now and dated later. */
export function usedInWindow(series: QuotaSeries, key: string, one: UsageSeries, window: Window): number {
  const { grid, exactFromMs, quota } = series
  const stepAt = (atMs: number) => Math.round((atMs - grid.startMs) / grid.stepMs)
  const last = Math.min(grid.steps, Math.ceil((window.endMs - grid.startMs) / grid.stepMs))
  let used = 0
  for (let step = stepAt(Math.max(window.startMs, exactFromMs)); step < last; step++) {
    used += usedInStep(one, quota.counts, step)
  }
  if (window.startMs >= exactFromMs || window.startMs !== series.window.startMs) return Math.round(used)
  if (quota.counts !== 'checks') used += series.subjects.usedBefore(key)
  const exact = stepAt(exactFromMs)
  for (let step = Math.max(0, stepAt(window.startMs)); step < exact; step++) {
    if (quota.counts === 'checks') used += usedInStep(one, quota.counts, step)
    if (quota.counts === 'checks_and_records') used += pendingInStep(one, step)
  }
  return Math.round(used)
}

/**
 * Of what was used in the window, what is dated later than the history and would be forecast once more: a clock that is
 * ahead dates all calls so, and that is no more than was asked for in as long a time before.
 */
export function usedAhead(
  { grid, quota }: QuotaSeries,
  one: UsageSeries,
  history: History,
  windowEndMs: number,
): number {
  const { endMs: nowMs, total } = history
  const first = total.length - 1
  const last = Math.min(grid.steps, Math.ceil((windowEndMs - grid.startMs) / grid.stepMs))
  let units = 0
  let aheadMs = 0
  for (let step = first; step < last; step++) {
    const used = usedInStep(one, quota.counts, step)
    units += used
    if (used > 0) aheadMs = (step + 1 - first) * grid.stepMs
  }
  return Math.min(units, totalBetween(history, nowMs - aheadMs, nowMs))
}

/**
 * Units that were used from `fromMs` until a reset by hand, in the steps before its own and in that. Which part of its own
 * step came before is told by what the reset found to be `forgiven`; what of it came to be known later counts.
 */
export function usedBeforeReset(
  { grid, quota }: QuotaSeries,
  one: UsageSeries,
  { fromMs, sinceMs, forgiven }: { fromMs: number; sinceMs: number; forgiven: number },
): { before: number; ofStep: number } {
  if (sinceMs <= fromMs) return { before: 0, ofStep: 0 }
  const stepAt = (atMs: number) => Math.max(0, Math.floor((atMs - grid.startMs) / grid.stepMs))
  const last = stepAt(sinceMs)
  let before = 0
  for (let step = stepAt(fromMs); step < last; step++) before += usedInStep(one, quota.counts, step)
  return { before, ofStep: Math.max(0, Math.min(forgiven - before, usedInStep(one, quota.counts, last))) }
}

/**
 * The subject's demand up to `nowMs`, and how much of the window's is not recorded yet. The totals are written into `into`
 * (at least as long as the grid, plus 1) and hold until that is used again.
 */
export function demandOf(
  series: QuotaSeries,
  one: UsageSeries,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
  into: Float64Array,
): { history: History; missing: number } {
  const { grid, quota, delay } = series
  const { startMs, stepMs } = grid
  const steps = Math.min(grid.steps, Math.ceil((nowMs - startMs) / stepMs))
  // Most subjects are never refused anything and never asked for: their records are all that there is to add up.
  const isPlain = !one.refused && !one.checks && quota.counts !== 'checks'
  const callUnits = one.refused ? meanCallUnits(one) : 0
  let total = 0
  into[0] = 0
  for (let step = 0; step < steps; step++) {
    total += isPlain ? (one.used[step] ?? 0) : demandInStep(one, quota.counts, step, callUnits)
    into[step + 1] = total
  }
  const history = { startMs, stepMs, endMs: nowMs, total: into.subarray(0, steps + 1) }
  // Checks are known when they are made; only records come when their call has ended.
  const missing = delay && quota.counts !== 'checks' && !one.checks ? completeEdge(history, delay, sinceMs) : 0
  return { history, missing }
}
