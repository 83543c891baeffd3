import { describe, expect, test } from 'vitest'
import { createNextRoutes } from '../../../analyzer/api/next.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../analyzer/tick/ticker.ts'
import { testQuota } from '../quotas.ts'
import { forecast, NOW_MS } from './forecast-fixture.ts'
import { principalOf, testServer } from './server.ts'

const policy = createPolicy([
  testQuota({ name: 'a', window: { kind: 'rate', everySeconds: 60 } }),
  testQuota({ name: 'b' }),
])
const at = (p50: number) => ({ p10: p50 - 5, p50, p90: null })
const snapshot: Snapshot = {
  ...EMPTY_SNAPSHOT,
  asOfMs: NOW_MS - 2_000,
  forecasts: [
    forecast('b', 'unlikely', 0.4),
    { ...forecast('a', 'later', 0.99), exhaustionAtMs: at(NOW_MS + 900) },
    { ...forecast('a', 'soon', 0.6), exhaustionAtMs: at(NOW_MS + 100), windowEndMs: NOW_MS + 1 },
    { ...forecast('a', 'gone', 1), used: 100, exhaustionAtMs: { p10: 1, p50: 1, p90: 1 } },
    // Of a rate with a burst, more than its limit may be used.
    { ...forecast('a', 'unknown', null), used: 101 },
    forecast('b', 'foreign', 0.45, 'other'),
  ],
}
const server = await testServer([
  createNextRoutes({ snapshot: () => snapshot, policy: () => policy, principalOf, now: () => NOW_MS }),
])

async function next(query = '', tenant?: string) {
  const answer = await server.inject({
    url: `/v1/forecasts/next${query}`,
    headers: tenant === undefined ? {} : { 'x-tenant': tenant },
  })
  return { status: answer.statusCode, body: answer.json() }
}
const consumers = ({ forecasts }: { forecasts: { subject: { consumer: string } }[] }) =>
  forecasts.map(({ subject }) => subject.consumer)

describe('the order', () => {
  test('is what is used up, what likely runs out by its time, then the rest by probability', async () => {
    const { body } = await next()
    expect(consumers(body)).toEqual(['gone', 'soon', 'later', 'foreign', 'unlikely', 'unknown'])
    expect(body).toMatchObject({ asOfMs: NOW_MS - 2_000, total: 6, exhausted: 1, likely: 2, quotas: ['a', 'b'] })
    expect(body.resetting).toEqual(['b'])
  })

  test('may be the share that is used, or the reset', async () => {
    expect(consumers((await next('?order=used&limit=2')).body)).toEqual(['unknown', 'gone'])
    expect(consumers((await next('?order=reset&limit=1')).body)).toEqual(['soon'])
  })
})

test('what other analyzers follow is among it', async () => {
  const shared: Snapshot = {
    ...snapshot,
    forecasts: [...snapshot.forecasts],
    others: [
      { ...forecast('c', 'elsewhere', 1), exhaustionAtMs: { p10: 1, p50: 1, p90: 1 }, isStored: true },
      { ...forecast('c', 'calm', 0.41, 'other'), isStored: true },
    ],
  }
  const routes = createNextRoutes({ snapshot: () => shared, policy: () => policy, principalOf, now: () => NOW_MS })
  const both = await testServer([routes])
  const ask = async (tenant?: string) =>
    (
      await both.inject({ url: '/v1/forecasts/next', headers: tenant === undefined ? {} : { 'x-tenant': tenant } })
    ).json()
  expect(consumers(await ask()).slice(0, 2)).toEqual(['gone', 'elsewhere'])
  expect(await ask()).toMatchObject({ total: 8, exhausted: 2, likely: 2, quotas: ['a', 'b', 'c'] })
  expect(consumers(await ask('other'))).toEqual(['foreign', 'calm'])
})

test('any part of the list is answered, with the size of the whole', async () => {
  const { body } = await next('?offset=2&limit=2')
  expect(consumers(body)).toEqual(['later', 'foreign'])
  expect(body.total).toBe(6)
  expect((await next('?offset=100')).body).toMatchObject({ total: 6, forecasts: [] })
})

test('is narrowed by quota, risk, and text in any name', async () => {
  expect(consumers((await next('?quota=b')).body)).toEqual(['foreign', 'unlikely'])
  expect(consumers((await next('?atRisk=0.5')).body)).toEqual(['gone', 'soon', 'later'])
  expect(consumers((await next('?search=OTHER')).body)).toEqual(['foreign'])
  expect((await next('?search=nobody')).body).toMatchObject({ total: 0, quotas: ['a', 'b'] })
})

test('a caller of one tenant sees no other, not even in the counts', async () => {
  expect((await next('', 'other')).body).toMatchObject({ total: 1, exhausted: 0, likely: 0, quotas: ['b'] })
  expect((await next('?tenant=acme', 'other')).status).toBe(403)
})
