/** Possible futures of a fitted autoregression: errors of the past are drawn again and fed back in, step by step. */
import { addLagged } from './least-squares.ts'

const WEEK_DAYS = 7
/** Walks are held within so many standard deviations of the past. */
const WALK_MAX = 6

/** A variant that was fit to a series. */
export interface Fitted {
  isLog: boolean
  /** Steps between a value and what it is compared with; 0 for the value itself. */
  difference: number
  lags: Int32Array
  /** One per lag, then the constant; for standardized values. */
  coefficients: Float64Array
  mean: number
  deviation: number
  /** What was regressed (standardized), and the values or logarithms that it was made from. */
  standard: Float64Array
  levels: Float64Array
  /** Errors over their spread, and the spread by time of the day counted from now. */
  errors: Float64Array
  spreads: Float64Array
}

/** Place of a step in the day, counted from now. */
export const phaseOf = (steps: number, daySteps: number): number => ((steps % daySteps) + daySteps) % daySteps

/** What of a walk is asked: how many steps before the end of what is known it begins, its steps, and how many walks. */
interface WalkAsk {
  back: number
  steps: number
  count: number
}

/** The units of each step of `count` possible futures, step-major. */
export function walk(fitted: Fitted, { back, steps, count }: WalkAsk, random: () => number): Walked {
  const { isLog, difference, lags, coefficients, mean, deviation, standard, levels, errors, spreads } = fitted
  const end = standard.length - back
  const before = levels.length - back - difference
  const constant = coefficients[lags.length] ?? 0
  const values = new Float64Array(steps * count)
  const changed = new Float64Array(difference > 0 ? steps * count : 0)
  const units = new Float64Array(steps * count)
  const row = new Float64Array(count)
  for (let i = 0; i < steps; i++) {
    // What lags reach back to before now is the same for all walks.
    let known = constant
    let ahead = 0
    for (; ahead < lags.length && (lags[ahead] ?? 0) <= i; ahead++);
    for (let j = ahead; j < lags.length; j++)
      known += (coefficients[j] ?? 0) * (standard[end + i - (lags[j] ?? 0)] ?? 0)
    addLagged(row.fill(known), { values, from: i * count, stride: count, coefficients, lags, count: ahead })
    const spread = spreads[phaseOf(i - back, spreads.length)] ?? 0
    const levelBefore = difference > 0 && i < difference ? (levels[before + i] ?? 0) : 0
    for (let k = 0; k < count; k++) {
      const value = (row[k] ?? 0) + spread * (errors[Math.floor(random() * errors.length)] ?? 0)
      const held = Math.max(-WALK_MAX, Math.min(WALK_MAX, value))
      const at = i * count + k
      values[at] = held
      let level = held * deviation + mean + levelBefore
      if (difference > 0) {
        if (i >= difference) level += changed[at - difference * count] ?? 0
        changed[at] = level
      }
      units[at] = isLog ? Math.exp(level) : Math.max(0, level)
    }
  }
  return { units, steps, count }
}

interface Walked {
  units: Float64Array
  steps: number
  count: number
}

/** Writes the running totals of each walk at equally spaced knots, path-major; a step is `stepKnots` knots long. */
export function cumulate(
  { units, steps, count }: Walked,
  stepKnots: number,
  daySteps: number,
  out: Float64Array,
): void {
  const knots = out.length / count
  const total = new Float64Array(count)
  const later = new Float64Array(count)
  const last = Math.min(WEEK_DAYS * daySteps, steps)
  for (let at = (steps - last) * count; at < units.length; at++) {
    later[at % count] = (later[at % count] ?? 0) + (units[at] ?? 0) / last
  }
  let step = 0
  for (let knot = 0; knot < knots; knot++) {
    const at = (knot + 1) / stepKnots
    for (; step < steps && step + 1 <= at + 1e-9; step++) {
      for (let k = 0; k < count; k++) total[k] = (total[k] ?? 0) + (units[step * count + k] ?? 0)
    }
    const part = Math.max(0, at - step)
    for (let k = 0; k < count; k++) {
      const perStep = (step < steps ? units[step * count + k] : later[k]) ?? 0
      out[k * knots + knot] = (total[k] ?? 0) + part * perStep
    }
  }
}
