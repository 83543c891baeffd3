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

  test('lines that make no sense are refused, with what is wrong', () => {
    expect(() => replayTasks()({ kind: 'series', series: 'one' })).toThrow(ReplayError)
    expect(() => replayTasks()({ kind: 'obs', series: 'one', values: [1] })).toThrow('no line began the series one')
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
  })
})
