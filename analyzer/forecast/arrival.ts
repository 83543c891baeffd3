/**
 * Calls are logged when they end, so the newest steps are never complete. How much of a step is there yet follows from
 * how late calls were before; what is missing is estimated from what came and from the rate before it.
 */

/** How late calls are: of those that began `edgesMs[i]` ago, `shares[i]` have arrived. Both ascend. */
export interface ArrivalDelay {
  edgesMs: readonly number[]
  shares: readonly number[]
}

/** The delays that are told apart. */
export const DELAY_EDGES_MS: readonly number[] = [
  1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
]
/** Fewer calls than this say nothing of how late they are. */
const CALLS_MIN = 20
/** Waiting ends when so many have come. */
const SHARE_WHOLE = 0.999
/** The rate before is that of so many steps. */
const RATE_STEPS = 10
/** The rate before counts as so many parts of a whole step. */
const RATE_WEIGHT = 0.25
/** Instants of a step at which its share is looked at. */
const PARTS = 8

/** Learns the delay from how many calls came within each of `DELAY_EDGES_MS`; `null` where too few are known. */
export function toArrivalDelay(within: readonly number[]): ArrivalDelay | null {
  const all = within.at(-1) ?? 0
  return all < CALLS_MIN ? null : { edgesMs: DELAY_EDGES_MS, shares: within.map(count => count / all) }
}

/** Share of the calls that began `agoMs` ago which have arrived; even between two edges. */
export function shareArrived({ edgesMs, shares }: ArrivalDelay, agoMs: number): number {
  const index = edgesMs.findIndex(edgeMs => agoMs < edgeMs)
  if (index < 0) return 1
  const fromMs = edgesMs[index - 1] ?? 0
  const from = shares[index - 1] ?? 0
  return from + (((shares[index] ?? 1) - from) * (agoMs - fromMs)) / ((edgesMs[index] ?? agoMs) - fromMs)
}

/**
 * Raises the last entries of a history's running total by what has not arrived yet, and answers by how much the last one
 * was raised for calls that began at or after `sinceMs`.
 */
export function completeEdge(
  { startMs, stepMs, endMs, total }: { startMs: number; stepMs: number; endMs: number; total: Float64Array },
  delay: ArrivalDelay,
  sinceMs: number,
): number {
  const steps = total.length - 1
  const waitedMs = delay.edgesMs[delay.shares.findIndex(share => share >= SHARE_WHOLE)] ?? 0
  const first = Math.max(0, Math.floor((endMs - waitedMs - startMs) / stepMs))
  const lookBack = Math.max(0, first - RATE_STEPS)
  const knownMs = (first - lookBack) * stepMs
  const rate = knownMs > 0 ? ((total[first] ?? 0) - (total[lookBack] ?? 0)) / knownMs : 0
  let added = 0
  let addedSince = 0
  let before = total[first] ?? 0
  for (let step = first; step < steps; step++) {
    const fromMs = startMs + step * stepMs
    const lengthMs = Math.min(stepMs, endMs - fromMs)
    const came = (total[step + 1] ?? 0) - before
    before = total[step + 1] ?? 0
    let arrived = 0
    for (let part = 0; part < PARTS; part++) {
      arrived += shareArrived(delay, endMs - fromMs - ((part + 0.5) * lengthMs) / PARTS) / PARTS
    }
    const expected = (came + RATE_WEIGHT * rate * lengthMs) / (arrived + RATE_WEIGHT)
    const missing = Math.max(0, (1 - arrived) * expected)
    added += missing
    if (fromMs + lengthMs > sinceMs)
      addedSince += (missing * Math.min(lengthMs, fromMs + lengthMs - sinceMs)) / lengthMs
    total[step + 1] = before + added
  }
  return addedSince
}
