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

export interface Forest {
  roots: Int32Array
  feature: Int8Array
  threshold: Float64Array
  left: Int32Array
  isMissingLeft: Uint8Array
}

export const toForest = (json: ForestJson): Forest => ({
  roots: Int32Array.from(json.roots),
  feature: Int8Array.from(json.feature),
  threshold: Float64Array.from(json.threshold),
  left: Int32Array.from(json.left),
  isMissingLeft: Uint8Array.from(json.isMissingLeft),
})

/** The sum of the leaves that the features lead to. */
export function sumOfLeaves(
  { roots, feature, threshold, left, isMissingLeft }: Forest,
  features: Float64Array,
): number {
  let sum = 0
  for (let tree = 0; tree < roots.length; tree++) {
    let node = roots[tree] ?? 0
    for (let at = feature[node] ?? -1; at >= 0; at = feature[node] ?? -1) {
      const value = features[at] ?? Number.NaN
      const goesLeft = value <= (threshold[node] ?? 0) || (isMissingLeft[node] === 1 && Number.isNaN(value))
      node = (left[node] ?? 0) + (goesLeft ? 0 : 1)
    }
    sum += threshold[node] ?? 0
  }
  return sum
}
