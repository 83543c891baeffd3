/**
 * Seasonal autoregression: a step is regressed on the steps just before it, and on those around the same time of earlier
 * days and of a week before. Four variants (of the units and of their logarithm; of the values and of their change over a
 * day or a week) err differently and are pooled. Paths feed resampled errors back in, so that what is uncertain early
 * makes what follows uncertain. Good for steady and seasonal keys.
 */
import { periodMsOf } from './analogs.ts'
import { firstUseMs, type History, totalBetween } from './history.ts'
import { addLagged, laggedProducts, solveSymmetric } from './least-squares.ts'
import { knotsOf, type PathAsk, type PathSource, type Paths } from './paths.ts'
import { uniform } from './random.ts'
import { cumulate, type Fitted, phaseOf, walk } from './walk.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** More than so far ahead, what is known for long is learnt in steps of hours that are not told apart there. */
const COARSE_STEP_MS = 3 * HOUR_MS
const COARSE_LEFT_MS = 3 * DAY_MS
const COARSE_KNOWN_MS = 14 * DAY_MS
/** Most steps that are learnt from: six weeks of hours. */
const STEPS_MAX = 1_008
/** Fewer steps than this have nothing to teach. */
const STEPS_MIN = 48
/** Most steps that a path is walked; what is beyond repeats the mean of its last week. */
const WALK_STEPS_MAX = 768
/** Paths of each variant: as many as this many steps allow, within bounds. */
const WALKED_STEPS = 3_000
const PATHS = { min: 10, max: 40 }
/** The same for walks from earlier instants, of which only a few quantiles of the total are scored. */
const WALKED_STEPS_BACK = 200
const PATHS_BACK_MIN = 4
/** A penalty on the coefficients, as a share of the mean variance of the regressors. */
const RIDGE = 1e-5
/** Logarithms are taken of no less than this share of the mean. */
const LOG_FLOOR = 1e-3
/** The spread of errors by time of the day is shrunk to that of the whole day, as if by so many more errors. */
const SPREAD_PRIOR_COUNT = 10
const SEED = 7

interface Variant {
  isLog: boolean
  /** The change over so many days is what is regressed; 0: the value itself. */
  differenceDays: 0 | 1 | 7
  lags: 'many' | 'few'
}
const VARIANTS: readonly Variant[] = [
  { isLog: true, differenceDays: 0, lags: 'many' },
  { isLog: true, differenceDays: 1, lags: 'few' },
  { isLog: true, differenceDays: 7, lags: 'many' },
  { isLog: false, differenceDays: 0, lags: 'few' },
]
/** How far around each whole day the lags reach, in steps. */
const NEAR = { many: { before: 4, day: 2, days: 1, week: 2 }, few: { before: 2, day: 1, days: 0, week: 1 } } as const

/** Steps that an autoregression learns from: hours, longer ones far ahead, what there is for windows below a day. */
function autoregressionStepMs(history: History, { atMs, windowMs, leftMs }: PathAsk): number {
  if (periodMsOf(windowMs) < DAY_MS) return history.stepMs
  const isCoarse = leftMs >= COARSE_LEFT_MS && atMs - firstUseMs(history) >= COARSE_KNOWN_MS
  return Math.max(isCoarse ? COARSE_STEP_MS : HOUR_MS, history.stepMs)
}

/** An autoregression of one series, to be walked from its end or from an earlier instant. */
interface Autoregression {
  atMs: number
  stepMs: number
  daySteps: number
  variants: readonly Fitted[]
}

/** Fits every variant to what was known at `atMs`; `null` when the history is too short to learn from. */
function fitAutoregression(history: History, ask: PathAsk): Autoregression | null {
  const { atMs } = ask
  const stepMs = autoregressionStepMs(history, ask)
  const values = lastSteps(history, atMs, stepMs)
  if (values.length < STEPS_MIN) return null
  const daySteps = Math.max(1, Math.round(DAY_MS / stepMs))
  const variants = VARIANTS.map(variant => fitVariant(values, variant, daySteps)).filter(one => one !== null)
  return variants.length === 0 ? null : { atMs, stepMs, daySteps, variants }
}

