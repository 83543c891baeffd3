/**
 * Recorded series, replayed through the forecaster as the analyzer uses it: observations come once and in order, every
 * question is answered from what came before it.
 */
import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { demandBands } from '../forecast/bands.ts'
import { CALIBRATOR } from '../forecast/calibrator.ts'
import { type History, toHistory } from '../forecast/history.ts'
import { type ForecastState, forecastNext } from '../forecast/refit.ts'
import type { Forest } from '../forecast/trees.ts'

/** Longest series, in steps. */
const STEPS_MAX = 4_000_000
/** What is learnt is good for as long as for a subject in the middle. */
const PHASE = 0.5
const DECILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const

/** Units of a step; sums of `STEPS_MAX` of them are far from overflowing. */
const Units = Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const units = Compile(Units)
/** Unix seconds that a date can have. */
const Instant = Type.Number({ minimum: -8.64e12, maximum: 8.64e12 })
const StepSeconds = Type.Number({ minimum: 0.001, maximum: 366 * 86_400 })

const LINES = {
  series: Type.Object({ kind: Type.Literal('series'), series: Type.String(), step: StepSeconds, start: Instant }),
  obs: Type.Object({ kind: Type.Literal('obs'), series: Type.String(), values: Type.Array(Units) }),
  task: Type.Object({
    kind: Type.Literal('task'),
    id: Type.String(),
    series: Type.String(),
    now: Instant,
    used: Units,
    limit: Units,
    window_start: Instant,
    window_end: Instant,
  }),
}
const lines = { series: readerOf(LINES.series), obs: readerOf(LINES.obs), task: readerOf(LINES.task) }
const KINDS = Object.keys(LINES) as (keyof typeof LINES)[]
type Line = Static<(typeof LINES)[keyof typeof LINES]>
type Task = Static<typeof LINES.task>

export interface TaskAnswer {
  id: string
  p_exhaust: number
  /** Seconds from the task's `now`; `null` is "not before the reset". */
  eta: { p10: number | null; p50: number | null; p90: number | null }
}

/** A line that cannot be answered, and what is wrong with it. */
export class ReplayError extends Error {
  readonly code = 'REPLAY_LINE_INVALID'

  constructor(message: string) {
    super(message)
    this.name = 'ReplayError'
  }
}

interface Replayed {
  series: string
  startMs: number
  stepMs: number
  /** Running totals, longer than what is known. */
  total: Float64Array
  steps: number
  /** By length of the window. */
  states: Map<number, ForecastState>
}

/** Takes lines in order and answers those that ask; throws `ReplayError` for a line that makes no sense. */
export function replayTasks(forest: Forest = CALIBRATOR): (line: unknown) => TaskAnswer | null {
  let replayed: Replayed | null = null
  return given => {
    const value = toLine(given)
    if (value.kind === 'series') {
      const { series, step, start } = value
      replayed = {
        series,
        startMs: start * 1000,
        stepMs: step * 1000,
        total: new Float64Array(1),
        steps: 0,
        states: new Map(),
      }
      return null
    }
    if (replayed?.series !== value.series) {
      throw new ReplayError(`no line began the series ${value.series}: \`{"kind":"series", …}\` must come before`)
    }
    if (value.kind === 'task') return answerTask(replayed, value, forest)
    observe(replayed, value.values)
    return null
  }
}

function toLine(value: unknown): Line {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  const known = KINDS.find(one => one === kind)
  if (known === undefined) throw new ReplayError(`kind must be one of ${KINDS.join(', ')}`)
  return lines[known](value)
}

/** Answers the value as what it is; throws `ReplayError` with the first thing that is wrong with it. */
function readerOf<Schema extends TSchema>(schema: Schema): (value: unknown) => Static<Schema> {
  const validator = Compile(schema)
  return value => {
    if (validator.Check(value)) return value
    const wrong = wrongUnits(value)
    if (wrong !== null) throw new ReplayError(wrong)
    const [error] = validator.Errors(value)
    throw new ReplayError(`${error?.instancePath} ${error?.message}`.trim())
  }
}

/** The first that is wrong: to find them all in a long list would take a minute, and gigabytes. */
function wrongUnits(line: unknown): string | null {
  for (const [name, values] of Object.entries(line ?? {})) {
    const index = Array.isArray(values) ? values.findIndex(value => !units.Check(value)) : -1
    if (index >= 0) return `/${name}/${index} must be a number from 0 to ${Number.MAX_SAFE_INTEGER}`
  }
  return null
}

function observe(replayed: Replayed, values: readonly number[]): void {
  const steps = replayed.steps + values.length
  if (steps > STEPS_MAX) throw new ReplayError(`a series of more than ${STEPS_MAX} steps: ${replayed.series}`)
  if (steps >= replayed.total.length) {
    const longer = new Float64Array(2 * steps + 1)
    longer.set(replayed.total)
    replayed.total = longer
  }
  const { total } = replayed
  for (const value of values) {
    total[replayed.steps + 1] = (total[replayed.steps] ?? 0) + value
    replayed.steps++
  }
}

function answerTask(replayed: Replayed, task: Task, forest: Forest): TaskAnswer {
  if (!(task.window_start <= task.now && task.now < task.window_end)) {
    throw new ReplayError('now must be in the window, from window_start to before window_end')
  }
  const { startMs, stepMs, steps, total, states } = replayed
  const nowMs = task.now * 1000
  const history: History = { startMs, stepMs, endMs: startMs + steps * stepMs, total: total.subarray(0, steps + 1) }
  const windowStartMs = task.window_start * 1000
  const windowEndMs = task.window_end * 1000
  const windowMs = windowEndMs - windowStartMs
  const { used, limit } = task
  const ask = { history, nowMs, windowStartMs, windowEndMs, used, limit }
  const { forecast, state } = forecastNext(ask, states.get(windowMs) ?? null, { forest, phase: PHASE })
  if (state) states.set(windowMs, state)
  const { p10, p50, p90 } = forecast.exhaustionAtMs
  const since = (atMs: number | null) => (atMs === null ? null : (atMs - nowMs) / 1000)
  return {
    id: task.id,
    p_exhaust: forecast.probability ?? 0,
    eta: { p10: since(p10), p50: since(p50), p90: since(p90) },
  }
}

const Continuation = Type.Object({
  id: Type.String(),
  step: StepSeconds,
  horizon: Type.Integer({ minimum: 1, maximum: 10_000 }),
  level: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
  history: Type.Array(Units, { minItems: 1, maxItems: STEPS_MAX }),
})
const toContinuation = readerOf(Continuation)

export interface PointsAnswer {
  id: string
  point: number[]
  lo: number[]
  hi: number[]
  deciles: number[][]
}

/** Continues each history by as many steps as it is asked for: median, central band of `level`, deciles. */
export function replayPoints(): (line: unknown) => PointsAnswer {
  return value => {
    const { id, step, horizon, level, history: values } = toContinuation(value)
    const stepMs = step * 1000
    const history = toHistory(values, 0, stepMs, values.length * stepMs)
    const levels = [(1 - level) / 2, ...DECILES, (1 + level) / 2]
    const bands = demandBands(history, { fromMs: history.endMs, steps: horizon, stepMs, levels })
    const [lo = [], ...rest] = bands.map(band => Array.from(band))
    const deciles = rest.slice(0, DECILES.length)
    return { id, point: deciles[(DECILES.length - 1) / 2] ?? [], lo, hi: rest.at(-1) ?? [], deciles }
  }
}
