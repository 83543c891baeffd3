import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAccuracyRoutes } from '../../../analyzer/api/accuracy.ts'
import { writeKept } from '../../../analyzer/tick/kept-forecasts.ts'
import type { SubjectForecast } from '../../../analyzer/tick/subject-forecast.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { resettingQuota } from '../quotas.ts'
import { storeCalls, storeDecisions } from '../store-calls.ts'
import { forecast } from './forecast-fixture.ts'
import { principalOf, testServer } from './server.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const nowMs = Math.floor(Date.now() / DAY_MS) * DAY_MS + 12 * HOUR_MS
const hourEndMs = nowMs - HOUR_MS
const dayEndMs = nowMs - 12 * HOUR_MS

const hourly = resettingQuota({ name: 'hourly', limit: 10 })
const daily = resettingQuota({
  name: 'daily',
  limit: 100,
  unit: 'total_tokens',
  // Begins between two hours, so that its edges are read from the calls.
  window: { kind: 'fixed', everySeconds: 86_400, anchor: new Date(dayEndMs + 90_500).toISOString() },
})
const yearly = resettingQuota({ name: 'yearly', limit: 1_000, window: { kind: 'fixed', everySeconds: 365 * 86_400 } })
const asked = resettingQuota({ name: 'asked', limit: 10, counts: 'checks' })
const refused = resettingQuota({ name: 'refused', limit: 10, match: { consumer: 'refused' } })
const shared = resettingQuota({ name: 'shared', limit: 'upstream', match: { consumer: 'refused', providerKey: 'k' } })
const reset = resettingQuota({ name: 'reset', limit: 10, match: { consumer: 'forgiven' } })

const ofTokens = { unit: 'total_tokens' } as const
const kept = (quota: string, consumer: string, endMs: number, options: Partial<SubjectForecast>) => {
  const windowMs = quota === 'yearly' ? 365 * DAY_MS : quota === 'daily' ? DAY_MS : HOUR_MS
  const windowStartMs = endMs - windowMs
  return {
    mark: '3/12',
    forecast: {
      ...forecast(quota, consumer, 0.5),
      limit: 10,
      used: 1,
      windowStartMs,
      windowEndMs: endMs,
      asOfMs: windowStartMs + windowMs / 4,
      exhaustionAtMs: { p10: null, p50: null, p90: null },
      ...options,
    },
  }
}

