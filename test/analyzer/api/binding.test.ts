import { expect, test } from 'vitest'
import { bindingOf } from '../../../analyzer/api/binding.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../analyzer/tick/ticker.ts'
import { testQuota } from '../quotas.ts'
import { forecast, NOW_MS } from './forecast-fixture.ts'

const policy = createPolicy([
  testQuota({ name: 'own' }),
  testQuota({ name: 'tenant', per: ['tenant'] }),
  testQuota({ name: 'all', per: [] }),
  testQuota({ name: 'large', per: ['tenant', 'consumer'], match: { model: 'large' } }),
  testQuota({ name: 'by-model', per: ['tenant', 'model'] }),
  testQuota({ name: 'others', per: [], match: { tenant: 'globex' } }),
  testQuota({ name: 'watched', enforcement: 'shadow' }),
])
/** Runs out with this chance, evenly over time, by then. */
const made = (
  quota: string,
  subject: Record<string, string>,
  probability: number,
  leftMs = 1_000_000,
): SubjectForecast => ({
  ...forecast(quota, 'web', probability),
  ...{ subject, windowEndMs: NOW_MS + leftMs, asOfMs: NOW_MS },
  crossing: { shares: [1], probabilities: [probability] },
})
const web = { tenant: 'acme', consumer: 'web' }
const own = made('own', web, 0.4)
const forecasts = [
  own,
  made('tenant', { tenant: 'acme' }, 0.9, 9_000_000),
  made('tenant', { tenant: 'globex' }, 1),
  { ...made('all', {}, 1, 90_000_000), tenant: null },
  made('large', web, 0.2, 10_000),
  made('by-model', { tenant: 'acme', model: 'large' }, 1, 1),
  made('others', {}, 1, 1),
  made('watched', web, 1, 1),
]
const snapshot: Snapshot = {
  ...EMPTY_SNAPSHOT,
  forecasts,
  find: (quota, subject) =>
    forecasts.find(one => one.quota === quota && Object.values(one.subject).join() === subject.join()),
}
const seen = { snapshot, policy, own: null }
const round = (binding: { quota: string; probability: number }[]) =>
  binding.map(({ quota, probability }) => [quota, Math.round(10 * probability) / 10])

test('every quota that covers the subject takes part, also one of its tenant, one of all, one of some of its calls', () => {
  expect(round(bindingOf(own, seen))).toEqual([
    ['tenant', 0.5],
    ['own', 0.2],
    ['large', 0.2],
    ['all', 0.1],
  ])
})

test('a caller of one tenant is not told of a bucket that others share', () => {
  const names = bindingOf(own, { ...seen, own: 'acme' }).map(({ quota }) => quota)
  expect(names).toEqual(['tenant', 'own', 'large'])
})

test('of a tenant only what is not told apart any further', () => {
  const [, tenant = own] = forecasts
  expect(round(bindingOf(tenant, seen))).toEqual([
    ['tenant', 0.9],
    ['all', 0.1],
  ])
})

test('where no other covers it nothing is told', () => {
  const alone = createPolicy([testQuota({ name: 'own' }), testQuota({ name: 'watched', enforcement: 'shadow' })])
  expect(bindingOf(own, { ...seen, policy: alone })).toEqual([])
})
