/** What each coming step will ask for, as quantiles: the forecast as a chart shows it. */
import type { History } from './history.ts'
import { drawAll, type Evidence, fitMix, mixPaths, SOURCES } from './mix.ts'
import { weightedQuantiles } from './paths.ts'

/** Of single steps the outer quantiles are told by whoever counts at all: who was wrong before must not. */
const OF_STEPS: Evidence = { power: 5, priorOrigins: 4 }

export interface BandAsk {
  fromMs: number
  stepMs: number
  steps: number
  /** Ascending. */
  levels: readonly number[]
}

/** One array per level, a value per step: units in that step. All zero when nothing is known. */
export function demandBands(history: History, { fromMs, stepMs, steps, levels }: BandAsk): Float64Array[] {
  const leftMs = steps * stepMs
  const ask = { atMs: fromMs, leftMs, windowMs: leftMs, knots: steps }
  const bands = levels.map(() => new Float64Array(steps))
  const fit = fitMix(history, ask, OF_STEPS)
  const drawn = drawAll(fit, ask)
  const bent = drawn.map((paths, source) => (SOURCES[source]?.isStraight ? null : paths))
  const paths = mixPaths(bent, fit.weights) ?? mixPaths(drawn, fit.weights)
  if (!paths) return bands
  const { totals, weights } = paths
  const perStep = new Float64Array(weights.length)
  for (let step = 0; step < steps; step++) {
    for (let path = 0; path < weights.length; path++) {
      const at = path * steps + step
      perStep[path] = (totals[at] ?? 0) - (step === 0 ? 0 : (totals[at - 1] ?? 0))
    }
    const quantiles = weightedQuantiles(perStep, weights, levels)
    bands.forEach((band, level) => {
      band[step] = quantiles[level] ?? 0
    })
  }
  return bands
}
