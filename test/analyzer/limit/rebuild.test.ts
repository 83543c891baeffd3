import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimOf } from '../../../analyzer/limit/claiming.ts'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { startDecisionSumming } from '../../../analyzer/limit/decision-summing.ts'
import { noDimensions } from '../../../analyzer/limit/http.ts'
import type { LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { createLimiter, type Limiter } from '../../../analyzer/limit/limiter.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { type RebuilderDeps, startRebuilder } from '../../../analyzer/limit/rebuild.ts'
import { startReconciler } from '../../../analyzer/limit/reconcile.ts'
import { type Settler, startSettler } from '../../../analyzer/limit/settler.ts'
import { type Adjustments, createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { readDecisions } from '../../../analyzer/usage/decisions.ts'
import { isRecordedUpTo, type RecordedQuery, readRecorded, recordedSinceMs } from '../../../analyzer/usage/recorded.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { createWriter, type Writer } from '../../../collector/store/writer.ts'
import { request } from '../../contract/limit-store.ts'
import { whatIsMissing } from '../../servers/missing.ts'
import { type RedisServer, redisChecks, startRedis } from '../../servers/redis.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { appendCalls, callRecord, openLog, quota, silent } from './call-records.ts'

const missing = whatIsMissing(redisChecks)
if (missing !== null) process.stderr.write(`Left out: counters that Redis has lost. ${missing}\n`)

const DAY_MS = 86_400_000
/** No test crosses a reset of it, and the store keeps all of it. */
const window = {
  ...{ kind: 'fixed', everySeconds: (7 * DAY_MS) / 1000 },
  anchor: new Date(Date.now() - 3 * DAY_MS).toISOString(),
}
const sliding = { kind: 'sliding', everySeconds: 86_400 }
const QUOTAS = [
  quota({ name: 'checks', unit: 'requests', window, counts: 'checks' }),
  quota({ name: 'slides', unit: 'requests', window: sliding, counts: 'checks' }),
  quota({ name: 'both', window }),
  quota({ name: 'records', window, counts: 'records' }),
].map(one => ({ ...one, limit: 1e9 }))
const ESTIMATE = 100
/** A loss that is told twice has a second pass begin within half a second. */
const QUIET_MS = 2_000

/** A rebuilder at work on counters that know nothing, and what consumers have used by them. */
async function openRebuilding({
  nowMs = 0,
  now = () => nowMs,
  quotas,
  adjustments = NO_ADJUSTMENTS,
  store: known = {},
  ...given
}: Pick<RebuilderDeps, 'readDecisions'> &
  Partial<Pick<RebuilderDeps, 'recorded' | 'passesAfterMs'>> & {
    nowMs?: number
    now?: () => number
    quotas: Quota[]
    adjustments?: Adjustments
    store?: Partial<LimitStore>
  }) {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir, log: silent, now })
  const rebuilder = startRebuilder({
    store: { ...store, ...known },
    policy: () => createPolicy(quotas, adjustments),
    recorded: { costs: async () => [] },
    handOn: async () => undefined,
    logger: silent,
    ...given,
  })
  const ask = async (one: Quota, { consumer = 'web', sinceMs = 0, cost = 0, isDryRun = true }) => {
    const allowance = { limit: 1e9, elsewhere: 0, sinceMs, deniedUntilMs: null }
    const asking = claimOf(one, consumer, { cost, allowance, nowMs: now() })
    return (await store.decide(request([asking], { isDryRun }))).standings[0]?.used ?? 0
  }
  return {
    used: (one: Quota, consumer = 'web', sinceMs = 0) => ask(one, { consumer, sinceMs }),
    spend: (one: Quota, cost: number) => ask(one, { cost, isDryRun: false }),
    async close() {
      await rebuilder.close()
      await store.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

test('of a window that is shorter than a minute nothing is said by the sums of minutes', async () => {
  const nowMs = Date.UTC(2026, 10, 21, 12) + 5_000
  const fields = { unit: 'requests', counts: 'checks' }
  const quotas = [
    { kind: 'fixed', everySeconds: 10 },
    { kind: 'sliding', everySeconds: 10 },
    { kind: 'fixed', everySeconds: 60 },
  ].map((one, index) => quota({ ...fields, name: `q${index}`, window: one }))
  const { used, close } = await openRebuilding({
    ...{ nowMs, quotas },
    readDecisions: async ({ quota: name }, handle) =>
      handle({
        ...{ quota: name ?? '', subject: '{"consumer":"web"}', unit: 'requests' },
        ...{ middleMs: nowMs, allowed: 60, spent: 60, deniedCost: 0 },
      }),
  })
  await expect.poll(() => Promise.all(quotas.map(one => used(one)))).toEqual([0, 0, 60])
  await close()
})

test('of counters that were new when we came, only calls of the minutes before are said: later ones are counted', async () => {
  const startMs = Date.UTC(2026, 10, 21, 12)
  const nowMs = startMs + 10 * 60_000 + 20_000
  const quotas = [quota({ window: { kind: 'fixed', everySeconds: 3_600 } })]
  const asked: RecordedQuery[] = []
  const { used, close } = await openRebuilding({
    ...{ nowMs, quotas },
    recorded: {
      async costs(query) {
        asked.push(query)
        return []
      },
    },
    readDecisions: async (_ask, handle) => {
      for (const [minutes, spent] of Object.entries({ 9: 1, 10: 10, 11: 100 })) {
        const middleMs = startMs + (Number(minutes) + 0.5) * 60_000
        handle({
          ...{ quota: 'q', subject: '{"consumer":"web"}', unit: quotas[0]?.unit ?? '' },
          ...{ middleMs, allowed: 1, spent, deniedCost: 0 },
        })
      }
    },
  })
  const one = quotas[0] as Quota
  await expect.poll(() => used(one)).toBe(1)
  expect(asked.map(({ endMs }) => endMs)).toEqual([startMs + 10 * 60_000, startMs + 10 * 60_000])
  await close()
})

/** What the store holds of calls that cost one each, as it is asked. */
const costsOf =
  (startsMs: readonly number[]): RebuilderDeps['recorded']['costs'] =>
  async ({ startMs, endMs, stepMs }) => {
    const asked = startsMs.filter(atMs => atMs >= startMs && atMs < endMs)
    const bySteps = Map.groupBy(asked, atMs => startMs + Math.floor((atMs - startMs) / stepMs) * stepMs)
    return Array.from(bySteps, ([at, { length: amount }]) => ({ subject: ['web'], gateway: '', startMs: at, amount }))
  }

test('of a sliding window, what is asked since we came is not said once more in another slot', async () => {
  const minuteMs = Date.UTC(2026, 10, 21, 12)
  const one = quota({ unit: 'requests', counts: 'checks', window: { kind: 'sliding', everySeconds: 600 } })
  const sums = { unit: 'requests', allowed: 0, deniedCost: 0 }
  let nowMs = minuteMs + 5_000
  const asked: number[] = []
  const { used, spend, close } = await openRebuilding({
    ...{ quotas: [one], now: () => nowMs, passesAfterMs: [0, 600] },
    readDecisions: async (_ask, handle) => {
      asked.push(nowMs)
      const of = (middleMs: number, spent: number) =>
        handle({ quota: 'q', subject: '{"consumer":"web"}', ...sums, middleMs, spent })
      of(minuteMs - 30_000, 2)
      of(minuteMs + 30_000, 7)
    },
  })
  await expect.poll(() => used(one)).toBe(2)
  await spend(one, 7)
  nowMs += 40_000
  await expect.poll(() => asked.at(-1)).toBe(nowMs)
  expect(await used(one)).toBe(9)
  await close()
})

test('nor what was asked before a loss in each pass anew, nor what is recorded in other slots', async () => {
  const minuteMs = Date.UTC(2026, 10, 21, 12)
  const window = { kind: 'sliding', everySeconds: 300 }
  const checks = quota({ name: 'checks', unit: 'requests', counts: 'checks', window })
  const both = quota({ name: 'both', unit: 'requests', window })
  const callsMs = Array.from({ length: 60 }, (_, second) => minuteMs - 60_000 + second * 1_000)
  let nowMs = callsMs[0] ?? 0
  let losses = 0
  const asked: number[] = []
  const { used, spend, close } = await openRebuilding({
    ...{ quotas: [checks, both], now: () => nowMs, passesAfterMs: [0, 600] },
    store: { losses: () => losses, isJoined: () => true },
    recorded: { costs: costsOf(callsMs) },
    readDecisions: async ({ quota: name }, handle) => {
      asked.push(nowMs)
      const sums = { quota: name ?? '', subject: '{"consumer":"web"}', unit: 'requests', deniedCost: 0 }
      handle({ ...sums, middleMs: minuteMs - 30_000, allowed: 60, spent: 60 })
      if (name === 'checks') handle({ ...sums, middleMs: minuteMs + 30_000, allowed: 5, spent: 5 })
    },
  })
  // What records have spent comes back by comparing.
  for (const atMs of callsMs) {
    nowMs = atMs
    await spend(both, 1)
  }
  nowMs = minuteMs + 5_000
  await sleep(QUIET_MS)
  losses = 1
  await expect.poll(() => used(checks)).toBeGreaterThan(0)
  nowMs += 40_000
  await expect.poll(() => asked.filter(atMs => atMs === nowMs)).toHaveLength(2)
  await sleep(QUIET_MS)
  expect(await Promise.all([used(checks), used(both)])).toEqual([60, 60])
  await close()
})

test('of a subject that was reset, only the minutes that began later are said', async () => {
  const sinceMs = Date.UTC(2026, 10, 21, 12, 10) + 20_000
  const nowMs = sinceMs + 10 * 60_000
  const one = quota({ unit: 'requests', counts: 'checks', window: { kind: 'fixed', everySeconds: 3_600 } })
  const reset = { quota: 'q', subject: { consumer: 'web' }, used: 0, fromMs: sinceMs, untilMs: nowMs + 60_000 }
  const { used, close } = await openRebuilding({
    ...{ nowMs, quotas: [one], adjustments: { ...NO_ADJUSTMENTS, resets: [reset] } },
    readDecisions: async (_ask, handle) => {
      for (const [minutes, spent] of Object.entries({ 0: 1, 1: 10, 2: 100 })) {
        const sums = { middleMs: sinceMs + 10_000 + (Number(minutes) - 1) * 60_000, allowed: 1, spent, deniedCost: 0 }
        for (const consumer of ['web', 'app'])
          handle({ quota: 'q', subject: JSON.stringify({ consumer }), unit: 'requests', ...sums })
      }
    },
  })
  await expect.poll(() => Promise.all([used(one, 'web', sinceMs), used(one, 'app')])).toEqual([100, 111])
  await close()
})

test('a record that is stored between two looks at the records raises nothing that nobody spent', async () => {
  const startMs = Date.UTC(2026, 10, 21, 12)
  const nowMs = startMs + 10 * 60_000
  const one = quota({ window: { kind: 'fixed', everySeconds: 3_600 } })
  const sums = { unit: one.unit, middleMs: nowMs - 30_000, allowed: 4, spent: 4 * ESTIMATE, deniedCost: 0 }
  let looks = 0
  const { used, close } = await openRebuilding({
    ...{ nowMs, quotas: [one] },
    recorded: {
      async costs({ unit }) {
        looks += 1
        const amount = unit === 'requests' ? looks : (looks * ESTIMATE) / 2
        return [{ subject: ['web'], gateway: '', startMs, amount }]
      },
    },
    readDecisions: async (_ask, handle) => handle({ quota: 'q', subject: '{"consumer":"web"}', ...sums }),
  })
  await expect.poll(() => used(one)).toBeGreaterThan(0)
  // Two of four calls are recorded by now.
  expect(await used(one)).toBeLessThanOrEqual(2 * ESTIMATE + (2 * ESTIMATE) / 2)
  await close()
})

test('that all is rebuilt is noted after the last pass, unless something was lost meanwhile', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir, log: silent })
  let passes = 0
  const noted: number[] = []
  const rebuilder = startRebuilder({
    store: { ...store, rebuilt: async () => void noted.push(passes) },
    policy: () => createPolicy([], NO_ADJUSTMENTS),
    recorded: { costs: async () => [] },
    readDecisions: async () => undefined,
    async handOn() {
      passes += 1
      if (passes === 2) await store.forgetComparisons()
    },
    logger: silent,
    passesAfterMs: [0, 10],
  })
  await expect.poll(() => noted).toEqual([4])
  await rebuilder.close()
  await store.close()
  await rm(dir, { recursive: true, force: true })
})