/**
 * Paths from `ask.atMs` on, a whole number of steps before the fit: what is walked on is what was known then, the
 * coefficients are those of the fit. `null` where the past before it is too short.
 */
function walkAutoregression(fit: Autoregression, history: History, ask: PathAsk): Paths | null {
  const { atMs, leftMs } = ask
  const { stepMs, daySteps } = fit
  const back = Math.round((fit.atMs - atMs) / stepMs)
  const able = fit.variants.filter(({ standard, lags }) => standard.length - back >= (lags.at(-1) ?? 0))
  if (able.length === 0) return null
  const steps = Math.min(WALK_STEPS_MAX, Math.ceil(leftMs / stepMs))
  const affordable = Math.floor((back > 0 ? WALKED_STEPS_BACK : WALKED_STEPS) / steps)
  const count = Math.max(back > 0 ? PATHS_BACK_MIN : PATHS.min, Math.min(PATHS.max, affordable))
  const knots = ask.knots ?? knotsOf(leftMs, history.stepMs)
  const totals = new Float64Array(able.length * count * knots)
  const random = uniform(SEED)
  able.forEach((one, index) => {
    const walked = walk(one, { back, steps, count }, random)
    cumulate(
      walked,
      stepMs / (leftMs / knots),
      daySteps,
      totals.subarray(index * count * knots, (index + 1) * count * knots),
    )
  })
  return { leftMs, knots, totals, weights: new Float64Array(able.length * count).fill(1) }
}

/** Units of the last whole steps before `atMs`, oldest first, beginning with the first that was used. */
function lastSteps(history: History, atMs: number, stepMs: number): Float64Array {
  const count = Math.min(STEPS_MAX, Math.floor((atMs - history.startMs) / stepMs + 1e-9))
  const values = new Float64Array(Math.max(0, count))
  for (let i = 0; i < count; i++) {
    const fromMs = atMs - (count - i) * stepMs
    values[i] = totalBetween(history, fromMs, fromMs + stepMs)
  }
  const first = values.findIndex(value => value > 0)
  return first < 0 ? new Float64Array(0) : values.subarray(first)
}

/** Lags of so many steps a day that a series of `length` steps can teach. */
function lagsOf(near: (typeof NEAR)[keyof typeof NEAR], daySteps: number, length: number): Int32Array {
  const around = (days: number, reach: number) =>
    Array.from({ length: 2 * reach + 1 }, (_, index) => days * daySteps + index - reach)
  const lags = [
    ...Array.from({ length: near.before }, (_, index) => index + 1),
    ...around(1, near.day),
    ...[2, 3, 4, 5, 6].flatMap(days => around(days, near.days)),
    ...around(7, near.week),
  ]
  const known = lags.filter(lag => lag >= 1 && length > 2 * lag + 30)
  return Int32Array.from(new Set(known)).sort()
}

function fitVariant(values: Float64Array, variant: Variant, daySteps: number): Fitted | null {
  const { isLog, differenceDays } = variant
  const difference = differenceDays * daySteps
  const length = values.length - difference
  const lags = lagsOf(NEAR[variant.lags], daySteps, length)
  const size = lags.length + 1
  const from = lags.at(-1) ?? 0
  if (lags.length === 0 || length - from < 2 * size) return null
  const floor = LOG_FLOOR * meanOf(values) + Number.MIN_VALUE
  const levels = isLog ? values.map(value => Math.log(Math.max(value, floor))) : values
  const changes = levels.slice(difference)
  for (let t = 0; difference > 0 && t < length; t++) changes[t] = (changes[t] ?? 0) - (levels[t] ?? 0)
  const mean = meanOf(changes)
  const deviation = Math.sqrt(meanOf(changes.map(value => (value - mean) ** 2))) + Number.MIN_VALUE
  const standard = changes.map(value => (value - mean) / deviation)
  const coefficients = regress(standard, lags, from)
  const { errors, spreads } = errorsOf(standard, lags, coefficients, daySteps)
  return {
    isLog,
    difference,
    lags,
    coefficients,
    mean,
    deviation,
    standard,
    levels,
    errors,
    spreads,
  }
}