let testStore: TestStore
let server: Awaited<ReturnType<typeof testServer>>
beforeAll(async () => {
  testStore = await openTestStore()
  const { store } = testStore
  const deps = {
    client: store.client,
    quotas: () => [hourly, daily, asked, yearly, reset, refused, shared],
    principalOf,
    now: () => nowMs,
  }
  server = await testServer([createAccuracyRoutes(deps)])
  const fromMs = hourEndMs - HOUR_MS
  const at = (minute: number, consumer: string, more = {}) => ({
    startedAtMs: fromMs + minute * MINUTE_MS,
    consumer,
    ...more,
  })
  await storeCalls(store, [
    // The tenth request of the busy one begins in minute 39; a refused one is demand.
    ...Array.from({ length: 9 }, (_, index) => at(5 + 4 * index, 'busy')),
    at(40, 'busy', { outcome: 'limited', total_tokens: null }),
    ...Array.from({ length: 5 }, (_, index) => at(index, 'calm')),
    // Not of this window.
    ...Array.from({ length: 20 }, () => at(-1, 'calm')),
    ...Array.from({ length: 20 }, () => at(60, 'calm')),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 34, 35].map(minute => at(minute, 'forgiven')),
    // Refused elsewhere or under another limit, which is over: what it used leaves enough for what comes.
    ...[1, 2, 3, 4, 31, 32, 33].map(minute => at(minute, 'refused', { provider_key: 'k' })),
    ...[5, 6, 7, 8, 9, 10, 11].map(minute => at(minute, 'refused', { outcome: 'limited' })),
    // 99 tokens in the day's window, and one on either side of it.
    { startedAtMs: dayEndMs + 90_499, consumer: 'edge', total_tokens: 1 },
    { startedAtMs: dayEndMs + 90_500, consumer: 'edge', total_tokens: 1 },
    { startedAtMs: dayEndMs + 90_499 - DAY_MS, consumer: 'edge', total_tokens: 1 },
    { startedAtMs: dayEndMs - 10 * HOUR_MS, consumer: 'edge', total_tokens: 98 },
  ])
  await storeDecisions(store, [
    {
      quota: 'asked',
      subject: { tenant: 'acme', consumer: 'busy' },
      atMs: fromMs + 30 * MINUTE_MS,
      spent: 8,
      deniedCost: 2,
    },
  ])
  const value = {
    quota: 'reset',
    subject: { consumer: 'forgiven', tenant: 'acme' },
    used: 9,
    fromMs,
    untilMs: hourEndMs,
  }
  const change = { change_id: 'r', kind: 'reset', key: 'reset:1', value: JSON.stringify(value) }
  await store.client.insert({
    table: 'audit',
    values: [{ ...change, at: new Date(fromMs + 30 * MINUTE_MS).toISOString().replace('Z', '') }],
    format: 'JSONEachRow',
  })
  await writeKept(store.client, [
    kept('refused', 'refused', hourEndMs, { probability: 0.1, used: 4 }),
    kept('refused', 'refused', hourEndMs, { probability: 0.9, used: 0, asOfMs: fromMs }),
    kept('shared', 'refused', hourEndMs, { probability: 0.9, used: 8 }),
    kept('reset', 'forgiven', hourEndMs, { probability: 0.9, used: 9 }),
    kept('reset', 'forgiven', hourEndMs, {
      ...{ probability: 0.1, used: 1, asOfMs: fromMs + 31.5 * MINUTE_MS },
      usageAtReset: { p10: 2, p50: 4, p90: 6 },
    }),
    kept('hourly', 'busy', hourEndMs, {
      probability: 0.9,
      exhaustionAtMs: { p10: fromMs + 30 * MINUTE_MS, p50: null, p90: null },
    }),
    {
      ...kept('hourly', 'busy', hourEndMs, { probability: 0.7, asOfMs: fromMs + 10 * MINUTE_MS }),
      mark: 'above threshold',
    },
    kept('hourly', 'calm', hourEndMs, { probability: 0.2 }),
    kept('hourly', 'calm', hourEndMs, { probability: 1, used: 10 }),
    // It was reached for a while: a grant was to come.
    kept('hourly', 'calm', hourEndMs, {
      ...{ probability: 1, used: 2, asOfMs: fromMs + 20 * MINUTE_MS },
      exhaustionAtMs: { p10: fromMs, p50: fromMs, p90: fromMs },
    }),
    kept('hourly', 'calm', nowMs - MINUTE_MS, { probability: 0.9 }),
    kept('daily', 'edge', dayEndMs + 90_500, { ...ofTokens, probability: 0.1, limit: 99 }),
    kept('daily', 'edge', dayEndMs + 90_500, { ...ofTokens, probability: 0.1, limit: 100 }),
    // Of a year only a month of calls is kept; 980 were used two days before its end, and 25 since.
    kept('yearly', 'calm', hourEndMs, { limit: 1_005, used: 10, asOfMs: hourEndMs - 90 * DAY_MS }),
    kept('yearly', 'calm', hourEndMs, { limit: 1_005, used: 980, asOfMs: hourEndMs - 2 * DAY_MS }),
    kept('yearly', 'wild', hourEndMs, { limit: 1_005, used: 10, asOfMs: hourEndMs - 90 * DAY_MS }),
    kept('asked', 'busy', hourEndMs, { probability: 0.9 }),
    // Made when the quotas counted something else, or told their subjects apart by something else.
    kept('hourly', 'busy', hourEndMs, { probability: 0, unit: 'bytes' }),
    kept('hourly', 'busy', hourEndMs, { probability: 1, subject: { tenant: 'acme' } }),
    kept('hourly', 'busy', hourEndMs, { probability: 1, subject: { tenant: 'acme', consumer: 'busy', model: 'm' } }),
  ])
})
afterAll(() => testStore?.close())

