import { expect, test } from 'vitest'
import { risksOf } from '../../../analyzer/tick/risks.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'

const quota = (name: string, exhaustionProbability: number) => ({ name, alerts: { used: [], exhaustionProbability } })
const forecast = (one: Partial<SubjectForecast>) =>
  ({ quota: 'a', used: 0, limit: 10, probability: 0.1, confidence: 'normal', ...one }) as SubjectForecast

test('each quota has its own threshold, and one of which nothing is known is at no risk', () => {
  const forecasts = [
    forecast({ probability: 0.75 }),
    forecast({ probability: 0.65 }),
    forecast({ probability: 0.99, confidence: 'none' }),
    forecast({ probability: null }),
    forecast({ quota: 'b', probability: 0.65 }),
    forecast({ quota: 'b', probability: 0.9, used: 10 }),
    forecast({ quota: 'b', limit: null, used: 10, probability: null }),
    forecast({ quota: 'gone', used: 10 }),
  ]
  expect(risksOf([quota('a', 0.7), quota('b', 0.6), quota('new', 0.7)], forecasts)).toEqual([
    { quota: 'a', probability: 0.75, atRisk: 1, usedUp: 0 },
    { quota: 'b', probability: 1, atRisk: 1, usedUp: 1 },
    { quota: 'new', probability: 0, atRisk: 0, usedUp: 0 },
  ])
})
