import { expect, test } from 'vitest'
import { toHistory, totalBetween } from '../../../analyzer/forecast/history.ts'
import { RECENT, recentFeatures } from '../../../analyzer/forecast/recent.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Half-way through a day's window, by hours of use. */
function recentOf(hours: readonly number[]): Record<string, number> {
  const nowMs = hours.length * HOUR_MS
  const history = toHistory(hours, 0, HOUR_MS, nowMs)
  const window = { windowStartMs: nowMs - DAY_MS / 2, windowEndMs: nowMs + DAY_MS / 2 }
  const rateOfAll = totalBetween(history, 0, nowMs) / nowMs
  const values = recentFeatures({ history, nowMs, ...window, beginMs: 0, rateOfAll })
  expect(values).toHaveLength(RECENT.length)
  return Object.fromEntries(RECENT.map((name, index) => [name, values[index] ?? Number.NaN]))
}

test('steady use is at the mean in every piece, as far back as it is known', () => {
  const recent = recentOf(new Array(3.5 * 24).fill(7))
  for (const [name, value] of Object.entries(recent)) {
    const isUnknown = name.startsWith('period back') && Number(name.split(' ')[2]) > 3
    if (isUnknown) expect([name, value]).toEqual([name, Number.NaN])
    else expect([name, Math.abs(value) < 1e-9]).toEqual([name, true])
  }
})

test('pieces are counted from now back, and what comes is what came at the same time of earlier days', () => {
  // Used in the first six hours of each day only; it is noon.
  const recent = recentOf(Array.from({ length: 10 * 24 + 12 }, (_, hour) => (hour % 24 < 6 ? 100 : 0)))
  const above = (name: string) => (recent[name] ?? 0) > 0
  expect([1, 6, 7, 12, 13].map(hour => above(`hour back ${hour}`))).toEqual([false, false, true, true, false])
  expect([1, 6, 7, 12].map(step => above(`step back ${step}`))).toEqual([false, false, true, true])
  expect([1, 2, 3, 4, 5].map(eighth => above(`eighth back ${eighth}`))).toEqual([false, false, true, true, false])
  // From noon on, sixths of a day: the fourth begins at midnight.
  expect([1, 2, 3, 4, 5].map(sixth => above(`coming sixth ${sixth}`))).toEqual([false, false, false, true, true])
})

test('a window with twice the use of earlier ones says so', () => {
  const hours = [...new Array(10 * 24).fill(10), ...new Array(12).fill(20)]
  expect(recentOf(hours)['used to earlier used']).toBeCloseTo(Math.log(2), 1)
})