async function get(query: string, tenant?: string) {
  const headers = tenant === undefined ? {} : { 'x-tenant': tenant }
  const response = await server.inject({ url: `/v1/forecasts/accuracy?${query}`, headers })
  return { status: response.statusCode, body: response.json() }
}
const quotaOf = (body: { quotas: { quota: string; scores: Record<string, unknown> }[] }, name: string) =>
  body.quotas.find(({ quota }) => quota === name)

test('what was kept is scored against what came, by quota and time left', async () => {
  const { body } = await get('')
  const one = quotaOf(body, 'hourly')
  // Of the busy window and the calm one; what was used up already, or has not settled, is left out.
  expect(one).toMatchObject({
    subjects: 2,
    subjectsInAll: 2,
    scores: { forecasts: 2, windows: 2, exhaustedShare: 0.5 },
  })
  expect(one?.scores.brier).toBeCloseTo((0.01 + 0.04) / 2)
  expect(one?.scores.coverage).toMatchObject({ exhaustion: 1 })
  // The alert is the forecast that crossed the threshold; exhaustion came with the refused call.
  expect(one).toMatchObject({ lead: { early: 1 } })
  expect((one as unknown as { lead: { lead: number } }).lead.lead).toBeCloseTo(30.5 / 60, 1)
  expect(body.all.scores).toMatchObject({ forecasts: 12, windows: 9 })
  expect(one).toMatchObject({ byHorizon: [{ leftMsMax: HOUR_MS, scores: { forecasts: 2 } }] })
})

test('the edges of a window are exact to the millisecond', async () => {
  const { body } = await get('quota=daily')
  expect(quotaOf(body, 'daily')?.scores).toMatchObject({ exhaustedShare: 0.5, forecasts: 2 })
  expect(body.quotas).toHaveLength(1)
})

test('a window longer than calls are kept goes on from what was known of it', async () => {
  const { body } = await get('quota=yearly')
  // Nothing can be said of one whose forecasts all were made before the oldest call.
  expect(body.quotas[0].scores).toMatchObject({ forecasts: 2, windows: 1, exhaustedShare: 1 })
})

test('what was refused before a forecast has used nothing, later it is demand', async () => {
  const { body } = await get('quota=refused')
  expect(quotaOf(body, 'refused')?.scores).toMatchObject({ forecasts: 2, windows: 1, exhaustedShare: 0.5 })
  expect(quotaOf(body, 'refused')?.scores.brier).toBeCloseTo(0.01)
})

test('what was used elsewhere counts, as far as the forecast knew of it', async () => {
  const { body } = await get('quota=shared')
  expect(quotaOf(body, 'shared')?.scores).toMatchObject({ forecasts: 1, exhaustedShare: 1 })
})

test('after a reset what it forgave does not count; before it nobody could know', async () => {
  const { body } = await get('quota=reset')
  const scores = quotaOf(body, 'reset')?.scores
  expect(scores).toMatchObject({ forecasts: 2, windows: 2, exhaustedShare: 0.5 })
  expect(scores?.brier).toBeCloseTo(0.01)
  expect(scores?.coverage).toMatchObject({ usage: 0.5 })
})

test('where only checks count, checks say what happened', async () => {
  const { body } = await get('quota=asked')
  expect(quotaOf(body, 'asked')?.scores).toMatchObject({ exhaustedShare: 1 })
})

test('a caller of one tenant sees no other', async () => {
  expect((await get('', 'other')).body).toMatchObject({ quotas: [], all: { scores: null, lead: null } })
  expect((await get('', 'acme')).body.quotas).toHaveLength(7)
  expect((await get('tenant=acme', 'other')).status).toBe(403)
})

test('what cannot be asked is refused', async () => {
  expect((await get('quota=unknown')).status).toBe(404)
  for (const query of ['from=yesterday', 'from=-1h&to=-2h', 'unknown=1'])
    expect((await get(query)).status, query).toBe(400)
})
