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
 * The same, so that trees are walked without a branch that a processor could guess wrong, eight at a time: every walk
 * takes `depth` steps, and one that is at a leaf stays there. Both numbers of a node lie side by side.
 */
export interface Forest {
  /** A multiple of eight: a leaf of value 0 fills up. */
  roots: Int32Array
  depth: number
  /** How many features are looked at. */
  width: number
  /** Two numbers per node, the first: the place of what it looks at (see `look`), above these bits where its left child is. */
  nodes: Int32Array
  /** The same memory, the second: a threshold, or the value of a leaf. */
  values: Float32Array
  /** What nodes look at while the trees are walked. */
  places: Float64Array
}

const ABREAST = 8
const PLACE_BITS = 9
const PLACE_MASK = 2 ** PLACE_BITS - 1

export function toForest({ roots, feature, threshold, isMissingLeft }: ForestJson): Forest {
  const width = 1 + feature.reduce((most, looksAt) => Math.max(most, looksAt), -1)
  const depths = new Uint8Array(feature.length)
  const nothing = 2 * feature.length
  const nodes = new Int32Array(nothing + 2)
  const values = new Float32Array(nodes.buffer)
  const put = (at: number, left: number, place: number, value: number) => {
    nodes[at] = (left << PLACE_BITS) | place
    values[at + 1] = value
  }
  const isRoot = new Set(roots)
  let below = 0
  feature.forEach((looksAt, node) => {
    if (isRoot.has(node)) below = node + 1
    const value = threshold[node] ?? 0
    if (looksAt < 0) {
      put(2 * node, 2 * node, 2 * width, value)
      return
    }
    put(2 * node, 2 * below, looksAt + (isMissingLeft[node] === 1 ? width : 0), value)
    depths.fill((depths[node] ?? 0) + 1, below, below + 2)
    below += 2
  })
  put(nothing, nothing, 2 * width, 0)
  const filled = new Int32Array(Math.ceil(roots.length / ABREAST) * ABREAST).fill(nothing)
  filled.set(roots.map(root => 2 * root))
  const depth = depths.reduce((most, one) => Math.max(most, one), 0)
  const places = new Float64Array(2 * width + 1).fill(Number.NEGATIVE_INFINITY)
  return { roots: filled, depth, width, nodes, values, places }
}

/** The sum of the leaves that the features lead to. */
export function sumOfLeaves(forest: Forest, features: Float64Array): number {
  look(forest, features)
  return sumOfReached(forest)
}

/**
 * Has the trees look at the first `count` features, and at the others as before: twice, for nodes where an unknown one is
 * above all and for those where it is below. What leaves look at is below all.
 */
export function look({ width, places }: Forest, features: Float64Array, count: number = width): void {
  for (let at = 0; at < Math.min(count, width); at++) {
    const value = features[at] ?? Number.NaN
    const isKnown = !Number.isNaN(value)
    places[at] = isKnown ? value : Number.POSITIVE_INFINITY
    places[width + at] = isKnown ? value : Number.NEGATIVE_INFINITY
  }
}

/** The sum of the leaves that what is looked at leads to, in the trees from one to before another, both multiples of eight. */
export function sumOfReached(
  { roots, depth, nodes, values, places }: Forest,
  from = 0,
  until: number = roots.length,
): number {
  const next = (at: number): number => {
    const node = nodes[at] ?? 0
    return (node >> PLACE_BITS) + 2 * Number((places[node & PLACE_MASK] ?? 0) > (values[at + 1] ?? 0))
  }
  const leafOf = (at: number): number => values[at + 1] ?? 0
  let sum = 0
  for (let tree = from; tree < Math.min(until, roots.length); tree += ABREAST) {
    let a = roots[tree] ?? 0
    let b = roots[tree + 1] ?? 0
    let c = roots[tree + 2] ?? 0
    let d = roots[tree + 3] ?? 0
    let e = roots[tree + 4] ?? 0
    let f = roots[tree + 5] ?? 0
    let g = roots[tree + 6] ?? 0
    let h = roots[tree + 7] ?? 0
    for (let step = 0; step < depth; step++) {
      a = next(a)
      b = next(b)
      c = next(c)
      d = next(d)
      e = next(e)
      f = next(f)
      g = next(g)
      h = next(h)
    }
    sum += leafOf(a) + leafOf(b) + leafOf(c) + leafOf(d) + leafOf(e) + leafOf(f) + leafOf(g) + leafOf(h)
  }
  return sum
}
