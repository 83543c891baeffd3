import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { claimOf } from '../../../analyzer/limit/claiming.ts'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { createLimiter } from '../../../analyzer/limit/limiter.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { type Settler, startSettler } from '../../../analyzer/limit/settler.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { subjectKey } from '../../../analyzer/policy/subject.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { callDimensions } from '../quotas.ts'
import { appendCalls, callRecord, openLog, quota, silent } from './call-records.ts'

const decisionIds = createDecisionIds(['k'.repeat(32)])
const options = { kind: 'embedded', flushMs: 5, bucketsMax: 10_000, requestsMax: 1_000 } as const
const HOUR_MS = 3_600_000
/** So that no test crosses a reset. */
const yearly = (fields: Parameters<typeof quota>[0] = {}, labels: readonly string[] = []) =>
  quota({ window: { kind: 'calendar', every: 'year', timezone: 'UTC' }, ...fields }, labels)

let dir: string
let log: CallLog
let store: LimitStore
let settler: Settler
let quotas: Quota[]
let withoutId: string[]
let callIdBytesMax: number

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  callIdBytesMax = 2 ** 22
  quotas = [yearly()]
  withoutId = []
  await open()
})
afterEach(async () => {
  await close()
  await rm(dir, { recursive: true, force: true })
})

async function open(logDir = 'log') {
  log = await openLog(join(dir, logDir))
  store = await openLimitStore(options, { dir: join(dir, 'limits'), log: silent })
  settler = startSettler({
    log,
    store,
    policy: () => createPolicy(quotas),
    labelColumns: ['team'],
    decisionIds,
    callIdBytesMax,
    onRecordWithoutId: gateway => withoutId.push(gateway),
    onApplied: () => undefined,
    logger: silent,
  })
}
async function close() {
  await settler.close()
  await store.close()
  await log.close()
}
const bucket = (one: Quota, subject: string[]) => ({
  series: one.series,
  subject: subjectKey(subject),
  ...bucketAt(one.window, Date.now()),
})
async function used(one = quotas[0] ?? yearly(), subject = ['web']) {
  const dryRun = request([claim({ ...bucket(one, subject), cost: 0 })], { isDryRun: true })
  return (await store.decide(dryRun)).standings[0]?.used
}
async function check(cost: number, requestId: string | null = null) {
  const { reference } = await store.decide(
    request([claim({ ...bucket(quotas[0] ?? yearly(), ['web']), limit: 1_000, cost })], { requestId }),
  )
  return reference === null ? null : decisionIds.encode(reference)
}
const isSettled = () => expect.poll(() => settler.lagEntries()).toBe(0)

test('records settle their checks, by decision id and by request id, and spend on their own', async () => {
  const decisionId = await check(50)
  await check(50, 'r1')
  const forged = decisionId?.replace(/.$/, '~') ?? null
  await appendCalls(log, [
    callRecord({ decisionId, totalTokens: 7 }),
    callRecord({ requestId: 'r1', totalTokens: 8 }),
    callRecord({ gateway: 'nginx', totalTokens: 100 }),
    callRecord({ decisionId: forged, gateway: 'envoy', totalTokens: 1_000 }),
  ])
  await isSettled()
  expect(await used()).toBe(1_115)
  expect(settler.counts()).toEqual({ linked: 2, unlinked: 2, repeated: 0, duplicate: 0, unreadable: 0 })
  expect(withoutId).toEqual(['nginx', 'envoy'])
})

test('records of two consumers who chose the same request id settle each the check of its own', async () => {
  const limiter = createLimiter({
    ...{
      policy: () => createPolicy(quotas),
      store,
      asOfMs: Date.now,
      nameOf: String,
      onCheck: () => undefined,
      logger: silent,
    },
    summing: { count: () => undefined, handOn: async () => undefined, close: async () => undefined },
  })
  const consumers = ['web', 'app']
  for (const consumer of consumers) {
    const call = { dims: callDimensions({ consumer, gateway: 'kong' }), cost: { total_tokens: 50 } }
    await limiter.check(limiter.prepare({ ...call, clientIp: null, requestId: 'mine', isDryRun: false }))
  }
  await appendCalls(
    log,
    consumers.map(consumer => callRecord({ consumer, requestId: 'mine', totalTokens: 60 })),
  )
  await isSettled()
  expect(await Promise.all(consumers.map(consumer => used(quotas[0], [consumer])))).toEqual([60, 60])
  expect(settler.counts()).toMatchObject({ linked: 2, unlinked: 0 })
})

