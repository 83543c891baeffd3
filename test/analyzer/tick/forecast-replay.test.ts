import { describe, expect, test } from 'vitest'
import { ReplayError, replayPoints, replayTasks } from '../../../analyzer/tick/forecast-replay.ts'

const DAY = 86_400
const STEP = 600
const STEPS = DAY / STEP

/** Two bursty series of a fortnight, each asked every two hours of its last three days, in one replay. */
function replay(): unknown[] {
  return ['one', 'other'].flatMap((series, which) => {
    const value = (step: number) => (Math.floor(step / 7) * 2_654_435_761 * (which + 1)) % 97
    const lines: unknown[] = [{ kind: 'series', series, step: STEP, start: 0 }]
    let sent = 0
    for (let at = 11 * STEPS; at < 14 * STEPS; at += STEPS / 12) {
      lines.push({ kind: 'obs', series, values: Array.from({ length: at - sent }, (_, index) => value(sent + index)) })
      sent = at
      const window_start = Math.floor(at / STEPS) * DAY
      const task = { kind: 'task', series, now: at * STEP, used: 0, limit: 6_000 }
      lines.push({ ...task, id: `${series} day ${at}`, window_start, window_end: window_start + DAY })
      lines.push({ ...task, id: `${series} week ${at}`, window_start: 7 * DAY, window_end: 14 * DAY, limit: 50_000 })
    }
    return lines
  })
}

function answers(lines: readonly unknown[]): unknown[] {
  const answerOf = replayTasks()
  return lines.map(line => answerOf(line)).filter(answer => answer !== null)
}

describe('tasks', () => {
  test('are answered by what came before them: withholding later lines changes nothing', () => {
    const lines = replay()
    const all = answers(lines)
    expect(all).toHaveLength(2 * 36 * 2)
    for (const end of [20, 75, 110, 140]) {
      const some = answers(lines.slice(0, end))
      expect(some).toEqual(all.slice(0, some.length))
    }
  })

  test('a series that is answered alone is answered as among others', () => {
    const lines = replay()
    const other = lines.slice(lines.length / 2)
    expect(answers(other)).toEqual(answers(lines).slice(-36 * 2))
  })

  const series = { kind: 'series', series: 'one', step: STEP, start: 0 }
  const task = {
    kind: 'task',
    id: 'T',
    series: 'one',
    now: 3 * STEP,
    used: 0,
    limit: 5,
    window_start: 0,
    window_end: DAY,
  }

  test.each([
    [{ kind: 'series', series: 'one' }, 'must have required properties step, start'],
    [{ kind: 'obs', series: 'other', values: [1] }, 'no line began the series other'],
    [{ kind: 'obs', series: 'one', values: [1, -1] }, '/values/1 must be a number from 0 to 9007199254740991'],
    [{ kind: 'obs', series: 'one', values: [1e308] }, '/values/0 must be a number from 0'],
    [{ kind: 'unknown' }, 'kind must be one of series, obs, task'],
    [null, 'kind must be one of series, obs, task'],
    [{ ...task, window_start: DAY, window_end: 2 * DAY }, 'now must be in the window'],
    [{ ...task, window_end: task.now }, 'now must be in the window'],
  ])('lines that make no sense are refused, with what is wrong: %j', (line, message) => {
    const answerOf = replayTasks()
    answerOf(series)
    expect(() => answerOf(line)).toThrow(ReplayError)
    expect(() => answerOf(line)).toThrow(message)
  })

  test('of a series of which nothing is known a probability is answered, too', () => {
    expect(answers([series, task])).toEqual([{ id: 'T', p_exhaust: 0, eta: { p10: null, p50: null, p90: null } }])
  })
})

describe('histories to continue', () => {
  const history = Array.from({ length: 400 }, (_, hour) => 100 + 50 * Math.sin((hour * 2 * Math.PI) / 24) + (hour % 5))
  const answer = replayPoints()({ id: 'H', step: 3600, horizon: 48, level: 0.95, history })

  test('get a point, a band around it and deciles in their order', () => {
    expect(answer).toMatchObject({ id: 'H', deciles: { length: 9 } })
    for (let step = 0; step < 48; step++) {
      const levels = [answer.lo, ...answer.deciles, answer.hi].map(values => values[step] ?? Number.NaN)
      expect(levels).toEqual(levels.toSorted((a, b) => a - b))
      expect(answer.point[step]).toBe(levels[5])
    }
  })

  test('that are not are refused', () => {
    expect(() => replayPoints()({ id: 'H', step: 3600 })).toThrow(ReplayError)
    const below = { id: 'H', step: 3600, horizon: 3, level: 0.95, history: [-5, -5, -5, -5] }
    expect(() => replayPoints()(below)).toThrow('/history/0 must be a number from 0')
  })
})
