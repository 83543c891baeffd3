/** Questions as rows of features with their answers, for boosting. */
import { offsetOf, sharesOf } from '../../analyzer/forecast/calibrate.ts'
import { FEATURE_COUNT, featuresOf } from '../../analyzer/forecast/features.ts'
import { type Outlook, toOutlook } from '../../analyzer/forecast/outlook.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import type { Rows } from './boost.ts'
import type { Asked, Series } from './questions.ts'

/** Of each question the end of the window is asked, and a random instant or one around which the paths reach the limit. */
const SHARES = 2
/** The end of the window is what is asked most. */
const END_WEIGHT = 1.5
/** Groups of questions count by their number to this power less than their questions. */
const BALANCE_POWER = 0.6
const REPORT_EVERY = 5_000

export interface Questions {
  rows: Rows
  /** Per row. */
  shares: Float32Array
  folds: Uint8Array
  groups: string[]
}

export function toRows(
  asked: readonly { question: Asked; series: Series }[],
  report: (done: number) => void,
): Questions {
  const max = asked.length * SHARES
  // Threads read it, too.
  const values = new Float32Array(new SharedArrayBuffer(max * FEATURE_COUNT * Float32Array.BYTES_PER_ELEMENT))
  const shares = new Float32Array(max)
  const folds = new Uint8Array(max)
  const labels = new Uint8Array(max)
  const offsets = new Float32Array(max)
  const groups: string[] = []
  const features = new Float64Array(FEATURE_COUNT)
  let known: { series: Series; nowMs: number; windowStartMs: number; windowEndMs: number; outlook: Outlook } | null =
    null
  let count = 0
  asked.forEach(({ question, series }, index) => {
    const { history, nowMs, windowStartMs, windowEndMs, reachedAtMs, group } = question
    const isKnown =
      known?.series === series &&
      known.nowMs === nowMs &&
      known.windowStartMs === windowStartMs &&
      known.windowEndMs === windowEndMs
    const outlook: Outlook =
      known && isKnown
        ? known.outlook
        : toOutlook(history, { atMs: nowMs, untilMs: windowEndMs, windowMs: windowEndMs - windowStartMs })
    known = { series, nowMs, windowStartMs, windowEndMs, outlook }
    const write = featuresOf(question, outlook)
    for (const share of sharesAsked(question, outlook, index)) {
      write(share, features)
      values.set(features, count * FEATURE_COUNT)
      const atMs = nowMs + share * (windowEndMs - nowMs)
      labels[count] = reachedAtMs < windowEndMs && reachedAtMs <= atMs ? 1 : 0
      offsets[count] = offsetOf(features)
      shares[count] = share
      folds[count] = series.fold
      groups.push(group)
      count++
    }
    if ((index + 1) % REPORT_EVERY === 0) report(index + 1)
  })
  const rows: Rows = {
    count,
    features: FEATURE_COUNT,
    values: values.subarray(0, count * FEATURE_COUNT),
    labels: labels.subarray(0, count),
    weights: new Float32Array(count).fill(1),
    offsets: offsets.subarray(0, count),
  }
  return { rows, shares: shares.subarray(0, count), folds: folds.subarray(0, count), groups }
}

function sharesAsked(question: Asked, outlook: Outlook, index: number): number[] {
  const random = uniform(index)
  if (random() < 0.5) return [1, Math.max(1e-3, random())]
  const around = sharesOf(question, outlook)
  return [1, around[Math.floor(random() * around.length)] ?? 0.5]
}

/** The rows that are taken, weighed so that no group drowns the others; the mean weight is 1. */
export function weighed({ rows, shares, groups }: Questions, isTaken: (row: number) => boolean): Rows {
  const taken = Int32Array.from({ length: rows.count }, (_, row) => row).filter(isTaken)
  const counts = new Map<string, number>()
  for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1)
  const weights = Float32Array.from(
    taken,
    row => (shares[row] === 1 ? END_WEIGHT : 1) * (counts.get(groups[row] ?? '') ?? 1) ** -BALANCE_POWER,
  )
  const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length
  const values = new Float32Array(taken.length * rows.features)
  taken.forEach((row, index) => {
    values.set(rows.values.subarray(row * rows.features, (row + 1) * rows.features), index * rows.features)
  })
  return {
    count: taken.length,
    features: rows.features,
    values,
    labels: Uint8Array.from(taken, row => rows.labels[row] ?? 0),
    weights: weights.map(weight => weight / mean),
    offsets: Float32Array.from(taken, row => rows.offsets[row] ?? 0),
  }
}
