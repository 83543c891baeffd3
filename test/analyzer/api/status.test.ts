import { expect, test } from 'vitest'
import { createStatusRoutes } from '../../../analyzer/api/status.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../analyzer/tick/ticker.ts'
import { forecast, NOW_MS } from './forecast-fixture.ts'
import { principalOf, testServer } from './server.ts'

const snapshot: Snapshot = {
  ...EMPTY_SNAPSHOT,
  asOfMs: NOW_MS - 2_000,
  newestCallAtMs: NOW_MS - 7_000,
  forecasts: [
    forecast('b', 'x', 0.9),
    forecast('a', 'z', 0.1),
    forecast('a', 'x', null),
    forecast('a', 'x', 0.8, 'other'),
  ],
  subjectsCut: 12,
  forecastsMade: 3,
  quotasFailed: [{ quota: 'acme-only', reason: 'timeout' }],
}

async function status(published: Snapshot, tenant?: string) {
  const policy = createPolicy([])
  const server = await testServer([
    createStatusRoutes({ snapshot: () => published, policy: () => policy, principalOf, now: () => NOW_MS }),
  ])
  const response = await server.inject({
    url: '/v1/status',
    headers: tenant === undefined ? {} : { 'x-tenant': tenant },
  })
  return response.json()
}

test('those most at risk come first, and those of whom nothing can be said do not', async () => {
  const body = await status(snapshot)
  expect(body).toMatchObject({ role: 'analyzer', dataAgeMs: 7_000, subjects: 4, subjectsCut: 12, skipped: null })
  expect(body.atRisk.map(({ quota, subject }: ReturnType<typeof forecast>) => [quota, subject.tenant])).toEqual([
    ['b', 'acme'],
    ['a', 'other'],
    ['a', 'acme'],
  ])
})

test('a caller of one tenant learns nothing of others, not even how many there are', async () => {
  expect(await status(snapshot, 'other')).toMatchObject({
    subjects: 1,
    subjectsCut: null,
    forecastsMade: null,
    quotasFailed: [],
    atRisk: [{ quota: 'a', subject: { tenant: 'other' } }],
  })
})

test('before the first tick there is nothing to say', async () => {
  expect(await status(EMPTY_SNAPSHOT)).toMatchObject({ asOfMs: null, dataAgeMs: null, subjects: 0, atRisk: [] })
})
