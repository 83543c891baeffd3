/** One set of paths from several sources, each counting by how it did in this series so far. */
import { analogPaths } from './analogs.ts'
import { backtest } from './backtest.ts'
import type { History } from './history.ts'
import type { PathAsk, PathSource, Paths } from './paths.ts'
import { ratePaths } from './rate.ts'

/** The sources and what they count before anything is known of a series (from public usage series). */
export const SOURCES: readonly PathSource[] = [
  { name: 'analogs', priorWeight: 0.7, paths: analogPaths },
  { name: 'rate', priorWeight: 0.3, paths: ratePaths },
]
/** A source with half of the loss of another counts two to this power as much. */
const LOSS_POWER = 2
/** Keeps a source that was never wrong so far from silencing the others. */
const LOSS_SHARE_FLOOR = 0.01
/** So many earlier instants weigh as much as the prior. */
const PRIOR_ORIGINS = 4

export interface Mix {
  /** Per source of `SOURCES`; they sum to 1. */
  weights: number[]
  /** How many earlier instants the weights were learnt from; 0 means that they are the prior. */
  origins: number
}

/** Learns the weights of the sources for this series and phase of the window. */
export function fitMix(history: History, ask: PathAsk): Mix {
  const { origins, losses } = backtest(SOURCES, history, ask)
  const sum = losses.reduce((total, loss) => total + loss, 0)
  const power = (LOSS_POWER * origins) / (origins + PRIOR_ORIGINS)
  const raw = SOURCES.map((source, index) =>
    sum > 0 ? source.priorWeight * ((losses[index] ?? 0) / sum + LOSS_SHARE_FLOOR) ** -power : source.priorWeight,
  )
  const rawSum = raw.reduce((total, weight) => total + weight, 0)
  return { weights: raw.map(weight => weight / rawSum), origins }
}

/** All paths of all sources that have any, weighted; `null` when none has. */
export function mixPaths(history: History, ask: PathAsk, mix: Mix): Paths | null {
  const drawn = SOURCES.flatMap((source, index) => {
    const paths = source.paths(history, ask)
    return paths ? [{ paths, weight: mix.weights[index] ?? 0 }] : []
  })
  const [first] = drawn
  if (!first) return null
  const { leftMs, knots } = first.paths
  const count = drawn.reduce((sum, { paths }) => sum + paths.weights.length, 0)
  const totals = new Float64Array(count * knots)
  const weights = new Float64Array(count)
  let at = 0
  for (const { paths, weight } of drawn) {
    totals.set(paths.totals, at * knots)
    const sum = paths.weights.reduce((total, value) => total + value, 0)
    weights.set(
      paths.weights.map(value => (value * weight) / sum),
      at,
    )
    at += paths.weights.length
  }
  return { leftMs, knots, totals, weights }
}
