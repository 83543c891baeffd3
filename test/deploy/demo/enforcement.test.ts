import { describe, expect, test } from 'vitest'
import { parseQuota } from '../../../analyzer/policy/quota.ts'
import type { Outcome } from '../../../collector/call-record.ts'
import { type DecisionSums, parseDecisionSums } from '../../../collector/log/decision-sums.ts'
import { createPrices } from '../../../collector/prices.ts'
import { loadConfig } from '../../../deploy/config.ts'
import { callsOfMinute, MINUTE_MS, type Planned } from '../../../deploy/demo/calls.ts'
import { createEnforcement } from '../../../deploy/demo/enforcement.ts'
import { testQuota } from '../../analyzer/quotas.ts'

const NOW_MS = Date.UTC(2026, 10, 20, 15)
const SUNDAY_MS = Date.UTC(2026, 10, 22, 19, 30)
const DAY_MS = 24 * 60 * MINUTE_MS
const prices = createPrices([])

const hourly = (options: Record<string, unknown> = {}) => testQuota({ per: ['tenant'], limit: 2, ...options })

/** So many calls of one consumer, a minute apart, whose gateway asks. */
function callsAt(fromMs: number, count: number): Planned[] {
  const [first] = callsOfMinute(NOW_MS - 60 * MINUTE_MS, NOW_MS).filter(({ habit }) => habit.asks === 'check')
  if (first === undefined) throw new Error('that minute has no calls')
  return Array.from({ length: count }, (_, index) => ({
    ...first,
    call: { ...first.call, outcome: 'ok', status: 200, startedAtMs: fromMs + index * MINUTE_MS },
  }))
}
const sumsOf = (entries: readonly { value: string }[]): DecisionSums[] =>
  entries.map(({ value }) => {
    const sums = parseDecisionSums(value)
    if (sums === null) throw new Error(`no sums: ${value}`)
    return sums
  })

describe('what the quotas of the demo would have decided', () => {
  test('refuses what a quota has no room for, until its window ends', () => {
    const { decide, takeSums } = createEnforcement([hourly()], prices, NOW_MS)
    const outcomes = callsAt(NOW_MS - 60 * MINUTE_MS, 62).map(planned => decide(planned).outcome)
    expect(outcomes.filter(outcome => outcome === 'ok')).toHaveLength(4)
    expect(outcomes.slice(0, 3)).toEqual(['ok', 'ok', 'limited'])
    expect(outcomes.slice(60)).toEqual(['ok', 'ok'])
    const sums = sumsOf(takeSums())
    expect(sums.reduce((sum, { allowed }) => sum + allowed, 0)).toBe(4)
    expect(sums.reduce((sum, { deniedCost }) => sum + deniedCost, 0)).toBe(58)
    expect(takeSums()).toEqual([])
  })

  /** When calls of the last day of a demo that is first started at `originMs` ended so. */
  async function lastDayOf(originMs: number, outcome: Outcome): Promise<number[]> {
    const file = new URL('../../../deploy/demo/demo.yaml', import.meta.url).pathname
    const { quotas, labels } = await loadConfig({ file, overrides: [], environment: {} })
    const parsed = quotas.map(quota => parseQuota(quota, labels))
    const { decide } = createEnforcement(parsed, prices, originMs)
    const foundMs: number[] = []
    for (let minuteMs = originMs - DAY_MS; minuteMs < originMs; minuteMs += MINUTE_MS) {
      for (const planned of callsOfMinute(minuteMs, originMs)) {
        if (decide(planned).outcome === outcome) foundMs.push(planned.call.startedAtMs)
      }
    }
    return foundMs
  }

  test("refuses somebody in every quarter of an hour of the demo's last day", async () => {
    const refusedAtMs = await lastDayOf(NOW_MS, 'limited')
    const gaps = refusedAtMs.map((atMs, index) => (refusedAtMs[index + 1] ?? NOW_MS) - atMs)
    expect(refusedAtMs.length).toBeGreaterThan(100)
    // With a minute or two for the time that filling the demo takes.
    expect(Math.max(...gaps)).toBeLessThan(13 * MINUTE_MS)
  })

  test('lets calls come to the provider whose quota is gone, on Sundays, too', async () => {
    const exhaustedAtMs = await lastDayOf(SUNDAY_MS, 'exhausted')
    const hours = new Set(exhaustedAtMs.map(atMs => Math.floor(atMs / (60 * MINUTE_MS))))
    expect(hours.size).toBe(8)
  })

  test('of a shadow quota denies nothing', () => {
    const { decide } = createEnforcement([hourly({ enforcement: 'shadow' })], prices, NOW_MS)
    expect(callsAt(NOW_MS - 60 * MINUTE_MS, 9).every(planned => decide(planned).outcome === 'ok')).toBe(true)
  })

  test('is summed by the minute, older than two days by the hour, under the same ids each time', () => {
    const entries = (fromMs: number) => {
      const { decide, takeSums } = createEnforcement([hourly()], prices, NOW_MS)
      for (const planned of callsAt(fromMs, 5)) decide(planned)
      return takeSums()
    }
    expect(entries(NOW_MS - 60 * MINUTE_MS)).toHaveLength(5)
    const [old, ...others] = entries(NOW_MS - 3 * DAY_MS)
    expect(others).toEqual([])
    expect(sumsOf(old ? [old] : [])).toMatchObject([{ allowed: 2, denied: 3, minuteMs: NOW_MS - 3 * DAY_MS }])
    expect(entries(NOW_MS - 3 * DAY_MS)).toEqual([old])
  })
})
