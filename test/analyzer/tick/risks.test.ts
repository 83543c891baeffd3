import { expect, test } from 'vitest'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { risksOf } from '../../../analyzer/tick/risks.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'

const quota = (name: string, exhaustionProbability: number, kind = 'fixed') =>
  ({ name, unit: 'requests', window: { kind }, alerts: { used: [], exhaustionProbability } }) as unknown as Quota
const forecast = (one: Partial<SubjectForecast>, exhaustedAtMs: number | null = null) =>
  ({
    ...{ quota: 'a', limit: 9, asOfMs: 5, probability: 0.1, confidence: 'normal' },
    exhaustionAtMs: { p10: exhaustedAtMs, p50: exhaustedAtMs, p90: exhaustedAtMs },
    ...one,
  }) as SubjectForecast

test('each quota has its own threshold; what is meant to deny, and what nothing is known of, is at no risk', () => {
  const forecasts = [
    forecast({ probability: 0.75 }),
    forecast({ probability: 0.65 }),
    forecast({ probability: 0.99, confidence: 'none' }),
    forecast({ probability: null }),
    forecast({ quota: 'b', probability: 0.65 }),
    forecast({ quota: 'b', probability: 0.9 }, 5),
    forecast({ quota: 'gone' }, 5),
    forecast({ quota: 'rate' }, 5),
    forecast({ limit: 0, probability: 1 }, 5),
  ]
  expect(
    risksOf([quota('a', 0.7), quota('b', 0.6), quota('new', 0.7, 'sliding'), quota('rate', 0.7, 'rate')], forecasts),
  ).toEqual([
    { quota: 'a', probability: 0.75, atRisk: 1, usedUp: 0 },
    { quota: 'b', probability: 1, atRisk: 1, usedUp: 1 },
    { quota: 'new', probability: 0, atRisk: 0, usedUp: 0 },
  ])
})
