/**
 * What a key of which little is known may be expected to ask for: what others like it ask for. The less is known of the
 * key itself, the more they count; after a few days they do not.
 */
import { CURVE_LEVELS, chanceAbove } from './curve.ts'
import { weightedQuantiles } from './paths.ts'

/** Fewer others say nothing. */
const PEERS_MIN = 5
/** A whole day (or window, when shorter) of its own counts so many times as much as the others. */
const OWN_WEIGHT = 8
/** Below this weight the others are left out. */
const WEIGHT_MIN = 0.04
/** Softens the logarithms of rates, as a share of what is needed. */
const FLOOR_SHARE = 1e-3

export interface Peers {
  /** Quantiles at `CURVE_LEVELS` of their mean rates, units per millisecond. */
  rates: Float32Array
  count: number
  /** Who they are, as in `keys of acme`. */
  who: string
}

/** Learns from the mean rates of others; `null` where there are too few. */
export function toPeers(ratesPerMs: readonly number[], who: string): Peers | null {
  if (ratesPerMs.length < PEERS_MIN) return null
  const rates = Float64Array.from(ratesPerMs)
  const quantiles = weightedQuantiles(rates, new Float64Array(rates.length).fill(1), CURVE_LEVELS)
  return { rates: Float32Array.from(quantiles), count: rates.length, who }
}

/** How much the others count, from 1 for a key that is just seen to 0. */
export function peersWeight(knownMs: number, periodMs: number): number {
  const weight = 1 / (1 + (OWN_WEIGHT * Math.max(0, knownMs)) / periodMs)
  return weight < WEIGHT_MIN ? 0 : weight
}

/** The probability that one of them asks for `need` units within `aheadMs`. */
export function peersProbability({ rates }: Peers, need: number, aheadMs: number): number {
  const ahead = rates.map(rate => rate * aheadMs)
  return chanceAbove(ahead, need, FLOOR_SHARE * need)
}
