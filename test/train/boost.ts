/**
 * Gradient-boosted trees for a probability: Newton steps on the logistic loss, histograms of binned features, splits
 * that keep the answer monotone where a feature says so (bounds at the middle of a constrained split, as LightGBM and
 * XGBoost do). Deterministic: equal rows and seed, equal trees.
 */
import { uniform } from '../../analyzer/forecast/random.ts'
import type { ForestJson } from '../../analyzer/forecast/trees.ts'

/** Nodes by index, the root first; the right child follows the left. A leaf has feature -1, and its value as threshold. */
export interface Tree {
  feature: number[]
  threshold: number[]
  left: number[]
  isMissingLeft: number[]
  /** The last bin that goes left: the threshold is its upper edge. */
  bin: number[]
}

export interface BoostOptions {
  trees: number
  depth: number
  learningRate: number
  /** The first trees learn more, so that few of them say most. */
  first: { trees: number; learningRate: number }
  /** Penalty on leaves, in units of the summed second derivatives. */
  lambda: number
  /** Least summed second derivative of a leaf. */
  leafMin: number
  /** Share of rows, and of features, that a tree sees. */
  rowShare: number
  featureShare: number
  /** Least gain of a split. */
  gainMin: number
  seed: number
}

export interface Rows {
  count: number
  features: number
  /** Row-major; NaN is unknown. */
  values: Float32Array
  labels: Uint8Array
  weights: Float32Array
  /** What is known without trees, in logits. */
  offsets: Float32Array
}

/** Digits of a threshold or leaf. */
const DIGITS = 5
const BINS = 64
const MISSING = 0

interface Binned {
  /** Feature-major. */
  bins: Uint8Array
  /** Upper edges per feature: bin `b` (from 1) holds values up to `edges[b - 1]`. */
  edges: Float32Array[]
}

function binned(rows: Rows): Binned {
  const { count, features, values } = rows
  const bins = new Uint8Array(count * features)
  const edges: Float32Array[] = []
  for (let feature = 0; feature < features; feature++) {
    const known: number[] = []
    const stride = Math.max(1, Math.floor(count / 50_000))
    for (let row = 0; row < count; row += stride) {
      const value = values[row * features + feature] ?? Number.NaN
      if (!Number.isNaN(value)) known.push(value)
    }
    known.sort((a, b) => a - b)
    const cuts: number[] = []
    for (let bin = 1; bin < BINS - 1; bin++) {
      const cut = known[Math.floor((bin * known.length) / (BINS - 1))]
      if (cut !== undefined && cut !== cuts.at(-1)) cuts.push(cut)
    }
    const upper = Float32Array.from(cuts)
    edges.push(upper)
    for (let row = 0; row < count; row++) {
      const value = values[row * features + feature] ?? Number.NaN
      bins[feature * count + row] = Number.isNaN(value) ? MISSING : 1 + firstNotBelow(upper, value)
    }
  }
  return { bins, edges }
}

