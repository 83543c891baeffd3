/** Comparisons with the store of call records, in steps that are short for Redis however large a window is. */
import { encodeCosts, encodeTruth, parsePositions, parseWindow, toNumbers } from './redis-encoding.ts'
import { CORRECTED_MAX } from './redis-scripts.ts'
import type { Comparison, Corrections, WindowTruth } from './truths.ts'

/** What `begin` of the script answers. */
export function parseComparison(answer: unknown): Comparison {
  if (!Array.isArray(answer)) throw new TypeError('a comparison is answered with a list')
  const [id, positions, places, compared] = answer
  const comparedTo = new Map(toPairs(compared).map(([window, text]) => [window, parsePositions(text)]))
  const windows = toPairs(places)
    .sort(([one], [other]) => Number(one) - Number(other))
    .map(([window, text]) => ({ ...parseWindow(text), comparedTo: comparedTo.get(window) ?? null }))
  return { id: Number(id), cut: parsePositions(String(positions)), windows }
}

export interface CorrectingDeps {
  bucketsMax: number
  /** Runs one step of `correct`; an empty answer when the comparison was overtaken. */
  run: (args: readonly string[]) => Promise<Buffer>
  onBucketCount: (count: number) => void
}

/** Corrects the windows one after the other. What is left of an overtaken comparison is not done. */
export async function correctInSteps(
  comparisonId: number,
  truths: readonly WindowTruth[],
  { bucketsMax, run, onBucketCount }: CorrectingDeps,
): Promise<Corrections> {
  const sum: Corrections = { buckets: 0, added: 0, removed: 0 }
  for (const truth of truths) {
    let isDoubtful = false
    /** Answers the bucket to go on from, or `null` when overtaken. */
    const step = async (costs: string, from: number): Promise<number | null> => {
      const where = [encodeTruth(truth), costs, String(from)]
      const answer = await run([String(comparisonId), ...where, String(bucketsMax), isDoubtful ? '1' : ''])
      if (answer.length === 0) return null
      const [buckets = 0, added = 0, removed = 0, next = 0, doubtful = 0, count = 0] = toNumbers(answer)
      sum.buckets += buckets
      sum.added += added
      sum.removed += removed
      isDoubtful = doubtful === 1
      onBucketCount(count)
      return next
    }
    for (const costs of encodeCosts(truth, CORRECTED_MAX)) if ((await step(costs, -1)) === null) return sum
    let from: number | null = 0
    while (from !== null && from >= 0) from = await step('[]', from)
    if (from === null) return sum
  }
  return sum
}

/** The fields and values of a hash, as Redis lists them. */
function toPairs(list: unknown): [string, string][] {
  if (!Array.isArray(list)) throw new TypeError('a hash is answered with a list')
  const pairs: [string, string][] = []
  for (let at = 0; at + 1 < list.length; at += 2) pairs.push([String(list[at]), String(list[at + 1])])
  return pairs
}
