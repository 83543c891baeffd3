import { describe, expect, test } from 'vitest'
import { toForecastAnswer } from '../../../analyzer/api/forecast-schema.ts'
import { createForecastRoutes } from '../../../analyzer/api/forecasts.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../analyzer/tick/ticker.ts'
import { testQuota } from '../quotas.ts'
import { forecast, NOW_MS } from './forecast-fixture.ts'
import { principalOf, testServer } from './server.ts'

const snapshot: Snapshot = {
  ...EMPTY_SNAPSHOT,
  asOfMs: NOW_MS - 2_000,
  newestCallAtMs: NOW_MS - 7_000,
  forecasts: [
    forecast('b', 'x', 0.9),
    forecast('a', 'z', 0.1),
    forecast('a', 'y', 0.6),
    forecast('a', 'x', null),
    forecast('a', 'x', 0.8, 'other'),
  ],
}
const policy = createPolicy([testQuota({ name: 'b', enforcement: 'pace' })], {
  ...NO_ADJUSTMENTS,
  paces: [{ quota: 'b', subject: { tenant: 'acme', consumer: 'y' }, amount: 7, untilMs: NOW_MS + 1 }],
  blocks: [{ what: 'consumer', value: 'z', untilMs: NOW_MS + 1 }],
})
const deps = { snapshot: () => snapshot, policy: () => policy, principalOf, now: () => NOW_MS }
const server = await testServer([createForecastRoutes(deps)])

async function get(url: string, tenant?: string) {
  const response = await server.inject({ url, headers: tenant === undefined ? {} : { 'x-tenant': tenant } })
  return { status: response.statusCode, body: response.json() }
}
const names = (forecasts: { quota: string; subject: Record<string, string> }[]) =>
  forecasts.map(({ quota, subject }) => `${quota} ${subject.tenant} ${subject.consumer}`)

test('a forecast is answered whole', async () => {
  const { body } = await get('/v1/forecasts?quota=b')
  const { tenant: _tenant, consumer: _consumer, crossing: _crossing, ...rest } = forecast('b', 'x', 0.9)
  const answered = { ...rest, enforcement: 'pace', dataAgeMs: 7_000, blocked: null, pace: null, bindsFirst: [] }
  expect(body).toEqual({ asOfMs: NOW_MS - 2_000, forecasts: [answered], nextCursor: null })
})

test('whoever is slowed down is said to be', async () => {
  const { pace } = toForecastAnswer(forecast('b', 'y', 0.9), { snapshot, policy, nowMs: NOW_MS, own: null })
  expect(pace).toEqual({ amount: 7, periodMs: 150_000, untilMs: NOW_MS + 1 })
})

test('whoever is blocked is said to be', async () => {
  const { body } = await get('/v1/forecasts?consumer=z')
  expect(body.forecasts).toMatchObject([{ blocked: { what: 'consumer', value: 'z', untilMs: NOW_MS + 1 } }])
})

describe('filters', () => {
  test('by quota, consumer, tenant and risk', async () => {
    expect(names((await get('/v1/forecasts?quota=a&tenant=acme')).body.forecasts)).toEqual([
      'a acme x',
      'a acme y',
      'a acme z',
    ])
    expect(names((await get('/v1/forecasts?consumer=y')).body.forecasts)).toEqual(['a acme y'])
    expect(names((await get('/v1/forecasts?atRisk=0.6')).body.forecasts)).toEqual(['a acme y', 'a other x', 'b acme x'])
    // Of whom nothing can be said, no risk is known either.
    expect((await get('/v1/forecasts?atRisk=0')).body.forecasts).toHaveLength(4)
  })

  test('a caller of one tenant sees no other', async () => {
    expect(names((await get('/v1/forecasts', 'other')).body.forecasts)).toEqual(['a other x'])
    expect((await get('/v1/forecasts?tenant=acme', 'other')).status).toBe(403)
  })
})

test('pages hold every forecast once', async () => {
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { body } = await get(`/v1/forecasts?limit=2${cursor && `&cursor=${cursor}`}`)
    expect(body.forecasts.length).toBeLessThanOrEqual(2)
    seen.push(...names(body.forecasts))
    cursor = body.nextCursor
  }
  expect(seen).toEqual(['a acme x', 'a acme y', 'a acme z', 'a other x', 'b acme x'])
})

test('those of one tick are put in order once, however many pages they fill', async () => {
  let reads = 0
  const forecasts = Array.from({ length: 100 }, (_, index) => {
    const { subject, ...rest } = forecast('a', `app-${index}`, 0.5)
    return Object.defineProperty({ ...rest, subject }, 'subject', {
      enumerable: true,
      get: () => {
        reads += 1
        return subject
      },
    })
  })
  const many = { ...snapshot, forecasts }
  const own = await testServer([createForecastRoutes({ ...deps, snapshot: () => many })])
  const first = (await own.inject({ url: '/v1/forecasts?limit=2' })).json()
  expect(reads).toBeGreaterThanOrEqual(100)
  reads = 0
  const second = (await own.inject({ url: `/v1/forecasts?limit=2&cursor=${first.nextCursor}` })).json()
  expect(names([...first.forecasts, ...second.forecasts])).toEqual(
    ['app-0', 'app-1', 'app-10', 'app-11'].map(consumer => `a acme ${consumer}`),
  )
  expect(reads).toBeLessThan(20)
  await own.close()
})

test('what cannot be asked is refused', async () => {
  for (const query of ['cursor=nonsense', 'limit=0', 'limit=1001', 'atRisk=2', 'unknown=1']) {
    expect((await get(`/v1/forecasts?${query}`)).status, query).toBe(400)
  }
})
