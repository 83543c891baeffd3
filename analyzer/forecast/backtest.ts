/** How well a path source would have done: its totals of the rest of the window, at the same phase of earlier periods. */
import { periodMsOf, periodsKnown } from './analogs.ts'
import { type History, totalBetween } from './history.ts'
import { type PathAsk, type PathSource, weightedQuantiles } from './paths.ts'

/** Earlier instants at which the sources are asked. */
const ORIGINS_MAX = 8
const LEVELS = [0.1, 0.5, 0.9] as const

export interface Backtest {
  /** How many earlier instants were scored. */
  origins: number
  /** Per source, in their order: the sum of pinball losses, in units. */
  losses: number[]
}

/** Asks every source at earlier instants, knowing only what was known then, and scores its quantiles of the total. */
export function backtest(sources: readonly PathSource[], history: History, ask: PathAsk): Backtest {
  const periodMs = periodMsOf(ask.windowMs)
  const first = Math.max(1, Math.ceil(ask.leftMs / periodMs - 1e-9))
  // One more period is needed behind the earliest instant, or no source had anything to go by.
  const last = Math.min(first + ORIGINS_MAX - 1, periodsKnown(history, ask.atMs, ask.windowMs) - 1)
  const losses = sources.map(() => 0)
  let origins = 0
  for (let k = first; k <= last; k++) {
    const atMs = ask.atMs - k * periodMs
    const came = totalBetween(history, atMs, atMs + ask.leftMs)
    const scores = sources.map(source => score(source, history, { ...ask, atMs, knots: 1 }, came))
    if (scores.some(loss => loss === null)) continue
    scores.forEach((loss, index) => {
      losses[index] = (losses[index] ?? 0) + (loss ?? 0)
    })
    origins++
  }
  return { origins, losses }
}

function score(source: PathSource, history: History, ask: PathAsk, came: number): number | null {
  const paths = source.paths(history, ask)
  if (!paths) return null
  // With a single knot the running totals are the totals of the stretch.
  const quantiles = weightedQuantiles(paths.totals, paths.weights, LEVELS)
  return LEVELS.reduce((sum, level, index) => sum + pinball(came, quantiles[index] ?? 0, level), 0)
}

/** The loss of a quantile forecast: `level` times what it was short, or the rest of `level` times what it was over. */
const pinball = (came: number, said: number, level: number): number =>
  came >= said ? level * (came - said) : (1 - level) * (said - came)
