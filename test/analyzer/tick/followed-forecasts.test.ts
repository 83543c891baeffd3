import { expect, test } from 'vitest'
import type { Allowed } from '../../../analyzer/tick/allowed.ts'
import { createFollowedForecasts } from '../../../analyzer/tick/followed-forecasts.ts'
import { plainForecast, type SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'
import { resettingQuota } from '../quotas.ts'

const quota = resettingQuota({ name: 'daily', unit: 'total_tokens' })
const limits = (...steps: [fromMs: number, limit: number][]): Allowed => ({
  ...{
    steps: steps.map(([fromMs, limit]) => ({ fromMs, limit })),
    forgiven: 0,
    elsewhere: 0,
    sinceMs: 0,
    deniedUntilMs: null,
  },
})

const known: SubjectForecast = {
  ...{ quota: 'daily', subject: { tenant: 'acme', consumer: 'app' }, tenant: 'acme', consumer: 'app' },
  ...{ unit: 'total_tokens', limit: 500, limitChanges: [{ fromMs: 30, limit: 700 }], upstream: null, used: 12.5 },
  ...{ windowStartMs: 1, windowEndMs: 99, asOfMs: 20, isStored: false, probability: 0.25, burnRate: 0.1 },
  exhaustionAtMs: { p10: 40, p50: 60, p90: null },
  usageAtReset: { p10: 100, p50: 200, p90: 300.5 },
  headroom: { p10: 199.5, p50: 300, p90: 400 },
  confidence: 'normal',
  why: 'From the recent rate.',
  crossing: { shares: [0.5, 1], probabilities: [0.1, 0.25] },
}
const unknown: SubjectForecast = {
  ...known,
  ...{ subject: { tenant: 'acme', consumer: '' }, consumer: null, limit: null, limitChanges: [], crossing: null },
  ...{ probability: null, burnRate: null, usageAtReset: null, headroom: null, confidence: 'none', why: 'Nothing.' },
  exhaustionAtMs: { p10: null, p50: null, p90: null },
}

test('a forecast is what it was made as', () => {
  const forecasts = createFollowedForecasts(quota)
  const made = { state: null, dueAtMs: 25 }
  const steps = limits([20, 500], [30, 700])
  forecasts.set('a', ['acme', 'app'], { ...made, forecast: known, allowed: steps })
  forecasts.set('b', ['acme', ''], { ...made, forecast: unknown, allowed: limits() })
  const [a, b] = forecasts.values()
  expect(a && plainForecast(a)).toEqual(known)
  expect(b && plainForecast(b)).toEqual(unknown)
  expect(forecasts.get('a')).toMatchObject({ dueAtMs: 25, allowed: steps })
  expect(forecasts.get('c')).toBeUndefined()
  // Most forecasts have not run out at more than one instant.
  const atTheEnd = { ...known, crossing: { shares: [1], probabilities: [0.25] } }
  forecasts.set('a', ['acme', 'app'], { ...made, forecast: atTheEnd, allowed: steps })
  expect(a && plainForecast(a)).toEqual(atTheEnd)
})

test('many have numbers of their own, also when some have gone', () => {
  const forecasts = createFollowedForecasts(quota)
  const set = (index: number, used: number) =>
    forecasts.set(`${index}`, ['acme', `${index}`], {
      ...{ forecast: { ...known, used }, state: null, allowed: limits([20, 500]), dueAtMs: 25 },
    })
  for (let index = 0; index < 100; index++) set(index, index)
  const gone = forecasts.get('7')
  forecasts.delete('7')
  set(100, 100)
  set(50, 5_000)
  expect([...forecasts.values()].map(({ used }) => used)).toEqual(
    Array.from({ length: 101 }, (_, index) => (index === 50 ? 5_000 : index)).filter(used => used !== 7),
  )
  expect(gone).toMatchObject({ used: 7, consumer: '7' })
})
