/** One set of paths from several sources, each counting by how it did in this series so far. */
import { activity } from './activity.ts'
import { analogs, periodMsOf } from './analogs.ts'
import { autoregression } from './autoregression.ts'
import { backtest } from './backtest.ts'
import { counts } from './counts.ts'
import type { History } from './history.ts'
import type { Draw, PathAsk, PathSource, Paths } from './paths.ts'
import { rate } from './rate.ts'

/** The sources. */
export const SOURCES: readonly PathSource[] = [analogs, rate, autoregression, activity, counts]
/** What they count before anything is known of a series, a period ahead and far ahead (from public usage series). */
const PRIOR_SHORT = [0.42, 0.08, 0.37, 0.08, 0.05] as const
const PRIOR_LONG = [0.17, 0.36, 0.25, 0.17, 0.05] as const
/** From so many periods on it is far. */
const PERIODS_LONG = 7
/** Keeps a source that was never wrong so far from silencing the others. */
const LOSS_SHARE_FLOOR = 0.01
/** How much it counts how the sources did before. */
export interface Evidence {
  /** A source with half of the loss of another counts two to this power as much. */
  power: number
  /** So many earlier instants weigh as much as the prior. */
  priorOrigins: number
}
const OF_TOTALS: Evidence = { power: 4, priorOrigins: 12 }

interface Mix {
  /** Per source of `SOURCES`; they sum to 1. */
  weights: number[]
  /** How many earlier instants the weights were learnt from; 0 means that they are the prior. */
  origins: number
  /** Of the sources at these instants, as they are weighed: see `SourceRecord`. */
  bias: number
  width: number
}

/** The sources fit to a series, and how they are mixed. */
export interface Fit extends Mix {
  draws: Draw[]
}

/** What each of `SOURCES` counts where nothing is known of how it did; they sum to 1. */
export function priorWeights({ leftMs, windowMs }: PathAsk): number[] {
  const periods = Math.max(1, leftMs / periodMsOf(windowMs))
  const far = Math.min(1, Math.log(periods) / Math.log(PERIODS_LONG))
  return PRIOR_SHORT.map((weight, index) => weight + far * ((PRIOR_LONG[index] ?? 0) - weight))
}

/** Fits the sources, and learns their weights for this series and phase of the window. */
export function fitMix(history: History, ask: PathAsk, { power, priorOrigins } = OF_TOTALS): Fit {
  const draws = SOURCES.map(source => source.fit(history, ask))
  const { origins, records } = backtest(draws, history, ask)
  const sum = records.reduce((total, { loss }) => total + loss, 0)
  const exponent = (power * origins) / (origins + priorOrigins)
  const raw = priorWeights(ask).map((prior, index) =>
    sum > 0 ? prior * ((records[index]?.loss ?? 0) / sum + LOSS_SHARE_FLOOR) ** -exponent : prior,
  )
  const rawSum = raw.reduce((total, weight) => total + weight, 0)
  const weights = raw.map(weight => weight / rawSum)
  const weighed = (of: 'bias' | 'width') =>
    records.reduce((total, record, index) => total + (weights[index] ?? 0) * record[of], 0)
  return { draws, weights, origins, bias: weighed('bias'), width: weighed('width') }
}

/** The paths of each source, where it has any. */
export const drawAll = ({ draws }: Fit, ask: PathAsk): (Paths | null)[] => draws.map(draw => draw(ask))

/** All paths of all sources that have any, weighted; `null` when none has. */
export function mixPaths(drawn: readonly (Paths | null)[], weights: readonly number[]): Paths | null {
  const able = drawn.flatMap((paths, index) => (paths ? [{ paths, weight: weights[index] ?? 0 }] : []))
  const [first] = able
  if (!first) return null
  const { leftMs, knots } = first.paths
  const count = able.reduce((sum, { paths }) => sum + paths.weights.length, 0)
  const totals = new Float64Array(count * knots)
  const all = new Float64Array(count)
  let at = 0
  for (const { paths, weight } of able) {
    totals.set(paths.totals, at * knots)
    const sum = paths.weights.reduce((total, value) => total + value, 0)
    for (const value of paths.weights) all[at++] = (value * weight) / sum
  }
  return { leftMs, knots, totals, weights: all }
}
