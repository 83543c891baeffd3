/** What a set of paths says of a limit: whether and when it is reached, and what will have been asked for at the end. */
import { crossingMs, type Paths, totalOf, weightedQuantiles } from './paths.ts'

const LEVELS = [0.1, 0.5, 0.9] as const
/**
 * A set of paths is worth so many independent futures: a share of 0 or 1 among them is not certainty, and the
 * probability keeps half a future's distance from both.
 */
const FUTURES = 60

/** Ordered: p10 ≤ p50 ≤ p90. */
export interface Quantiles {
  p10: number
  p50: number
  p90: number
}

/** Quantiles of an instant, Unix milliseconds; `null` is "not before the reset", later than any instant. */
export interface InstantQuantiles {
  p10: number | null
  p50: number | null
  p90: number | null
}

/** The probability that `need` more units are asked for within the stretch, and when. */
export function exhaustionOf(
  paths: Paths,
  need: number,
  nowMs: number,
): { probability: number; exhaustionAtMs: InstantQuantiles } {
  const { leftMs, weights } = paths
  const crossings = Float64Array.from(weights, (_, index) => Math.min(leftMs, crossingMs(paths, index, need)))
  let crossed = 0
  let all = 0
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index] ?? 0
    all += weight
    if ((crossings[index] ?? leftMs) < leftMs) crossed += weight
  }
  const [p10, p50, p90] = weightedQuantiles(crossings, weights, LEVELS).map(sinceMs =>
    sinceMs < leftMs ? Math.round(nowMs + sinceMs) : null,
  )
  return {
    probability: ((crossed / all) * FUTURES + 0.5) / (FUTURES + 1),
    exhaustionAtMs: { p10: p10 ?? null, p50: p50 ?? null, p90: p90 ?? null },
  }
}

/** Quantiles of the units that the whole stretch asks for. */
export function demandOf(paths: Paths): Quantiles {
  const totals = Float64Array.from(paths.weights, (_, index) => totalOf(paths, index))
  const [p10, p50, p90] = weightedQuantiles(totals, paths.weights, LEVELS)
  return { p10: p10 ?? 0, p50: p50 ?? 0, p90: p90 ?? 0 }
}
