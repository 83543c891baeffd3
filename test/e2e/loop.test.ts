/** The whole loop on a recorded hour: files in, rows, usage, a forecast, a decision a gateway can ask for. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith } from '../servers/describe-with.ts'
import { CODE, CONVERSATION, firstCallMs, hasTraces, MAPPINGS, quotas, TRACES } from './azure.ts'
import { prepareQuotacast, type Quotacast, startQuotacast } from './quotacast.ts'
import { DISTRIBUTED, EMBEDDED, type StartedWorld } from './world.ts'

const HOUR_MS = 3_600_000
/** The window ends this long after the last call, and as many starts later: time to import and ask, then the reset comes. */
const RESET_AFTER_MS = 60_000
const RESET_AFTER_STARTS = 8
const TEST_MS = 600_000
/** Waits may be told in whole seconds, by a clock that is not quite ours. */
const ROUNDING_MS = 1000

interface Series {
  dimensions: Record<string, string>
  points: [number, number][]
}

/** Milliseconds in which this machine starts and stops all roles: a slow one needs longer for everything. */
async function timeOfStart(): Promise<number> {
  const beganMs = performance.now()
  const quotacast = await startQuotacast()
  await quotacast.stop()
  quotacast.remove()
  return performance.now() - beganMs
}

const recordedHour = (startWorld: () => Promise<StartedWorld>) => () => {
  let world: StartedWorld
  let quotacast: Quotacast
  let windowStartMs: number
  let windowSeconds: number
  let lastCallMs: number

  beforeAll(async () => {
    world = await startWorld()
    const startMs = await timeOfStart()
    lastCallMs = Date.now()
    windowStartMs = firstCallMs(lastCallMs)
    const leastMs = lastCallMs - windowStartMs + RESET_AFTER_MS + RESET_AFTER_STARTS * startMs
    windowSeconds = Math.ceil(leastMs / 1000)
    const ours = { mappings: MAPPINGS, quotas: quotas(windowStartMs, windowSeconds) }
    quotacast = await prepareQuotacast({ ...world.config, ...ours })
    await quotacast.start()
    await quotacast.ready()
  }, TEST_MS)
  afterAll(async () => {
    await quotacast?.stop()
    quotacast?.remove()
    await world?.stop()
  }, TEST_MS)

  const importTraces = (...flags: string[]) =>
    quotacast.cli([
      'import',
      ...TRACES.map(trace => trace.file),
      '--mapping',
      'azure-llm',
      '--shift-to',
      new Date(lastCallMs).toISOString(),
      '--json',
      ...flags,
    ])

  const storedCalls = () =>
    quotacast.query<{ consumer: string; calls: number; ids: number; input: number; output: number }>(
      'SELECT consumer, count() AS calls, uniqExact(call_id) AS ids, sum(input_tokens) AS input, sum(output_tokens) AS output FROM calls GROUP BY consumer ORDER BY consumer',
    )
  const wholeHour = [CODE, CONVERSATION].map(trace => ({
    consumer: trace.consumer,
    calls: trace.calls,
    ids: trace.calls,
    input: trace.inputTokens,
    output: trace.outputTokens,
  }))

  const firstResetMs = () => windowStartMs + windowSeconds * 1000
  const check = (body: object = {}) =>
    quotacast.post('limiter', '/v1/check', {
      tenant: 'azure',
      consumer: CONVERSATION.consumer,
      cost: { requests: 1 },
      ...body,
    })
  const auth = () =>
    quotacast.get('limiter', '/v1/auth', {
      'x-quotacast-token': quotacast.token,
      'x-quotacast-tenant': 'azure',
      'x-quotacast-consumer': CONVERSATION.consumer,
      'x-forwarded-uri': '/v1/chat',
    })

  test('both files become rows', { timeout: TEST_MS }, async () => {
    const first = await importTraces()
    expect(first.stderr).toBe('')
    expect(first.code).toBe(0)
    await expect.poll(storedCalls).toEqual(wholeHour)
  })

  test('the tight quota runs out, the roomy one does not', async () => {
    const forecast = async (quota: string) => {
      const { body } = await quotacast.get('analyzer', `/v1/forecasts?quota=${quota}&consumer=${CONVERSATION.consumer}`)
      return body.forecasts[0]
    }
    await expect.poll(async () => (await forecast('roomy-hour'))?.used).toBe(CONVERSATION.calls)
    expect(await forecast('tight-hour')).toMatchObject({
      used: CONVERSATION.calls,
      probability: 1,
      windowStartMs,
    })
    expect((await forecast('roomy-hour')).probability).toBeLessThan(0.1)
  })

  test('a used-up quota denies at every door, and says until when', {
    timeout: TEST_MS,
  }, async () => {
    await expect
      .poll(
        async () =>
          (await check({ dryRun: true })).body.quotas?.find((quota: { quota: string }) => quota.quota === 'tight-hour')
            ?.used,
      )
      .toBe(CONVERSATION.calls)
    const resetAtMs = firstResetMs()
    const askedAtMs = Date.now()
    const denied = await check()
    expect(denied).toMatchObject({ status: 200, body: { allowed: false, binding: 'tight-hour' } })
    expect(denied.body.quotas.find((quota: { quota: string }) => quota.quota === 'tight-hour')).toMatchObject({
      remaining: 0,
      resetAtMs,
      reserved: 0,
    })
    const untilReset = (waitMs: number) => {
      expect(waitMs).toBeLessThanOrEqual(resetAtMs - askedAtMs + ROUNDING_MS)
      expect(waitMs).toBeGreaterThanOrEqual(resetAtMs - Date.now() - ROUNDING_MS)
    }
    untilReset(denied.body.retryAfterMs)

    const refused = await auth()
    expect(refused.status).toBe(429)
    untilReset(1000 * Number(refused.headers.get('retry-after')))
    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    expect(refused.headers.get('ratelimit')).toContain('"tight-hour";r=0')
    expect(refused.body).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      'violated-policies': ['tight-hour'],
    })
  })

  test('both files once more change nothing', { timeout: TEST_MS }, async () => {
    expect((await importTraces()).code).toBe(0)
    expect((await importTraces('--from-start')).code).toBe(0)
    await sleep(2000)
    expect(await storedCalls()).toEqual(wholeHour)
  })

  test('usage by the minute sums to the same counts', async () => {
    const from = new Date(windowStartMs - HOUR_MS).toISOString()
    const to = new Date(windowStartMs + HOUR_MS).toISOString()
    const usage = async (unit: string) => {
      const { body } = await quotacast.get(
        'analyzer',
        `/v1/usage?unit=${unit}&from=${from}&to=${to}&step=1m&by=consumer&tenant=azure`,
      )
      expect(body.stepMs).toBe(60_000)
      return Object.fromEntries(
        body.series.map((series: Series) => [
          series.dimensions.consumer,
          series.points.reduce((sum, [, value]) => sum + value, 0),
        ]),
      )
    }
    for (const [unit, field] of [
      ['requests', 'calls'],
      ['input_tokens', 'inputTokens'],
      ['output_tokens', 'outputTokens'],
    ] as const) {
      expect(await usage(unit)).toEqual({ [CODE.consumer]: CODE[field], [CONVERSATION.consumer]: CONVERSATION[field] })
    }
  })

  test('a used-up quota allows after the reset', { timeout: TEST_MS }, async () => {
    await sleep(Math.max(0, firstResetMs() - Date.now()) + 1000)
    expect((await check()).body.allowed).toBe(true)
    expect((await auth()).status).toBe(200)
  })

  test('the limiter decides, and restarts, with everything else down', { timeout: TEST_MS }, async () => {
    const before = (await check({ dryRun: true })).body.quotas
    await quotacast.stop()
    const alone = await quotacast.serve('limiter')
    try {
      await quotacast.ready(['limiter'])
      expect((await check({ dryRun: true })).body.quotas).toEqual(before)
      expect((await check()).body.allowed).toBe(true)
    } finally {
      await alone.stop()
    }
  })

  test('stopping and starting everything keeps all of it', { timeout: TEST_MS }, async () => {
    await quotacast.start()
    await quotacast.ready()
    expect(await storedCalls()).toEqual(wholeHour)
    const used = (await check({ dryRun: true })).body.quotas.find(
      (quota: { quota: string }) => quota.quota === 'tight-hour',
    ).used
    expect(used).toBeGreaterThanOrEqual(2)
  })
}

describe.runIf(hasTraces)('the recorded hour', () => {
  for (const { name, checks, start } of [EMBEDDED, DISTRIBUTED]) describeWith(checks, name, recordedHour(start))
})
