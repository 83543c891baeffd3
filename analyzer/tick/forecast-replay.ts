/**
 * Recorded series, replayed through the forecaster as the analyzer uses it: observations come once and in order, every
 * question is answered from what came before it.
 */
import Type, { type Static } from 'typebox'
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

/** Times are Unix seconds. */
const Line = Type.Union([
  Type.Object({
    kind: Type.Literal('series'),
    series: Type.String(),
    step: Type.Number({ exclusiveMinimum: 0 }),
    start: Type.Number(),
  }),
  Type.Object({ kind: Type.Literal('obs'), series: Type.String(), values: Type.Array(Type.Number({ minimum: 0 })) }),
  Type.Object({
    kind: Type.Literal('task'),
    id: Type.String(),
    series: Type.String(),
    now: Type.Number(),
    used: Type.Number({ minimum: 0 }),
    limit: Type.Number({ minimum: 0 }),
    window_start: Type.Number(),
    window_end: Type.Number(),
  }),
])
type Line = Static<typeof Line>
const line = Compile(Line)

export interface TaskAnswer {
  id: string
  p_exhaust: number
  /** Seconds from the task's `now`; `null` is "not before the reset". */
  eta: { p10: number | null; p50: number | null; p90: number | null }
}

/** A line that cannot be answered. */
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
  return value => {
    if (!line.Check(value)) throw new ReplayError(`not a line of a replay: ${JSON.stringify(value).slice(0, 200)}`)
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
    if (replayed?.series !== value.series) throw new ReplayError(`no line began the series ${value.series}`)
    if (value.kind === 'task') return answerTask(replayed, value, forest)
    observe(replayed, value.values)
    return null
  }
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

function answerTask(replayed: Replayed, task: Extract<Line, { kind: 'task' }>, forest: Forest): TaskAnswer {
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
  step: Type.Number({ exclusiveMinimum: 0 }),
  horizon: Type.Integer({ minimum: 1, maximum: 10_000 }),
  level: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
  history: Type.Array(Type.Number(), { minItems: 1, maxItems: STEPS_MAX }),
})
const continuation = Compile(Continuation)

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
    if (!continuation.Check(value)) {
      throw new ReplayError(`not a history to continue: ${JSON.stringify(value).slice(0, 200)}`)
    }
    const { id, step, horizon, level, history: values } = value
    const stepMs = step * 1000
    const history = toHistory(values, 0, stepMs, values.length * stepMs)
    const levels = [(1 - level) / 2, ...DECILES, (1 + level) / 2]
    const bands = demandBands(history, { fromMs: history.endMs, steps: horizon, stepMs, levels })
    const [lo = [], ...rest] = bands.map(band => Array.from(band))
    const deciles = rest.slice(0, DECILES.length)
    return { id, point: deciles[(DECILES.length - 1) / 2] ?? [], lo, hi: rest.at(-1) ?? [], deciles }
  }
}
