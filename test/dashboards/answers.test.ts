/** What panels answer of a store whose sums are known, wherever its server lives. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeKept } from '../../analyzer/tick/kept-forecasts.ts'
import type { SubjectForecast } from '../../analyzer/tick/subject-forecast.ts'
import type { Board } from '../../dashboards/board.ts'
import { cost } from '../../dashboards/cost.ts'
import { exhaustion } from '../../dashboards/exhaustion.ts'
import { keys } from '../../dashboards/keys.ts'
import { limits } from '../../dashboards/limits.ts'
import { overview } from '../../dashboards/overview.ts'
import { forecast } from '../analyzer/api/forecast-fixture.ts'
import { storeCalls, storeDecisions } from '../analyzer/store-calls.ts'
import { openTestStore, type TestStore } from '../store-fixture.ts'
import { expand, type Values } from './expand.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MICROS = 1_000_000
const nowMs = Date.now()
const thisHourMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS
const monthMs = Date.UTC(new Date(nowMs).getUTCFullYear(), new Date(nowMs).getUTCMonth())
/** Of a tenant's budget: so much of its currency is spent, so much it may spend, so much will be left. */
const SPENT = 12
const BUDGET = 10
const LEFT = -5

function budget(quota: string, days: number): SubjectForecast {
  const of = (amount: number) => ({ p10: amount * MICROS, p50: amount * MICROS, p90: amount * MICROS })
  return {
    ...{ ...forecast(quota, '', 0.9), subject: { tenant: 'acme' }, unit: 'cost' },
    ...{ used: SPENT * MICROS, limit: BUDGET * MICROS, usageAtReset: of(BUDGET - LEFT), headroom: of(LEFT) },
    ...{ asOfMs: nowMs - 1_000, windowStartMs: nowMs - DAY_MS, windowEndMs: nowMs + (days - 1) * DAY_MS },
    exhaustionAtMs: { p10: nowMs + HOUR_MS, p50: nowMs + HOUR_MS, p90: null },
  }
}

let store: TestStore
beforeAll(async () => {
  store = await openTestStore()
  const kept = [budget('month', 30), budget('year', 365)].map(one => ({ mark: '1/12', forecast: one }))
  await writeKept(store.store.client, kept)
  const subject = { tenant: 'acme' }
  const sum = { subject, atMs: nowMs, unit: 'cost', allowed: 1, spent: 2 * MICROS, denied: 1, deniedCost: 3 * MICROS }
  await storeDecisions(store.store, [{ ...sum, quota: 'month' }])
  const hours = Array.from({ length: 48 }, (_, index) => thisHourMs - (index + 6) * HOUR_MS)
  const calls = [
    ...hours.map(startedAtMs => ({ startedAtMs, consumer: 'silent' })),
    ...[monthMs - 1, monthMs].map(startedAtMs => ({ startedAtMs, consumer: 'other', cost_micros: MICROS })),
  ]
  await storeCalls(
    store.store,
    calls.map(call => ({ ...call, arrivedAtMs: nowMs - HOUR_MS })),
  )
})
afterAll(() => store?.close())

/** The rows of the panel of that title, as a server answers that lives in the time zone. */
async function rowsOf(
  board: Board,
  title: string,
  { variables = {}, timezone = 'UTC', fromMs = nowMs - DAY_MS, toMs = nowMs }: Asked = {},
): Promise<Record<string, unknown>[]> {
  const panel = board.rows.flatMap(({ panels }) => panels).find(one => one.title === title)
  const [query] = panel?.queries ?? []
  if (query?.source !== 'clickhouse') throw new Error(`${board.title} has no statement ${title}`)
  const all = Object.fromEntries(board.variables.map(({ name }) => [name, 'all' as const]))
  const range = { fromMs, toMs, stepSeconds: 3_600 }
  const sql = expand(query.sql, { ...range, variables: { ...all, ...variables } })
  return store.rows(`${sql} SETTINGS session_timezone = '${timezone}', output_format_json_quote_64bit_integers = 0`)
}
interface Asked {
  variables?: Record<string, Values>
  timezone?: string
  fromMs?: number
  toMs?: number
}

