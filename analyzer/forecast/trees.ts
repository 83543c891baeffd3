/** Boosted trees, evaluated: a few microseconds for a hundred of them. */

/** Trees as JSON holds them, one after the other in the same arrays; a tree begins at each of `roots`. */
export interface ForestJson {
  roots: readonly number[]
  /** What a node looks at, -1 for a leaf. */
  feature: readonly number[]
  /** Values up to it go left; of a leaf, its value. */
  threshold: readonly number[]
  /** The left child; the right one follows it. */
  left: readonly number[]
  /** 1 where an unknown value (NaN) goes left. */
  isMissingLeft: readonly number[]
}

/** The same, small enough to stay near the processor. */
export interface Forest {
  roots: Int32Array
  /** Per node, from the lowest bit on: one more than the feature (0: a leaf), 1 where an unknown value goes left, left child. */
  nodes: Int32Array
  /** Thresholds, and values of leaves. */
  values: Float32Array
}

const FEATURE_BITS = 7
const FEATURE_MASK = 2 ** FEATURE_BITS - 1
const MISSING_LEFT = 2 ** FEATURE_BITS
const LEFT_BITS = FEATURE_BITS + 1

export function toForest({ roots, feature, threshold, left, isMissingLeft }: ForestJson): Forest {
  const nodes = Int32Array.from(feature, (looksAt, node) =>
    looksAt < 0 ? 0 : ((left[node] ?? 0) << LEFT_BITS) | ((isMissingLeft[node] ?? 0) << FEATURE_BITS) | (looksAt + 1),
  )
  return { roots: Int32Array.from(roots), nodes, values: Float32Array.from(threshold) }
}

/** The sum of the leaves that the features lead to. */
export function sumOfLeaves({ roots, nodes, values }: Forest, features: Float64Array): number {
  let sum = 0
  for (let tree = 0; tree < roots.length; tree++) {
    let at = roots[tree] ?? 0
    for (let node = nodes[at] ?? 0; node !== 0; node = nodes[at] ?? 0) {
      const value = features[(node & FEATURE_MASK) - 1] ?? Number.NaN
      // Nothing is up to a threshold that is unknown.
      const goesLeft = value <= (values[at] ?? 0) || ((node & MISSING_LEFT) !== 0 && Number.isNaN(value))
      at = (node >> LEFT_BITS) + (goesLeft ? 0 : 1)
    }
    sum += values[at] ?? 0
  }
  return sum
}
