/** Boosted trees, evaluated: a few microseconds for a few hundred of them. */

/**
 * Trees as JSON holds them, one after the other in the same arrays; a tree begins at each of `roots`. Its nodes follow
 * level by level, so the children of the node that is the k-th of its tree to have any are its nodes 2k + 1 and 2k + 2.
 */
export interface ForestJson {
  roots: readonly number[]
  /** What a node looks at, -1 for a leaf. */
  feature: readonly number[]
  /** Values up to it go left; of a leaf, its value. */
  threshold: readonly number[]
  /** 1 where an unknown value (NaN) goes left. */
  isMissingLeft: readonly number[]
}

/**
 * The same, so that trees are walked without a branch that a processor could guess wrong, four at a time: every walk takes
 * `depth` steps, and one that is at a leaf stays there.
 */
export interface Forest {
  /** A multiple of four: a leaf of value 0 fills up. */
  roots: Int32Array
  depth: number
  /** How many features are looked at. */
  width: number
  /** Per node: the place of what it looks at (see `putBothSides`), above these bits the left child. */
  nodes: Int32Array
  /** Thresholds, and values of leaves. */
  values: Float32Array
  /** What nodes look at while the trees are walked. */
  places: Float64Array
}

const ABREAST = 4
const PLACE_BITS = 9
const PLACE_MASK = 2 ** PLACE_BITS - 1

export function toForest({ roots, feature, threshold, isMissingLeft }: ForestJson): Forest {
  const width = 1 + feature.reduce((most, looksAt) => Math.max(most, looksAt), -1)
  const depths = new Uint8Array(feature.length)
  const nodes = new Int32Array(feature.length + 1)
  const isRoot = new Set(roots)
  let below = 0
  feature.forEach((looksAt, node) => {
    if (isRoot.has(node)) below = node + 1
    const isLeaf = looksAt < 0
    const place = isLeaf ? 2 * width : looksAt + (isMissingLeft[node] === 1 ? width : 0)
    nodes[node] = ((isLeaf ? node : below) << PLACE_BITS) | place
    if (isLeaf) return
    depths.fill((depths[node] ?? 0) + 1, below, below + 2)
    below += 2
  })
  const nothing = feature.length
  nodes[nothing] = (nothing << PLACE_BITS) | (2 * width)
  const filled = new Int32Array(Math.ceil(roots.length / ABREAST) * ABREAST).fill(nothing)
  filled.set(roots)
  const depth = depths.reduce((most, one) => Math.max(most, one), 0)
  const places = new Float64Array(2 * width + 1)
  return { roots: filled, depth, width, nodes, values: Float32Array.from([...threshold, 0]), places }
}

/** The sum of the leaves that the features lead to, in the trees from one to before another, both multiples of four. */
export function sumOfLeaves(
  { roots, depth, width, nodes, values, places }: Forest,
  features: Float64Array,
  from = 0,
  until: number = roots.length,
): number {
  putBothSides(features, width, places)
  const next = (at: number): number => {
    const node = nodes[at] ?? 0
    return (node >> PLACE_BITS) + Number((places[node & PLACE_MASK] ?? 0) > (values[at] ?? 0))
  }
  let sum = 0
  for (let tree = from; tree < Math.min(until, roots.length); tree += ABREAST) {
    let a = roots[tree] ?? 0
    let b = roots[tree + 1] ?? 0
    let c = roots[tree + 2] ?? 0
    let d = roots[tree + 3] ?? 0
    for (let step = 0; step < depth; step++) {
      a = next(a)
      b = next(b)
      c = next(c)
      d = next(d)
    }
    sum += (values[a] ?? 0) + (values[b] ?? 0) + (values[c] ?? 0) + (values[d] ?? 0)
  }
  return sum
}

/** The features twice, for nodes where an unknown one is above all and for those where it is below, and what leaves look at. */
function putBothSides(features: Float64Array, width: number, places: Float64Array): void {
  for (let at = 0; at < width; at++) {
    const value = features[at] ?? Number.NaN
    const isKnown = !Number.isNaN(value)
    places[at] = isKnown ? value : Number.POSITIVE_INFINITY
    places[width + at] = isKnown ? value : Number.NEGATIVE_INFINITY
  }
  places[2 * width] = Number.NEGATIVE_INFINITY
}