function firstNotBelow(edges: Float32Array, value: number): number {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((edges[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

interface Split {
  gain: number
  feature: number
  bin: number
  isMissingLeft: boolean
  /** Between the values of both sides. */
  middle: number
}

interface Node {
  rows: Int32Array
  low: number
  high: number
  /** Summed gradients and curvatures, a pair per feature and bin. */
  sums: Float64Array
}

/** Trains trees on the rows. `directions` says per feature how the answer follows it: 1, -1 or 0. */
export function boost(rows: Rows, directions: readonly number[], options: BoostOptions): Tree[] {
  const { count, features, labels, weights, offsets } = rows
  const { bins, edges } = binned(rows)
  const random = uniform(options.seed)
  const margin = Float64Array.from(offsets)
  const gradient = new Float64Array(count)
  const curvature = new Float64Array(count)
  const trees: Tree[] = []
  for (let t = 0; t < options.trees; t++) {
    for (let row = 0; row < count; row++) {
      const p = 1 / (1 + Math.exp(-(margin[row] ?? 0)))
      const weight = weights[row] ?? 0
      gradient[row] = weight * (p - (labels[row] ?? 0))
      curvature[row] = weight * Math.max(1e-6, p * (1 - p))
    }
    const drawn = new Int32Array(count)
    let size = 0
    for (let row = 0; row < count; row++) if (random() < options.rowShare) drawn[size++] = row
    const usable = Array.from({ length: features }, (_, feature) => feature).filter(
      () => random() < options.featureShare,
    )
    const learningRate = t < options.first.trees ? options.first.learningRate : options.learningRate
    const growing = { bins, edges, gradient, curvature, count, usable, directions, options, learningRate }
    const tree = grow(drawn.slice(0, size), growing)
    trees.push(tree)
    for (let row = 0; row < count; row++) margin[row] = (margin[row] ?? 0) + answerBinned(tree, bins, count, row)
  }
  return trees
}

interface Growing {
  bins: Uint8Array
  edges: Float32Array[]
  gradient: Float64Array
  curvature: Float64Array
  count: number
  usable: readonly number[]
  directions: readonly number[]
  options: BoostOptions
  learningRate: number
}

/** Nodes in breadth-first order; a leaf has feature -1 and its value as threshold. */
function grow(rows: Int32Array, growing: Growing): Tree {
  const { bins, edges, count, directions, options, learningRate } = growing
  const feature: number[] = []
  const threshold: number[] = []
  const left: number[] = []
  const isMissingLeft: number[] = []
  const lastBin: number[] = []
  const queue: { node: Node; depth: number; index: number }[] = []
  const add = (node: Node, depth: number): number => {
    const index = feature.push(-1) - 1
    threshold.push(0)
    left.push(-1)
    isMissingLeft.push(0)
    lastBin.push(0)
    queue.push({ node, depth, index })
    return index
  }
  add({ rows, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, sums: summed(rows, growing) }, 0)
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { node, depth, index } = next
    const split = depth < options.depth ? bestSplit(node, growing) : null
    if (!split) {
      threshold[index] = Math.fround(learningRate * leafOf(node, ...totalOf(node, growing), options.lambda))
      continue
    }
    feature[index] = split.feature
    threshold[index] = edges[split.feature]?.[split.bin - 1] ?? 0
    isMissingLeft[index] = split.isMissingLeft ? 1 : 0
    lastBin[index] = split.bin
    const from = split.feature * count
    const goesLeft = (row: number) => {
      const bin = bins[from + row] ?? 0
      return bin === MISSING ? split.isMissingLeft : bin <= split.bin
    }
    const parts = [node.rows.filter(goesLeft), node.rows.filter(row => !goesLeft(row))] as const
    // The sums of the larger part are what those of the smaller one leave.
    const smaller = parts[0].length < parts[1].length ? 0 : 1
    const sums = summed(parts[smaller], growing)
    const others = node.sums.map((sum, at) => sum - (sums[at] ?? 0))
    const direction = directions[split.feature] ?? 0
    const { middle } = split
    const [sumsLeft, sumsRight] = smaller === 0 ? [sums, others] : [others, sums]
    const below = { low: node.low, high: direction > 0 ? middle : node.high }
    const above = { low: direction > 0 ? middle : node.low, high: node.high }
    left[index] = add(
      { rows: parts[0], sums: sumsLeft, ...(direction < 0 ? { low: middle, high: node.high } : below) },
      depth + 1,
    )
    add({ rows: parts[1], sums: sumsRight, ...(direction < 0 ? { low: node.low, high: middle } : above) }, depth + 1)
  }
  return { feature, threshold, left, isMissingLeft, bin: lastBin }
}

const PAIR = 2 * BINS

function summed(rows: Int32Array, { bins, gradient, curvature, count, usable }: Growing): Float64Array {
  const sums = new Float64Array(usable.length * PAIR)
  const gradients = new Float64Array(rows.length)
  const curvatures = new Float64Array(rows.length)
  for (let i = 0; i < rows.length; i++) {
    gradients[i] = gradient[rows[i] ?? 0] ?? 0
    curvatures[i] = curvature[rows[i] ?? 0] ?? 0
  }
  for (let used = 0; used < usable.length; used++) {
    const from = (usable[used] ?? 0) * count
    const base = used * PAIR
    for (let i = 0; i < rows.length; i++) {
      const at = base + 2 * (bins[from + (rows[i] ?? 0)] ?? 0)
      sums[at] = (sums[at] ?? 0) + (gradients[i] ?? 0)
      sums[at + 1] = (sums[at + 1] ?? 0) + (curvatures[i] ?? 0)
    }
  }
  return sums
}

/** Summed gradients and curvatures of the node: those of any of its features. */
function totalOf({ sums }: Node, { usable }: Growing): [number, number] {
  let gradients = 0
  let curvatures = 0
  for (let bin = 0; usable.length > 0 && bin < BINS; bin++) {
    gradients += sums[2 * bin] ?? 0
    curvatures += sums[2 * bin + 1] ?? 0
  }
  return [gradients, curvatures]
}

/** The best value of a leaf, within the bounds of its node. */
const leafOf = ({ low, high }: Node, gradients: number, curvatures: number, lambda: number): number =>
  Math.max(low, Math.min(high, -gradients / (curvatures + lambda)))

function bestSplit(node: Node, growing: Growing): Split | null {
  const { edges, usable, directions, options } = growing
  const { lambda, leafMin, gainMin } = options
  const [g, h] = totalOf(node, growing)
  /** The loss that a leaf of this value takes away. */
  const gainOf = (gradients: number, curvatures: number, value: number) =>
    -(gradients * value + 0.5 * (curvatures + lambda) * value * value)
  const whole = gainOf(g, h, leafOf(node, g, h, lambda))
  let best: Split | null = null
  for (let used = 0; used < usable.length; used++) {
    const feature = usable[used] ?? 0
    const sums = node.sums.subarray(used * PAIR, (used + 1) * PAIR)
    const direction = directions[feature] ?? 0
    for (const isMissingLeft of (sums[1] ?? 0) > 0 ? [true, false] : [false]) {
      let gl = isMissingLeft ? (sums[0] ?? 0) : 0
      let hl = isMissingLeft ? (sums[1] ?? 0) : 0
      for (let bin = 1; bin <= (edges[feature]?.length ?? 0); bin++) {
        gl += sums[2 * bin] ?? 0
        hl += sums[2 * bin + 1] ?? 0
        if (hl < leafMin) continue
        if (h - hl < leafMin) break
        const left = leafOf(node, gl, hl, lambda)
        const right = leafOf(node, g - gl, h - hl, lambda)
        if ((direction > 0 && left > right) || (direction < 0 && left < right)) continue
        const gain = gainOf(gl, hl, left) + gainOf(g - gl, h - hl, right) - whole
        if (gain > gainMin && (!best || gain > best.gain))
          best = { gain, feature, bin, isMissingLeft, middle: (left + right) / 2 }
      }
    }
  }
  return best
}

function answerBinned(tree: Tree, bins: Uint8Array, count: number, row: number): number {
  let index = 0
  for (;;) {
    const feature = tree.feature[index] ?? -1
    if (feature < 0) return tree.threshold[index] ?? 0
    const bin = bins[feature * count + row] ?? 0
    const isLeft = bin === MISSING ? tree.isMissingLeft[index] === 1 : bin <= (tree.bin[index] ?? 0)
    index = (tree.left[index] ?? 0) + (isLeft ? 0 : 1)
  }
}

/** Trees one after the other, as the product reads them. */
export function toForestJson(trees: readonly Tree[]): ForestJson {
  const roots: number[] = []
  const feature: number[] = []
  const threshold: number[] = []
  const isMissingLeft: number[] = []
  for (const tree of trees) {
    roots.push(feature.length)
    feature.push(...tree.feature)
    threshold.push(...tree.threshold.map(value => Number(value.toPrecision(DIGITS))))
    isMissingLeft.push(...tree.isMissingLeft)
  }
  return { roots, feature, threshold, isMissingLeft }
}
