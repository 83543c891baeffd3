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

/** The same in one array, so that a node is one look at the memory. */
export interface Forest {
  roots: Int32Array
  /** Per node: feature, threshold, left child, 1 where an unknown value goes left. */
  nodes: Float64Array
}

const NODE_VALUES = 4

export function toForest({ roots, feature, threshold, left, isMissingLeft }: ForestJson): Forest {
  const nodes = new Float64Array(feature.length * NODE_VALUES)
  feature.forEach((looksAt, node) => {
    nodes.set([looksAt, threshold[node] ?? 0, left[node] ?? -1, isMissingLeft[node] ?? 0], node * NODE_VALUES)
  })
  return { roots: Int32Array.from(roots), nodes }
}

/** The sum of the leaves that the features lead to. */
export function sumOfLeaves({ roots, nodes }: Forest, features: Float64Array): number {
  let sum = 0
  for (let tree = 0; tree < roots.length; tree++) {
    let at = (roots[tree] ?? 0) * NODE_VALUES
    for (let feature = nodes[at] ?? -1; feature >= 0; feature = nodes[at] ?? -1) {
      const value = features[feature] ?? Number.NaN
      // Nothing is up to a threshold that is unknown.
      const goesLeft = value <= (nodes[at + 1] ?? 0) || (nodes[at + 3] === 1 && Number.isNaN(value))
      at = ((nodes[at + 2] ?? 0) + (goesLeft ? 0 : 1)) * NODE_VALUES
    }
    sum += nodes[at + 1] ?? 0
  }
  return sum
}