test('a record with unknown or refused cost releases its check', async () => {
  const ids = [await check(50), await check(50), await check(50)]
  await appendCalls(log, [
    callRecord({ decisionId: ids[0] ?? null, totalTokens: null }),
    callRecord({ decisionId: ids[1] ?? null, outcome: 'limited', totalTokens: 40 }),
  ])
  await isSettled()
  expect(await used()).toBe(50)
})

test('a call that is sent twice is applied once, whatever the clocks of gateways say', async () => {
  await close()
  // Room for some 700.
  callIdBytesMax = 2 ** 15
  await open('log-2')
  const startedAtMs = [Date.now(), Date.now() + 24 * HOUR_MS, Date.UTC(1970, 0, 2)]
  let arrivedAtMs = Date.now() - 60_000
  const some = (count: number) => {
    arrivedAtMs += 1_000
    return startedAtMs.flatMap(atMs =>
      Array.from({ length: count }, () => callRecord({ startedAtMs: atMs, arrivedAtMs })),
    )
  }
  for (let round = 0; round < 4; round++) await appendCalls(log, some(100))
  const calls = some(10)
  await appendCalls(log, calls)
  await isSettled()
  await appendCalls(log, calls)
  await isSettled()
  expect(settler.counts().duplicate).toBe(30)
})

test('a call that is sent twice is applied once, over a restart and over a log that was wiped', async () => {
  const calls = Array.from({ length: 700 }, () => callRecord({ totalTokens: 3 }))
  await appendCalls(log, [...calls, ...calls.slice(0, 100)])
  await isSettled()
  expect(await used()).toBe(2_100)
  await close()
  await open()
  await appendCalls(log, calls)
  await isSettled()
  expect(await used()).toBe(2_100)
  expect(settler.counts()).toMatchObject({ unlinked: 0, duplicate: 700 })
})

test('what is no call record is stepped over', async () => {
  await log.append('calls', [
    { key: 'x', value: 'no JSON' },
    { key: 'x', value: '{"callId":1}' },
  ])
  await appendCalls(log, [callRecord({ totalTokens: 5 })])
  await isSettled()
  expect(await used()).toBe(5)
  expect(settler.counts().unreadable).toBe(2)
})

test('without a reset, records spend in the slot they started in, or now; what is too old for either spends nothing', async () => {
  const minute = (kind: string) => quota({ name: kind, limit: 1_000, window: { kind, everySeconds: 60 } })
  const [sliding, rate] = [minute('sliding'), minute('rate')]
  quotas = [sliding, rate, quota({ name: 'held', unit: 'concurrent_requests', window: undefined })]
  const startedAtMs = Date.now()
  await appendCalls(log, [
    callRecord({ startedAtMs, totalTokens: 900 }),
    callRecord({ startedAtMs: startedAtMs - 65_000, totalTokens: 50 }),
    callRecord({ startedAtMs: startedAtMs - 2 * HOUR_MS, totalTokens: 5_000 }),
    callRecord({ startedAtMs: startedAtMs + 2 * HOUR_MS, totalTokens: 7 }),
  ])
  await isSettled()
  const standingOf = async (one: Quota) => {
    const allowance = { limit: one.limit, elsewhere: 0, sinceMs: 0, deniedUntilMs: null }
    const asking = claimOf(one, 'web', { cost: 0, allowance, nowMs: store.nowMs() })
    return (await store.decide(request([asking], { isDryRun: true }))).standings[0]
  }
  expect((await standingOf(sliding))?.used).toBe(900)
  // 957 of which some have drained since.
  const level = (await standingOf(rate))?.used ?? 0
  expect(level).toBeGreaterThan(957 - (1_000 / 60_000) * (Date.now() - startedAtMs + 1))
  expect(level).toBeLessThanOrEqual(957)
})

