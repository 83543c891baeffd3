import { describe, expect, test } from 'vitest'
import type { PathAnswer } from '../../../analyzer/api/forecast-path.ts'
import { columnsOf, topOf } from '../../../dashboards/console/chart-columns.ts'
import { answerOf } from './answers.ts'

const path: PathAnswer = {
  forecast: answerOf({ windowStartMs: 0, asOfMs: 2_000, windowEndMs: 4_000 }),
  history: [
    [0, 0],
    [1_000, 30],
    [2_000, 40],
  ],
  bands: [
    { atMs: 3_000, p10: 50, p50: 60, p90: 80 },
    { atMs: 4_000, p10: 55, p50: 70, p90: 500 },
  ],
}

describe('the columns of a fan chart', () => {
  test('bands begin where use ends, and reach the reset', () => {
    const [times, used, p90, p10, p50, limit] = columnsOf({ path, limit: 100, growth: 1 })
    expect(times).toEqual([0, 1, 2, 3, 4])
    expect(used).toEqual([0, 30, 40, null, null])
    expect(p90).toEqual([null, null, 40, 80, 500])
    expect(p10).toEqual([null, null, 40, 50, 55])
    expect(p50).toEqual([null, null, 40, 60, 70])
    expect(limit).toEqual([100, 100, 100, 100, 100])
  })

  test('growth stretches what is to come, and nothing of what was', () => {
    const [, used, , , p50] = columnsOf({ path, limit: 100, growth: 2 })
    expect(used).toEqual([0, 30, 40, null, null])
    expect(p50).toEqual([null, null, 40, 80, 100])
  })

  test('without bands the axis still ends at the reset', () => {
    expect(columnsOf({ path: { ...path, bands: [] }, limit: 100, growth: 1 })[0]).toEqual([0, 1, 2, 4])
  })

  test('a limit that will change is a step, unless another is asked about', () => {
    const changing = { ...path, forecast: { ...path.forecast, limitChanges: [{ fromMs: 3_000, limit: 250 }] } }
    expect(columnsOf({ path: changing, limit: 100, growth: 1 })[5]).toEqual([100, 100, 100, 250, 250])
    expect(columnsOf({ path: changing, limit: 90, growth: 1 })[5]).toEqual([90, 90, 90, 90, 90])
  })

  test('a band far above the limit does not press the rest to the ground, use is always seen', () => {
    expect(topOf(columnsOf({ path, limit: 100, growth: 1 }), 100)).toBeCloseTo(220)
    expect(topOf(columnsOf({ path, limit: 10, growth: 1 }), 10)).toBeCloseTo(42)
    // Without a limit there is nothing that a band could be far above.
    expect(topOf(columnsOf({ path, limit: null, growth: 1 }), null)).toBeCloseTo(525)
  })
})
