/**
 * Limits that change before the reset: grants that begin and end, overrides. Each step's limit is judged for itself, and
 * the chance of having run out by an instant is the greatest that any step up to then gives. That is exact where a path
 * of demand that is ahead of another stays ahead, and else the least that can be said.
 */
import type { Crossing } from './calibrate.ts'

/** A limit that holds from an instant on, until the next one does. */
export interface LimitStep {
  readonly fromMs: number
  readonly limit: number
}

/** The limit that holds at an instant; before the first one that does. */
export const limitAt = (steps: readonly LimitStep[], atMs: number): number | undefined =>
  (steps.findLast(({ fromMs }) => fromMs <= atMs) ?? steps[0])?.limit

interface SteppedAsk {
  /** Ascending; the first one holds at `nowMs`. */
  steps: readonly LimitStep[]
  nowMs: number
  windowEndMs: number
}

/** The chance of having run out under limits that change; `crossingOf` has that of one limit until the window's end. */
export function crossingOfSteps(
  { steps, nowMs, windowEndMs }: SteppedAsk,
  crossingOf: (limit: number) => Crossing,
): Crossing {
  const shares: number[] = []
  const probabilities: number[] = []
  let most = 0
  const add = (share: number, probability: number) => {
    most = Math.max(most, probability)
    shares.push(share)
    probabilities.push(most)
  }
  const shareOf = (atMs: number) => Math.max(0, (atMs - nowMs) / (windowEndMs - nowMs))
  steps.forEach(({ fromMs, limit }, index) => {
    const from = shareOf(fromMs)
    const next = steps[index + 1]
    const to = next ? shareOf(next.fromMs) : 1
    const crossing = crossingOf(limit)
    // A lower limit may be passed at the very instant at which it begins to hold.
    add(from, probabilityAt(crossing, from))
    crossing.shares.forEach((share, at) => {
      if (share > from && share < to) add(share, crossing.probabilities[at] ?? 0)
    })
    add(to, probabilityAt(crossing, to))
  })
  return { shares, probabilities }
}

/** The chance of having run out by a share of the time left, rising evenly between the instants that were asked. */
function probabilityAt({ shares, probabilities }: Crossing, share: number): number {
  const index = shares.findIndex(one => one >= share)
  if (index < 0) return probabilities.at(-1) ?? 0
  const above = shares[index] ?? 1
  const below = shares[index - 1] ?? 0
  const before = probabilities[index - 1] ?? 0
  const after = probabilities[index] ?? 0
  return above === below ? after : before + ((share - below) / (above - below)) * (after - before)
}