test('late records spend in the window they started in if it is still open', async () => {
  const day = quota({ name: 'day', window: { kind: 'fixed', everySeconds: 86_400 } })
  // Of any day, the day before is in it, too.
  const anchor = new Date(Date.now() - 10 * 86_400_000).toISOString()
  const month = quota({ name: 'month', window: { kind: 'fixed', everySeconds: 30 * 86_400, anchor } })
  quotas = [day, month]
  await close()
  await open()
  const earlier = bucketAt(day.window, Date.now()).startMs - HOUR_MS
  await appendCalls(log, [callRecord({ startedAtMs: earlier, totalTokens: 5 })])
  await isSettled()
  expect([await used(day), await used(month)]).toEqual([0, 5])
})

test('records dated far ahead open no window: that is compared with the store when it comes', async () => {
  quotas = [quota()]
  const times = [1, 2, 400 * 24].map(hours => Date.now() + hours * 2 * HOUR_MS)
  await appendCalls(
    log,
    times.map(startedAtMs => callRecord({ startedAtMs })),
  )
  await isSettled()
  expect(store.bucketCount()).toBe(0)
})

test('what a quota covers and by whom it is counted decide what a record spends', async () => {
  const team = yearly({ name: 'team', per: ['team'], match: { model: 'gpt-*' }, unit: 'requests' }, ['team'])
  const checks = yearly({ name: 'checks', counts: 'checks' })
  const records = yearly({ name: 'records', counts: 'records' })
  quotas = [team, checks, records]
  await close()
  await open()
  const { reference } = await store.decide(
    request([claim({ ...bucket(checks, ['web']), cost: 50 }), claim({ ...bucket(records, ['web']), isSpent: false })]),
  )
  const decisionId = reference === null ? null : decisionIds.encode(reference)
  await appendCalls(log, [
    callRecord({ model: 'gpt-5', labels: { team: 'search' }, totalTokens: 9, decisionId }),
    callRecord({ model: 'claude', labels: { team: 'search' }, totalTokens: 9 }),
  ])
  await isSettled()
  expect([await used(team, ['search']), await used(checks), await used(records)]).toEqual([1, 50, 18])
})

test('counters are as old as the log lets them be', async () => {
  await appendCalls(log, [callRecord()])
  await isSettled()
  await expect.poll(() => Date.now() - settler.asOfMs(Date.now())).toBeLessThan(1_500)
})

test('records that were trimmed before they were applied have every window compared again', async () => {
  await appendCalls(log, [callRecord({ totalTokens: 5 })])
  await isSettled()
  const { id } = await store.beginComparison()
  const { startMs, endMs, series } = bucket(quotas[0] ?? yearly(), [])
  const truth = { series, startMs, endMs, isWhole: true, mayLower: true, isRecordsOnly: false, resets: new Map() }
  await store.correct(id, [{ ...truth, costs: [{ subject: 'web', gateway: 'kong', amount: 5 }] }])
  expect((await store.beginComparison()).windows[0]?.comparedTo).not.toBeNull()
  await settler.close()
  const [partition] = await log.partitions('calls')
  if (partition === undefined) throw new Error('expected a partition')
  await appendCalls(log, [callRecord({ totalTokens: 6 })])
  // As after a retention that is over: the log begins beyond the position.
  const trimmed = { ...log, ...trimmedTo(log, partition.endOffset + 1) }
  const later = startSettler({
    log: trimmed,
    store,
    policy: () => createPolicy(quotas),
    labelColumns: [],
    decisionIds,
    callIdBytesMax: 2 ** 22,
    onRecordWithoutId: () => undefined,
    onApplied: () => undefined,
    logger: silent,
  })
  await expect.poll(async () => (await store.beginComparison()).windows[0]?.comparedTo).toBeNull()
  await later.close()
})

/** The same log, as a reader sees it whose position was trimmed away. */
function trimmedTo(whole: CallLog, beginOffset: number): Pick<CallLog, 'subscribe'> {
  return {
    subscribe: (topics, name, reader) =>
      whole.subscribe(topics, name, {
        ...reader,
        assigned: partition => reader.assigned({ ...partition, beginOffset }),
      }),
  }
}
