import { expect, test } from 'vitest'
import type { Alert } from '../../../analyzer/alert/alert.ts'
import { ALERTS_MAX, type AlertForecast, createJudge } from '../../../analyzer/alert/judging.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { testQuota } from '../quotas.ts'

const nowMs = Date.UTC(2026, 0, 5, 12)

const forecast = (consumer: string, used: number): AlertForecast => ({
  ...{ quota: 'q', subject: { consumer }, tenant: null, consumer, unit: 'requests', used, limit: 100, probability: 0 },
  exhaustionAtMs: used < 100 ? { p10: null, p50: null, p90: null } : { p10: nowMs, p50: nowMs, p90: nowMs },
  ...{ confidence: 'normal', why: '' },
  ...{ windowStartMs: nowMs, windowEndMs: nowMs + 3_600_000, asOfMs: nowMs },
})

test('no more alerts begin than are held, and those that are held rise', () => {
  const judge = createJudge()
  const policy = createPolicy([testQuota({ name: 'q', per: ['consumer'], limit: 100, alerts: { used: [0.5] } })])
  const held = new Map<string, Alert>()
  const judged = (forecasts: AlertForecast[]) => {
    const find = (_quota: string, [consumer]: readonly string[]) => forecasts.find(one => one.consumer === consumer)
    return judge({ held, policy, forecasts, find, isOwn: () => true, names: ['ops'], channelsOf: () => ['ops'], nowMs })
  }
  const half = Array.from({ length: ALERTS_MAX + 5 }, (_, index) => forecast(`c${index}`, 50))
  for (const { key, alert } of judged(half)) if (alert) held.set(key, alert)
  expect(held.size).toBe(ALERTS_MAX)
  const rising = judged([forecast('c0', 100), forecast('new', 100)])
  expect(rising.map(({ alert }) => [alert?.consumer, alert?.level])).toEqual([['c0', 1]])
})
