import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createUsageRoutes } from '../../../analyzer/api/usage.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { storeCalls } from '../store-calls.ts'
import { principalOf, testServer } from './server.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS + 90_000

let testStore: TestStore
let server: Awaited<ReturnType<typeof testServer>>
beforeAll(async () => {
  testStore = await openTestStore()
  server = await testServer([
    createUsageRoutes({ client: testStore.store.client, labelColumns: ['team'], principalOf, now: () => nowMs }),
  ])
  await storeCalls(testStore.store, [
    { startedAtMs: nowMs - 30_000, consumer: 'a', model: 'large', total_tokens: 10, label_1: 'red' },
    { startedAtMs: nowMs - 20_000, consumer: 'a', model: 'small', total_tokens: 1 },
    { startedAtMs: nowMs - 20_000, consumer: 'a', model: 'small', outcome: 'limited', total_tokens: null },
    { startedAtMs: nowMs - 5 * MINUTE_MS, consumer: 'b', model: 'large', total_tokens: 5 },
    { startedAtMs: nowMs - 5 * MINUTE_MS, consumer: 'b', model: 'large', tenant: 'other', total_tokens: 7 },
  ])
})
afterAll(() => testStore?.close())

async function get(query: string, tenant?: string) {
  const headers = tenant === undefined ? {} : { 'x-tenant': tenant }
  const response = await server.inject({ url: `/v1/usage?${query}`, headers })
  return { status: response.statusCode, body: response.json() }
}

const total = (body: { series: { points: [number, number][] }[] }) =>
  body.series.flatMap(({ points }) => points).reduce((sum, [, units]) => sum + units, 0)

test('the last hour by the minute is what is answered to nobody in particular', async () => {
  const { body } = await get('')
  expect(body).toMatchObject({ unit: 'requests', stepMs: MINUTE_MS })
  expect(body.series).toEqual([
    {
      dimensions: {},
      points: [
        [Math.floor((nowMs - 5 * MINUTE_MS) / MINUTE_MS) * MINUTE_MS, 2],
        [Math.floor((nowMs - 30_000) / MINUTE_MS) * MINUTE_MS, 2],
      ],
    },
  ])
})

test('by dimensions and labels, in the order that was asked for', async () => {
  const { body } = await get('unit=total_tokens&by=model,consumer&step=1h&tenant=acme&from=-2h')
  expect(body.series.map(({ dimensions, points }: never) => [dimensions, total({ series: [{ points }] })])).toEqual([
    [{ model: 'large', consumer: 'a' }, 10],
    [{ model: 'large', consumer: 'b' }, 5],
    [{ model: 'small', consumer: 'a' }, 1],
  ])
  expect((await get('by=team&team=red')).body.series).toMatchObject([{ dimensions: { team: 'red' } }])
})

describe('time', () => {
  test('is rounded outwards to whole steps', async () => {
    const at = new Date(nowMs - 25_000).toISOString()
    expect(total((await get(`from=${at}&to=${at}`)).body)).toBe(2)
    expect(total((await get(`from=${nowMs - 4 * MINUTE_MS}&to=${nowMs}`)).body)).toBe(2)
    expect(
      (await get('step=3d&from=-6d')).body.series[0].points.every(([atMs]: [number]) => atMs % (72 * HOUR_MS) === 0),
    ).toBe(true)
  })

  test('may be as long as the table reaches', async () => {
    expect(total((await get('step=366d&from=0')).body)).toBe(4)
    expect(total((await get('step=366d&from=0&to=2105-01-01T00:00:00Z')).body)).toBe(4)
  })

  test('that makes no sense is refused', async () => {
    for (const query of [
      'step=90s',
      'step=0m',
      'step=x',
      'from=yesterday',
      'from=2026-01-01T00:00:00',
      'from=-1h&to=-2h',
      'step=50000d',
      'step=999999999d',
      'from=2105-06-01T00:00:00Z',
    ]) {
      expect((await get(query)).status, query).toBe(400)
    }
  })
})

test('a caller of one tenant sees no other', async () => {
  expect(total((await get('', 'other')).body)).toBe(1)
  expect((await get('tenant=acme', 'other')).status).toBe(403)
})

test('unknown dimensions and parameters are refused', async () => {
  for (const query of ['by=colour', 'colour=red', 'unit=beans']) expect((await get(query)).status, query).toBe(400)
})

test('values are only ever values, whatever they look like', async () => {
  const odd = `it's "a" \\ \t tab, {consumer:String} \n'; DROP TABLE calls --`
  await storeCalls(testStore.store, [{ startedAtMs: nowMs - 10_000, consumer: odd }])
  const { body } = await get(`consumer=${encodeURIComponent(odd)}&by=consumer`)
  expect(body.series).toMatchObject([{ dimensions: { consumer: odd } }])
})

test('a label that is named like a parameter does not take its place', async () => {
  const labelled = await testServer([
    createUsageRoutes({ client: testStore.store.client, labelColumns: ['unit'], principalOf, now: () => nowMs }),
  ])
  const response = await labelled.inject('/v1/usage?unit=total_tokens&by=unit&tenant=other')
  expect(response.json()).toMatchObject({ unit: 'total_tokens', series: [{ dimensions: { unit: '' } }] })
  await labelled.close()
})
