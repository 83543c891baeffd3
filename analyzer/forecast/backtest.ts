/** How well a path source would have done: its totals of the rest of the window, at the same phase of earlier periods. */
import { periodMsOf, periodsKnown } from './analogs.ts'
import { type History, totalBetween } from './history.ts'
import { type Draw, type PathAsk, type Paths, weightedQuantiles } from './paths.ts'

/** Earlier instants at which the sources are asked; fewer where what is left is longer than so many periods. */
const ORIGINS_MAX = 8
const ORIGINS_MAX_LONG = 4
const LONG_PERIODS = 7
const LEVELS = [0.1, 0.5, 0.9] as const
/** Standard deviations between the outer levels. */
const LEVELS_APART = 2 * 1.2816
/** Where what came stood is held within so many standard deviations, and softened by this share of what was said. */
const ERROR_MAX = 3
const FLOOR_SHARE = 0.02

/** How one source did. */
interface SourceRecord {
  /** The sum of pinball losses, in units. */
  loss: number
  /**
   * Where what came stood among what it had said, in standard deviations above its median: the mean says whether it says
   * too little or too much of this series, the mean square whether it is too sure. 0 and 1 where nothing was scored.
   */
  bias: number
  width: number
}

export interface Backtest {
  /** How many earlier instants were scored. */
  origins: number
  /** Per source, in their order. */
  records: SourceRecord[]
}

/** Asks every source at earlier instants, knowing only what was known then, and scores its quantiles of the total. */
export function backtest(draws: readonly Draw[], history: History, ask: PathAsk): Backtest {
  const periodMs = periodMsOf(ask.windowMs)
  const first = Math.max(1, Math.ceil(ask.leftMs / periodMs - 1e-9))
  // One more period is needed behind the earliest instant, or no source had anything to go by.
  const most = first > LONG_PERIODS ? ORIGINS_MAX_LONG : ORIGINS_MAX
  const last = Math.min(first + most - 1, periodsKnown(history, ask.atMs, ask.windowMs) - 1)
  const sums = draws.map(() => ({ loss: 0, errors: 0, squares: 0, scored: 0 }))
  let origins = 0
  for (let k = first; k <= last; k++) {
    const atMs = ask.atMs - k * periodMs
    const came = totalBetween(history, atMs, atMs + ask.leftMs)
    const scores = draws.map(draw => score(draw({ ...ask, atMs, knots: 1 }), came))
    if (scores.every(one => one === null)) continue
    // A source that had nothing to say then is as bad as the worst that had.
    const worst = Math.max(...scores.map(one => one?.loss ?? 0))
    sums.forEach((sum, index) => {
      const one = scores[index]
      sum.loss += one?.loss ?? worst
      if (!one) return
      sum.errors += one.error
      sum.squares += one.error ** 2
      sum.scored++
    })
    origins++
  }
  return {
    origins,
    records: sums.map(({ loss, errors, squares, scored }) => ({
      loss,
      bias: scored > 0 ? errors / scored : 0,
      width: scored > 0 ? squares / scored : 1,
    })),
  }
}

function score(paths: Paths | null, came: number): { loss: number; error: number } | null {
  if (!paths) return null
  // With a single knot the running totals are the totals of the stretch.
  const [low = 0, middle = 0, high = 0] = weightedQuantiles(paths.totals, paths.weights, LEVELS)
  const loss = LEVELS.reduce((sum, level, index) => sum + pinball(came, [low, middle, high][index] ?? 0, level), 0)
  const floor = FLOOR_SHARE * (high + came) + Number.MIN_VALUE
  const deviation = Math.log((high + floor) / (low + floor)) / LEVELS_APART + FLOOR_SHARE
  const error = Math.log((came + floor) / (middle + floor)) / deviation
  return { loss, error: Math.max(-ERROR_MAX, Math.min(ERROR_MAX, error)) }
}

/** The loss of a quantile forecast: `level` times what it was short, or the rest of `level` times what it was over. */
const pinball = (came: number, said: number, level: number): number =>
  came >= said ? level * (came - said) : (1 - level) * (said - came)