/** Coefficients of the lags and a constant, by ridge regression of all steps from `from` on. */
function regress(values: Float64Array, lags: Int32Array, from: number): Float64Array {
  const size = lags.length + 1
  const withNow = [0, ...lags]
  const products = laggedProducts(values, withNow, from)
  const matrix = new Float64Array(size * size)
  const right = new Float64Array(size)
  let trace = 0
  for (let i = 0; i < lags.length; i++) {
    for (let j = 0; j < lags.length; j++) matrix[i * size + j] = products[(i + 1) * size + j + 1] ?? 0
    right[i] = products[i + 1] ?? 0
    trace += matrix[i * size + i] ?? 0
    let sum = 0
    const lag = lags[i] ?? 0
    for (let t = from - lag; t < values.length - lag; t++) sum += values[t] ?? 0
    matrix[i * size + size - 1] = sum
    matrix[(size - 1) * size + i] = sum
  }
  for (let i = 0; i < lags.length; i++)
    matrix[i * size + i] = (matrix[i * size + i] ?? 0) + (RIDGE * trace) / lags.length
  for (let t = from; t < values.length; t++) right[size - 1] = (right[size - 1] ?? 0) + (values[t] ?? 0)
  matrix[size * size - 1] = values.length - from + Number.EPSILON
  return solveSymmetric(matrix, right)
}

/** One-step errors, standardized by their spread at their time of the day, and that spread from now on. */
function errorsOf(values: Float64Array, lags: Int32Array, coefficients: Float64Array, daySteps: number) {
  const { length } = values
  const from = lags.at(-1) ?? 0
  const count = length - from
  const said = new Float64Array(count).fill(coefficients[lags.length] ?? 0)
  addLagged(said, { values, from, stride: 1, coefficients, lags, count: lags.length })
  const errors = said.map((value, index) => (values[from + index] ?? 0) - value)
  // What is known for less than two days has no time of the day.
  const phases = count < 2 * daySteps ? 1 : daySteps
  const squares = new Float64Array(phases)
  const counts = new Float64Array(phases)
  let all = 0
  for (let t = from; t < length; t++) {
    const error = errors[t - from] ?? 0
    const phase = phaseOf(t - length, phases)
    squares[phase] = (squares[phase] ?? 0) + error * error
    counts[phase] = (counts[phase] ?? 0) + 1
    all += error * error
  }
  const spreads = squares.map((_, phase) => {
    let sum = (SPREAD_PRIOR_COUNT * all) / count
    let weight = SPREAD_PRIOR_COUNT
    for (let near = -1; near <= 1; near++) {
      sum += squares[phaseOf(phase + near, phases)] ?? 0
      weight += counts[phaseOf(phase + near, phases)] ?? 0
    }
    return Math.sqrt(sum / weight) + Number.MIN_VALUE
  })
  // Errors of what was fit are smaller than those to come, by what the coefficients took from them and will add.
  const size = coefficients.length
  const widening = Math.sqrt((count + size) / (count - size))
  for (let t = from; t < length; t++) {
    errors[t - from] = (widening * (errors[t - from] ?? 0)) / (spreads[phaseOf(t - length, phases)] ?? 1)
  }
  return { errors, spreads }
}

function meanOf(values: Float64Array): number {
  let sum = 0
  for (const value of values) sum += value
  return sum / values.length
}

/** The path source: fit once, walked from wherever it is asked. */
export const autoregression: PathSource = {
  name: 'autoregression',
  isStraight: false,
  fit: (history, fitAsk) => {
    const fitted = fitAutoregression(history, fitAsk)
    return ask => fitted && walkAutoregression(fitted, history, ask)
  },
}