describe('costs are told in the currency', () => {
  test('of what runs out next, and of the chosen subject', async () => {
    const [first] = await rowsOf(exhaustion, 'What runs out next')
    expect(first).toMatchObject({ unit: 'cost', 'share used': SPENT / BUDGET, headroom: LEFT })
    const [{ id } = {}] = await store.rows<{ id: string }>(
      "SELECT toString(cityHash64(quota, subject)) AS id FROM forecasts WHERE quota = 'month'",
    )
    const points = await rowsOf(exhaustion, 'Used and forecast against the limit', {
      variables: { subject: [String(id)] },
    })
    expect(points.map(({ used, limit, p50 }) => [used, limit, p50])).toEqual([
      [SPENT, BUDGET, null],
      [SPENT, BUDGET, SPENT],
      [null, BUDGET, BUDGET - LEFT],
    ])
  })

  test('of the quotas of a key', async () => {
    const [first] = await rowsOf(keys, 'Its quotas', { variables: { tenant: ['acme'], consumer: ['silent'] } })
    expect(first).toMatchObject({ used: SPENT, limit: BUDGET, headroom: LEFT, unit: 'cost' })
  })

  test('of what was denied, and of what was too much', async () => {
    const [denied] = await rowsOf(limits, 'Denials by quota and subject')
    expect(denied).toMatchObject({ 'units denied': 3, 'units spent': 2, unit: 'cost' })
    const [over] = await rowsOf(limits, 'Overshoot')
    expect(over).toMatchObject({ units: SPENT - BUDGET, unit: 'cost' })
  })

  test('of budgets', async () => {
    const [first] = await rowsOf(cost, 'Budgets, and what they will be at their reset')
    expect(first).toMatchObject({ spent: SPENT, budget: BUDGET, p50: BUDGET - LEFT })
  })
})

test('the month has the budgets of a month, and none of a year', async () => {
  const last = (await rowsOf(cost, 'The month, and how it goes on')).at(-1)
  expect(last).toMatchObject({ budget: BUDGET, p50: BUDGET - LEFT })
})

test('a key that has fallen silent makes no calls beside what is usual', async () => {
  const variables = { tenant: ['acme'], consumer: ['silent'] }
  const hours = await rowsOf(keys, 'Calls an hour, and what is usual', { variables })
  expect(hours.at(-1)).toMatchObject({ calls: 0, p10: 1, p90: 1 })
  expect(hours.map(({ calls }) => calls).slice(-6)).toEqual([1, 0, 0, 0, 0, 0])
})

test.each(['Asia/Kolkata', 'America/Los_Angeles'])(
  'hours and months are those of UTC on a server in %s',
  async timezone => {
    const fromMs = thisHourMs - 20 * HOUR_MS + 45 * 60_000
    const variables = { consumer: ['silent'] }
    for (const zone of ['UTC', timezone]) {
      expect(await rowsOf(overview, 'Calls', { fromMs, timezone: zone, variables })).toEqual([{ Calls: 15 }])
      expect(await rowsOf(cost, 'Month to date', { timezone: zone })).toEqual([{ 'month to date': 1 }])
    }
  },
)

test.each([
  ['the hour', 0],
  ['half past, as in India', 30],
  ['a quarter past, as in Nepal', 15],
])('a day that begins at %s has 24 hours, and the next one begins after them', async (_when, minutes) => {
  const beginMs = thisHourMs - 53 * HOUR_MS + minutes * 60_000
  for (const fromMs of [beginMs, beginMs + DAY_MS]) {
    const day = { fromMs, toMs: fromMs + DAY_MS - 1, variables: { consumer: ['silent'] } }
    expect(await rowsOf(overview, 'Calls', day)).toEqual([{ Calls: 24 }])
  }
})

test('of budgets whose month begins on another day, what is spent counts from then on', async () => {
  const billed = budget('billed', 30)
  const window = { windowStartMs: nowMs - 29 * DAY_MS, windowEndMs: nowMs + DAY_MS }
  const forecast = { ...billed, ...window, tenant: 'billed', subject: { tenant: 'billed' } }
  await writeKept(store.store.client, [{ mark: '1/12', forecast }])
  const calls = [30, 28, 27].map(daysAgo => ({ startedAtMs: nowMs - daysAgo * DAY_MS, cost_micros: MICROS }))
  await storeCalls(
    store.store,
    calls.map(call => ({ ...call, tenant: 'billed', arrivedAtMs: nowMs - HOUR_MS })),
  )
  const rows = await rowsOf(cost, 'The month, and how it goes on', { variables: { tenant: ['billed'] } })
  expect(rows.map(({ spent }) => spent)).toEqual([1, 2, null, null])
})
