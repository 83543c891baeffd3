import { expect, test } from 'vitest'
import { spendsOf } from '../../../analyzer/limit/spending.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { callDimensions } from '../quotas.ts'
import { quota } from './call-records.ts'

const START_MS = Date.UTC(2026, 10, 21, 12)
const HOUR_MS = 3_600_000

test('a call that began before a reset of its subject spends nothing, whatever the window; others spend and tell of it', () => {
  const windows = [
    { kind: 'fixed', everySeconds: 3_600 },
    { kind: 'calendar', every: 'day', timezone: 'UTC' },
    { kind: 'sliding', everySeconds: 3_600 },
    { kind: 'rate', everySeconds: 3_600 },
  ]
  const quotas = windows.map((window, index) => quota({ name: `q${index}`, window }))
  const sinceMs = START_MS + 1_000
  const resets = quotas.map(({ name }) => {
    return { quota: name, subject: { consumer: 'web' }, used: 0, fromMs: sinceMs, untilMs: START_MS + HOUR_MS }
  })
  const policy = createPolicy(quotas, { ...NO_ADJUSTMENTS, resets })
  const spends = (consumer: string, startedAtMs: number) => {
    const call = { dims: callDimensions({ consumer }), startedAtMs, nowMs: START_MS + 5_000, costIn: () => 7 }
    return spendsOf(call, policy, () => true).map(({ spend }) => [spend.sinceMs, spend.amount, spend.startedAtMs])
  }
  expect(spends('web', sinceMs - 1)).toEqual([])
  expect(spends('web', sinceMs)).toEqual(quotas.map(() => [sinceMs, 7, sinceMs]))
  expect(spends('app', sinceMs - 1)).toEqual(quotas.map(() => [0, 7, sinceMs - 1]))
})
