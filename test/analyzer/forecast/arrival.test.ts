import { describe, expect, test } from 'vitest'
import { completeEdge, DELAY_EDGES_MS, shareArrived, toArrivalDelay } from '../../../analyzer/forecast/arrival.ts'
import { toHistory } from '../../../analyzer/forecast/history.ts'

const MINUTE_MS = 60_000
/** Half of the calls take less than two minutes, all less than five. */
const within = DELAY_EDGES_MS.map(edgeMs => (edgeMs < 120_000 ? 0 : edgeMs < 300_000 ? 50 : 100))
const delay = toArrivalDelay(within) ?? { edgesMs: [], shares: [] }

test('the share that has arrived follows the delays seen, evenly between their edges', () => {
  expect(shareArrived(delay, 120_000)).toBe(0.5)
  expect(shareArrived(delay, 210_000)).toBe(0.75)
  expect(shareArrived(delay, 86_400_000)).toBe(1)
})

test('a few calls say nothing of how late calls are', () => {
  expect(toArrivalDelay(DELAY_EDGES_MS.map(() => 5))).toBeNull()
  expect(toArrivalDelay([])).toBeNull()
})

describe('the newest steps', () => {
  /** 60 units a minute for three hours, of which only what has arrived is there. */
  function seen(perMinute: (minute: number) => number) {
    const minutes = 180
    const values = Float64Array.from({ length: minutes }, (_, minute) => {
      const agoMs = (minutes - minute - 0.5) * MINUTE_MS
      return perMinute(minute) * shareArrived(delay, agoMs)
    })
    const history = toHistory(values, 0, MINUTE_MS, minutes * MINUTE_MS)
    return { history, came: values.reduce((sum, units) => sum + units, 0) }
  }

  test('are raised to what will have come', () => {
    const { history, came } = seen(() => 60)
    const added = completeEdge(history, delay, 0)
    expect(history.total.at(-1)).toBeCloseTo(180 * 60, -1)
    expect(added).toBeCloseTo((history.total.at(-1) ?? 0) - came)
  })

  test('count in the window in which they began', () => {
    const { history } = seen(() => 60)
    const whole = completeEdge({ ...history, total: history.total.slice() }, delay, 0)
    const late = completeEdge(history, delay, 179 * MINUTE_MS)
    expect(late).toBeGreaterThan(0)
    expect(late).toBeLessThan(whole / 2)
  })

  test('of a key that has stopped are not invented', () => {
    const { history } = seen(minute => (minute < 100 ? 60 : 0))
    expect(completeEdge(history, delay, 0)).toBe(0)
  })
})