test('who stops waits for the quota that is being read, and not for all others', async () => {
  let asked = 0
  const noted: string[] = []
  const rebuilding = await openRebuilding({
    ...{ now: Date.now, quotas: Array.from({ length: 50 }, (_, number) => quota({ name: `q${number}`, window })) },
    store: { rebuilt: async () => void noted.push('rebuilt') },
    passesAfterMs: [0],
    async readDecisions() {
      asked += 1
      await sleep(20)
    },
  })
  await expect.poll(() => asked).toBeGreaterThan(0)
  await rebuilding.close()
  expect(asked).toBeLessThan(50)
  expect(noted).toEqual([])
})

describe.skipIf(missing !== null)('counters that Redis has lost', () => {
  let server: RedisServer
  let opened: TestStore
  let dir: string
  let log: CallLog
  let writer: Writer
  let world: Awaited<ReturnType<typeof openWorld>>
  let prefixes = 0
  let adjustments = NO_ADJUSTMENTS
  let askedMs = 0

  beforeAll(async () => {
    server = await startRedis('snapshots')
    opened = await openTestStore()
  })
  afterAll(async () => {
    await opened?.close()
    await server?.stop()
  })
  beforeEach(async () => {
    for (const table of ['calls', 'decisions']) {
      await opened.store.client.command({ query: `TRUNCATE TABLE ${table}` })
    }
    dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    log = await openLog(join(dir, 'log'))
    writer = createWriter({ log, store: opened.store, logger: silent, labelColumns: [], flushMs: 10 })
    adjustments = NO_ADJUSTMENTS
    world = await openWorld()
  })
  afterEach(async () => {
    await world.close()
    await writer.close()
    await log.close()
    await rm(dir, { recursive: true, force: true })
  })

  const openCounters = (keyPrefix: string) =>
    openLimitStore(
      { kind: 'redis', url: server.url, db: 0, keyPrefix, bucketsMax: 10_000, requestsMax: 1_000 },
      { dir: '', log: silent, deadlineMs: 10_000 },
    )

  async function openWorld(keyPrefix = `lost-${++prefixes}:`) {
    const store = await openCounters(keyPrefix)
    const { client } = opened.store
    const decisionIds = createDecisionIds(['k'.repeat(32)])
    const policy = () => createPolicy(QUOTAS, adjustments)
    const settler = startSettler({
      ...{ log, store, policy, decisionIds, labelColumns: [], callIdBytesMax: 2 ** 22, logger: silent },
      onRecordWithoutId: () => undefined,
      onApplied: () => undefined,
    })
    const recorded = {
      costs: (query: RecordedQuery) => readRecorded(client, query),
      isUpTo: (position: Parameters<typeof isRecordedUpTo>[1]) => isRecordedUpTo(client, position),
      keptSinceMs: recordedSinceMs,
    }
    // Only a loss makes it compare again.
    const common = { log, store, policy, recorded, logger: silent }
    const reconciler = startReconciler({ ...common, everyMs: 3_600_000, insertMsMax: 50 })
    const summing = startDecisionSumming({ log, logger: silent })
    const rebuilder = startRebuilder({
      ...common,
      readDecisions: (ask, handle) => {
        askedMs = performance.now()
        return readDecisions(client, ask, handle)
      },
      handOn: summing.handOn,
    })
    const limiter = createLimiter({
      ...{
        policy,
        store,
        summing,
        logger: silent,
        asOfMs: (nowMs: number) => nowMs,
        nameOf: String,
        onCheck: () => undefined,
      },
    })
    return {
      ...{ keyPrefix, limiter, decisionIds, settler, summing },
      async close() {
        await Promise.all([rebuilder.close(), reconciler.close(), settler.close()])
        await summing.close()
        await store.close()
      },
    }
  }

  const askOf = (limiter: Limiter, cost: number, { requests = 1, requestId = null as string | null } = {}) =>
    limiter.prepare({
      dims: { ...noDimensions(), tenant: 'acme', consumer: 'web', gateway: 'kong' },
      cost: { requests, total_tokens: cost },
      ...{ clientIp: null, requestId, isDryRun: false },
    })
  const used = async () => (await world.limiter.look(askOf(world.limiter, 0))).quotas.map(one => one.used)
  /** No pass of rebuilding asks for a while. */
  const isQuiet = () => expect.poll(() => performance.now() - askedMs).toBeGreaterThan(QUIET_MS)
  const loseAll = async () => {
    const admin = new Redis(server.url)
    await admin.flushall()
    admin.disconnect()
  }
  /** It comes back, and no later pass raises it. */
  const expectBack = async (before: number[]) => {
    await expect.poll(used).toEqual(before)
    await isQuiet()
    expect(await used()).toEqual(before)
  }
  const isKept = async (settler: Settler) => {
    await expect.poll(() => settler.lagEntries()).toBe(0)
    await expect.poll(async () => (await writer.lag()).every(({ entries }) => entries === 0)).toBe(true)
  }
  /** The id of a decision that has spent the estimate. */
  const check = async () => {
    const { limiter, decisionIds } = world
    const { reference } = await limiter.check(askOf(limiter, ESTIMATE))
    if (reference === null) throw new Error('expected the check to spend')
    return decisionIds.encode(reference)
  }
  /** So many calls were checked, of which some are recorded, each at half of the estimate. */
  const call = async (checked: number, recordedCalls: number) => {
    const { settler, summing } = world
    for (let turn = 0; turn < checked; turn += 1) {
      const decisionId = await check()
      if (turn < recordedCalls) await appendCalls(log, [callRecord({ decisionId, totalTokens: ESTIMATE / 2 })])
    }
    await summing.handOn()
    await isKept(settler)
  }

  test('all at once, in the middle: all that checks and records have spent is known again', async () => {
    await call(6, 4)
    expect(await used()).toEqual([6, 6, 400, 200])
    await loseAll()
    await expect.poll(used).toEqual([6, 6, 400, 200])
    // What is recorded during a pass may be counted at its estimate: then others have to come.
    let lastAskedMs: number
    let [before, after]: number[][] = []
    do {
      await isQuiet()
      lastAskedMs = askedMs
      before = await used()
      await call(2, 2)
      after = await used()
    } while (askedMs !== lastAskedMs)
    expect(after.map((amount, index) => amount - (before[index] ?? 0))).toEqual([2, 2, 100, 100])
  })

  test('before we came, by a process that only decides and has begun anew: what checks have spent is known again', async () => {
    await call(6, 4)
    await world.close()
    const helper = await openCounters(world.keyPrefix)
    const admin = new Redis(server.url)
    await admin.flushall()
    await expect.poll(() => admin.exists(`${world.keyPrefix}head`)).toBe(1)
    admin.disconnect()
    world = await openWorld(world.keyPrefix)
    // Of the present minute only what checks alone spend is.
    const ofChecks = async () => (await used()).slice(0, 2)
    await expect.poll(ofChecks).toEqual([6, 6])
    await helper.close()
  })

  test('of calls that were checked and told at their end what they took: no more than that', async () => {
    const { limiter, settler, summing } = world
    for (const requestId of ['r1', 'r2', 'r3', 'r4']) {
      await limiter.check(askOf(limiter, 0, { requestId }))
      await limiter.record(askOf(limiter, ESTIMATE, { requests: 0, requestId }))
      await appendCalls(log, [callRecord({ requestId, totalTokens: ESTIMATE })])
    }
    await summing.handOn()
    await isKept(settler)
    const before = await used()
    expect(before).toEqual([4, 4, 4 * ESTIMATE, 4 * ESTIMATE])
    await loseAll()
    await expectBack(before)
  })

  test('of calls that were under way: what they took, and at most their estimates besides', async () => {
    const { settler, summing } = world
    const underWay: (string | null)[] = []
    for (let turn = 0; turn < 4; turn += 1) underWay.push(await check())
    await summing.handOn()
    await isKept(settler)
    await loseAll()
    await expect.poll(used).toEqual([4, 4, 4 * ESTIMATE, 0])
    await isQuiet()
    for (const decisionId of underWay) await appendCalls(log, [callRecord({ decisionId, totalTokens: ESTIMATE / 2 })])
    await isKept(settler)
    const [checks, slides, both = 0, records] = await used()
    expect([checks, slides, records]).toEqual([4, 4, 2 * ESTIMATE])
    expect(both).toBeGreaterThanOrEqual(2 * ESTIMATE)
    expect(both).toBeLessThanOrEqual(2 * ESTIMATE + 4 * ESTIMATE)
  })

  test('of calls that passed their check and were refused by a limit of the gateway: nothing', async () => {
    const { limiter, settler, summing } = world
    for (const outcome of ['ok', 'ok', 'limited', 'limited'] as const) {
      const decisionId = await check()
      await appendCalls(log, [callRecord({ decisionId, outcome, totalTokens: ESTIMATE })])
    }
    // Refused by us: no check of it was let pass.
    await appendCalls(log, [callRecord({ outcome: 'limited' })])
    await limiter.check(askOf(limiter, ESTIMATE))
    await summing.handOn()
    await isKept(settler)
    const before = await used()
    expect(before).toEqual([5, 5, 3 * ESTIMATE, 2 * ESTIMATE])
    await loseAll()
    await expectBack(before)
  })

  test('with what a reset forgot, before a snapshot and after it: that does not come back', async () => {
    const untilMs = Date.now() + DAY_MS
    const reset = () => {
      const fromMs = Date.now()
      const resets = QUOTAS.map(({ name }) => ({ quota: name, subject: { consumer: 'web' }, used: 0, fromMs, untilMs }))
      adjustments = { ...NO_ADJUSTMENTS, resets }
    }
    await call(5, 3)
    reset()
    await sleep(2)
    await call(2, 1)
    expect(await used()).toEqual([2, 2, 150, 50])
    const admin = new Redis(server.url)
    await admin.save()
    await copyFile(join(server.dir, 'dump.rdb'), join(dir, 'older.rdb'))
    reset()
    await sleep(2)
    await call(4, 4)
    expect(await used()).toEqual([4, 4, 200, 200])
    await server.kill()
    await copyFile(join(dir, 'older.rdb'), join(server.dir, 'dump.rdb'))
    await server.start()
    // What checks alone spent in the minute of a reset is said by no sum.
    const records = async () => (await used()).slice(2)
    await expect.poll(records).toEqual([200, 200])
    await admin.flushall()
    admin.disconnect()
    await expect.poll(records).toEqual([200, 200])
  })

  test('since a snapshot that was put in place of what there was', async () => {
    await call(2, 1)
    const admin = new Redis(server.url)
    await admin.save()
    admin.disconnect()
    await copyFile(join(server.dir, 'dump.rdb'), join(dir, 'older.rdb'))
    await call(5, 3)
    const before = await used()
    expect(before).toEqual([7, 7, 500, 200])
    await server.kill()
    await copyFile(join(dir, 'older.rdb'), join(server.dir, 'dump.rdb'))
    await server.start()
    await expect.poll(used).toEqual(before)
  })
})
