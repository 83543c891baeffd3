/** What will have been used at each instant until the reset, as quantiles: the forecast as a chart shows it. */
import { CURVE_LEVELS, type Curve, quantilesBetween } from './curve.ts'
import type { Quantiles } from './forecaster.ts'

/** Where p10, p50 and p90 stand among a curve's levels. */
const LEVELS = ([0.1, 0.5, 0.9] as const).map(level => CURVE_LEVELS.indexOf(level))

/** Units used since the window began and asked for until `atMs`. */
export interface Band extends Quantiles {
  atMs: number
}

export interface BandsAsk {
  nowMs: number
  windowEndMs: number
  used: number
  /** As it was forecast: where the bands end. */
  usageAtReset: Quantiles
}

/**
 * Bands at the knots of the mixed paths' curve, which reaches from now to the reset. Each quantile goes the way that the
 * same quantile of the paths goes, to the end that the calibrated forecast has.
 */
export function bandsUntilReset(curve: Curve, { nowMs, windowEndMs, used, usageAtReset }: BandsAsk): Band[] {
  const paths = new Float64Array(CURVE_LEVELS.length)
  const atReset = new Float64Array(CURVE_LEVELS.length)
  quantilesBetween(curve, nowMs, windowEndMs, atReset)
  const ends = [usageAtReset.p10, usageAtReset.p50, usageAtReset.p90].map(units => units - used)
  const knots = curve.totals.length / CURVE_LEVELS.length
  // Quantiles of weighted paths may sink a little where paths change places; what is used does not.
  const before = { p10: used, p50: used, p90: used }
  return Array.from({ length: knots }, (_, knot) => {
    const timeShare = (knot + 1) / knots
    const atMs = nowMs + timeShare * (windowEndMs - nowMs)
    quantilesBetween(curve, nowMs, atMs, paths)
    const [p10 = 0, p50 = 0, p90 = 0] = LEVELS.map((level, index) => {
      const end = atReset[level] ?? 0
      return used + (ends[index] ?? 0) * (end > 0 ? (paths[level] ?? 0) / end : timeShare)
    })
    before.p10 = Math.max(before.p10, Math.min(p10, usageAtReset.p10))
    before.p50 = Math.max(before.p50, before.p10, Math.min(p50, usageAtReset.p50))
    before.p90 = Math.max(before.p90, before.p50, Math.min(p90, usageAtReset.p90))
    return { atMs: Math.round(atMs), ...before }
  })
}
