import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { claimOf } from '../../../analyzer/limit/claiming.ts'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import type { LimitStore, RecordBatch } from '../../../analyzer/limit/limit-store.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { type RecordedCalls, startReconciler } from '../../../analyzer/limit/reconcile.ts'
import { type Settler, startSettler } from '../../../analyzer/limit/settler.ts'
import { createPolicy, NO_ADJUSTMENTS } from '../../../analyzer/policy/policy.ts'
import type { Quota } from '../../../analyzer/policy/quota.ts'
import { subjectKey } from '../../../analyzer/policy/subject.ts'
import { isRecordedUpTo, readRecorded, recordedSinceMs } from '../../../analyzer/usage/recorded.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { createWriter, type Writer } from '../../../collector/store/writer.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { appendCalls, callRecord, openLog, quota, silent } from './call-records.ts'

let opened: TestStore
let recorded: RecordedCalls
beforeAll(async () => {
  opened = await openTestStore()
  const { client } = opened.store
  recorded = {
    costs: query => readRecorded(client, query),
    isUpTo: position => isRecordedUpTo(client, position),
    keptSinceMs: recordedSinceMs,
  }
})
afterAll(() => opened.close())

const DAY_MS = 86_400_000
/** No test crosses a reset of it, and the store keeps all of it. */
const window = {
  ...{ kind: 'fixed', everySeconds: (7 * DAY_MS) / 1000 },
  anchor: new Date(Date.now() - 3 * DAY_MS).toISOString(),
}
const both = quota({ name: 'both', window })
const records = quota({ name: 'records', window, counts: 'records', per: ['tenant', 'consumer'] })
const checks = quota({ name: 'checks', window, counts: 'checks' })
const quotas = [both, records, checks]

let dir: string
let log: CallLog
let writer: Writer
let closing: (() => Promise<void>)[]
beforeEach(async () => {
  await opened.store.client.command({ query: 'TRUNCATE TABLE calls' })
  dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  log = await openLog(join(dir, 'log'))
  writer = createWriter({ log, store: opened.store, logger: silent, labelColumns: [], flushMs: 10 })
  closing = []
})
afterEach(async () => {
  for (const close of closing.toReversed()) await close()
  await writer.close()
  await log.close()
  await rm(dir, { recursive: true, force: true })
})

/** A limiter's counting half, with a fault planted between the settler and its store if a test wants one. */
async function openCounting(
  name: string,
  plant: (batch: RecordBatch) => RecordBatch = batch => batch,
  of = quotas,
  adjustments = NO_ADJUSTMENTS,
) {
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir: join(dir, name), log: silent })
  const settler = startSettler({
    log,
    store: { ...store, applyRecords: batch => store.applyRecords(plant(batch)) },
    policy: () => createPolicy(of, adjustments),
    labelColumns: [],
    decisionIds: createDecisionIds(['k'.repeat(32)]),
    callIdBytesMax: 2 ** 22,
    onRecordWithoutId: () => undefined,
    onApplied: () => undefined,
    logger: silent,
  })
  const deps = {
    log,
    store,
    policy: () => createPolicy(of, adjustments),
    recorded,
    everyMs: 3_600_000,
    logger: silent,
    insertMsMax: 50,
  }
  const close = async () => {
    await settler.close()
    await store.close()
  }
  return { store, settler, deps, close }
}

async function used(store: LimitStore, one: Quota, subject: string[]) {
  const bucket = { series: one.series, subject: subjectKey(subject), ...bucketAt(one.window, Date.now()) }
  const { standings } = await store.decide(request([claim({ ...bucket, cost: 0 })], { isDryRun: true }))
  return standings[0]?.used
}
const isStored = async (settler: Settler) => {
  await expect.poll(() => settler.lagEntries()).toBe(0)
  await expect.poll(async () => (await writer.lag()).every(({ entries }) => entries === 0)).toBe(true)
}
/** Compares until nothing differs; the first comparison, made at once, may have come too early. */
async function compared(deps: Parameters<typeof startReconciler>[0]) {
  const reconciler = startReconciler(deps)
  await reconciler.reconcile()
  expect(await reconciler.reconcile()).toMatchObject({ buckets: 0 })
  await reconciler.close()
}

const calls = (count: number) =>
  Array.from({ length: count }, (_, index) =>
    callRecord({ totalTokens: index + 1, consumer: index % 2 ? 'web' : 'app' }),
  )
const sumOf = (all: ReturnType<typeof calls>, consumer: string) =>
  all.filter(one => one.consumer === consumer).reduce((sum, one) => sum + (one.totalTokens ?? 0), 0)

test('what the settler dropped and doubled is corrected, exactly that, in the first comparison and in later ones', async () => {
  const counting = await openCounting('limits', batch => {
    const effects = batch.effects.flatMap((effect, index) => {
      if (index % 7 === 3) return []
      return index % 5 === 1 ? [effect, effect] : [effect]
    })
    return { ...batch, effects }
  })
  closing.push(counting.close)
  const all = calls(40)
  await appendCalls(log, all)
  await isStored(counting.settler)
  expect(await used(counting.store, both, ['web'])).not.toBe(sumOf(all, 'web'))
  const { deps, store } = counting
  const reconciler = startReconciler(deps)
  closing.push(() => reconciler.close())
  await reconciler.reconcile()
  const exact = async () => {
    for (const consumer of ['web', 'app']) {
      expect(await used(store, both, [consumer])).toBe(sumOf(all, consumer))
      expect(await used(store, records, ['acme', consumer])).toBe(sumOf(all, consumer))
      expect(await used(store, checks, [consumer])).toBe(0)
    }
  }
  await exact()
  const more = calls(31)
  all.push(...more)
  await appendCalls(log, more)
  await isStored(counting.settler)
  // Too much within a part is decided by the whole, one comparison later.
  await reconciler.reconcile()
  await reconciler.reconcile()
  await exact()
  expect(await reconciler.reconcile()).toMatchObject({ buckets: 0, added: 0, removed: 0 })
})

test('of a subject that was reset, what was missed counts as far as it began later; of others all of it', async () => {
  const sinceMs = Date.now() - 10 * 60_000
  const all = quota({ name: 'all', window, per: [] })
  const sliding = quota({ name: 'sliding', window: { kind: 'sliding', everySeconds: 86_400 } })
  const untilMs = sinceMs + DAY_MS
  const resets = [
    { quota: 'both', subject: { consumer: 'web' } },
    { quota: 'records', subject: { consumer: 'web', tenant: 'acme' } },
    { quota: 'all', subject: {} },
    { quota: 'sliding', subject: { consumer: 'web' } },
  ].map(reset => ({ ...reset, used: 0, fromMs: sinceMs, untilMs }))
  const adjustments = { ...NO_ADJUSTMENTS, resets }
  const dropped = (batch: RecordBatch) => ({ ...batch, effects: [] })
  const counting = await openCounting('limits', dropped, [both, records, all, sliding], adjustments)
  closing.push(counting.close)
  await appendCalls(log, [
    ...[1, 2].map(ms => callRecord({ startedAtMs: sinceMs - ms, totalTokens: 10, consumer: 'web' })),
    callRecord({ startedAtMs: sinceMs - 3, totalTokens: 100, consumer: 'app' }),
    ...[0, 1].map(ms => callRecord({ startedAtMs: sinceMs + ms, totalTokens: 3, consumer: 'web' })),
  ])
  await isStored(counting.settler)
  await compared(counting.deps)
  const usedIn = async (one: Quota, consumer: string) => {
    const allowance = { limit: 1e9, elsewhere: 0, sinceMs: consumer === 'web' ? sinceMs : 0, deniedUntilMs: null }
    const asking = claimOf(one, consumer, { cost: 0, allowance, nowMs: Date.now() })
    return (await counting.store.decide(request([asking], { isDryRun: true }))).standings[0]?.used
  }
  expect([await usedIn(both, 'web'), await usedIn(both, 'app')]).toEqual([6, 100])
  expect([await used(counting.store, records, ['acme', 'web']), await used(counting.store, all, [])]).toEqual([6, 6])
  expect([await usedIn(sliding, 'web'), await usedIn(sliding, 'app')]).toEqual([6, 100])
})

test('a quota is compared however many values it matches, and however many of its subjects were reset', async () => {
  const listed = Array.from({ length: 999 }, (_, index) => `${index}`.padEnd(500, '*é'[index % 2]))
  const many = quota({ name: 'many', match: { consumer: ['web', ...listed] } })
  const counting = await openCounting('limits', batch => ({ ...batch, effects: [] }), [many], {
    ...NO_ADJUSTMENTS,
    resets: Array.from({ length: 3_000 }, (_, index) => ({
      ...{ quota: 'many', subject: { consumer: `${index}`.padEnd(100, '-') }, used: 0 },
      ...{ fromMs: Date.now() - 1_000, untilMs: Date.now() + DAY_MS },
    })),
  })
  closing.push(counting.close)
  await appendCalls(log, [callRecord({ totalTokens: 10, consumer: 'web' })])
  await isStored(counting.settler)
  await compared(counting.deps)
  expect(await used(counting.store, many, ['web'])).toBe(10)
})

test('slots of a sliding window are compared by the calls that began in them, what drains is not', async () => {
  const sliding = quota({ name: 'sliding', window: { kind: 'sliding', everySeconds: 3600 } })
  const rate = quota({ name: 'rate', window: { kind: 'rate', everySeconds: 3600 } })
  const counting = await openCounting('limits', batch => ({ ...batch, effects: [] }), [sliding, rate])
  closing.push(counting.close)
  const agoMs = [0, 7 * 60_000, 31 * 60_000, 55 * 60_000, 70 * 60_000]
  const all = agoMs.map((ms, index) => callRecord({ startedAtMs: Date.now() - ms, totalTokens: 10 ** index }))
  await appendCalls(log, all)
  await isStored(counting.settler)
  const asked: number[] = []
  const deps = {
    ...counting.deps,
    recorded: {
      ...recorded,
      costs: (query: Parameters<typeof recorded.costs>[0]) => {
        asked.push(query.stepMs)
        return recorded.costs(query)
      },
    },
  }
  const reconciler = startReconciler(deps)
  closing.push(() => reconciler.close())
  await reconciler.reconcile()
  const usedOf = async (one: Quota) => {
    const asking = claimOf(one, 'web', {
      cost: 0,
      allowance: { limit: 1e9, elsewhere: 0, sinceMs: 0, deniedUntilMs: null },
      nowMs: Date.now(),
    })
    return (await counting.store.decide(request([asking], { isDryRun: true }))).standings[0]?.used
  }
  expect(await usedOf(sliding)).toBe(1_111)
  expect(await usedOf(rate)).toBe(0)
  expect(await reconciler.reconcile()).toMatchObject({ buckets: 0 })
  // All slots together, however many they are.
  expect(new Set(asked)).toEqual(new Set([112_500]))
  expect(asked.length).toBeLessThanOrEqual(6)
})

test('a limit store that was lost, and a new quota, learn what was used before from the store', async () => {
  const first = await openCounting('limits', undefined, [both])
  const all = calls(20)
  await appendCalls(log, all)
  await isStored(first.settler)
  await first.close()
  // The log's beginning is gone as well: only the store knows.
  await writer.close()
  await log.close()
  log = await openLog(join(dir, 'another log'))
  writer = createWriter({ log, store: opened.store, logger: silent, labelColumns: [], flushMs: 10 })
  const second = await openCounting('lost')
  closing.push(second.close)
  const later = calls(3)
  await appendCalls(log, later)
  await isStored(second.settler)
  await compared(second.deps)
  for (const consumer of ['web', 'app']) {
    const truth = sumOf(all, consumer) + sumOf(later, consumer)
    expect(await used(second.store, both, [consumer])).toBe(truth)
    expect(await used(second.store, records, ['acme', consumer])).toBe(truth)
  }
})

test('records that are stored and not applied yet are not counted twice when a lost limit store reads them again', async () => {
  const first = await openCounting('limits', undefined, [both])
  const all = calls(20)
  await appendCalls(log, all)
  await isStored(first.settler)
  await first.close()
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir: join(dir, 'lost'), log: silent })
  await compared({ ...first.deps, store })
  expect(await used(store, both, ['web'])).toBe(0)
  await store.close()
  const second = await openCounting('lost', undefined, [both])
  closing.push(second.close)
  await isStored(second.settler)
  expect(await used(second.store, both, ['web'])).toBe(sumOf(all, 'web'))
})

test('while the store is away or behind, nothing is corrected, and the reason is said', async () => {
  const counting = await openCounting('limits')
  closing.push(counting.close)
  await appendCalls(log, calls(4))
  await isStored(counting.settler)
  const away = { ...recorded, isUpTo: () => Promise.reject(new Error('nobody there')) }
  const behind = { ...recorded, isUpTo: async () => false }
  for (const [one, reason] of [
    [away, 'nobody there'],
    [behind, 'does not hold yet'],
  ] as const) {
    const reconciler = startReconciler({ ...counting.deps, recorded: one })
    closing.push(() => reconciler.close())
    expect(await reconciler.reconcile()).toMatch(reason)
    expect(reconciler.status()).toEqual({ comparedAtMs: null, skipped: expect.stringContaining(reason) })
  }
  expect(await used(counting.store, both, ['web'])).toBe(2 + 4)
})

test('a quota that covers other calls since the restart is compared whole again', async () => {
  const narrow = quota({ name: 'q', window, match: { model: 'gpt-5' } })
  const first = await openCounting('limits', undefined, [narrow])
  await appendCalls(log, [callRecord({ model: 'gpt-5', totalTokens: 5 }), callRecord({ model: 'o3', totalTokens: 7 })])
  await isStored(first.settler)
  await compared(first.deps)
  await first.close()
  const wide = quota({ name: 'q', window })
  const second = await openCounting('limits', undefined, [wide])
  closing.push(second.close)
  expect(await used(second.store, wide, ['web'])).toBe(5)
  await compared(second.deps)
  expect(await used(second.store, wide, ['web'])).toBe(12)
})

test('so is a quota that is changed to cover other calls in the middle of a window', async () => {
  const covering = (match: Record<string, string>) => quota({ name: 'q', window, match })
  let one = covering({ model: 'gpt-5' })
  const counting = await openCounting('limits', undefined, [one])
  closing.push(counting.close)
  await appendCalls(log, [callRecord({ model: 'gpt-5', totalTokens: 5 }), callRecord({ model: 'o3', totalTokens: 7 })])
  await isStored(counting.settler)
  const reconciler = startReconciler({ ...counting.deps, policy: () => createPolicy([one]) })
  closing.push(() => reconciler.close())
  for (const [match, amount] of [
    [{ model: 'gpt-5' }, 5],
    [{}, 12],
    [{ model: 'o3' }, 7],
  ] as const) {
    one = covering(match)
    await reconciler.reconcile()
    expect(await used(counting.store, one, ['web'])).toBe(amount)
  }
})

test('nothing is kept of a quota that is gone: one that comes back is compared as a new one', async () => {
  const one = quota({ name: 'q', window })
  const counting = await openCounting('limits', undefined, [one])
  closing.push(counting.close)
  await appendCalls(log, calls(2))
  await isStored(counting.settler)
  let held = [one]
  const asked: boolean[] = []
  const costs: RecordedCalls['costs'] = query => {
    asked.push(query.isWhole)
    return recorded.costs(query)
  }
  const policy = () => createPolicy(held)
  const reconciler = startReconciler({ ...counting.deps, policy, recorded: { ...recorded, costs } })
  closing.push(() => reconciler.close())
  for (held of [[one], [one], [], [one], [one]]) expect(await reconciler.reconcile()).toHaveProperty('buckets')
  expect(asked.slice(-3)).toEqual([false, true, false])
})

test('who stops waits for the quota that is being read, and not for all others', async () => {
  const many = Array.from({ length: 50 }, (_, index) => quota({ name: `q${index}`, window }))
  const counting = await openCounting('limits', undefined, many)
  closing.push(counting.close)
  let asked = 0
  const costs: RecordedCalls['costs'] = async () => {
    asked += 1
    await sleep(20)
    return []
  }
  const reconciler = startReconciler({ ...counting.deps, recorded: { ...recorded, costs } })
  await expect.poll(() => asked).toBeGreaterThan(0)
  await reconciler.close()
  expect(asked).toBeLessThan(50)
})

test('what was stored from a log that is gone and was never applied is added', async () => {
  const first = await openCounting('limits', undefined, [both])
  await appendCalls(log, [callRecord({ totalTokens: 5 })])
  await isStored(first.settler)
  await first.close()
  await appendCalls(log, [callRecord({ totalTokens: 7 })])
  await expect.poll(async () => (await writer.lag()).every(({ entries }) => entries === 0)).toBe(true)
  await writer.close()
  await log.close()
  log = await openLog(join(dir, 'another log'))
  writer = createWriter({ log, store: opened.store, logger: silent, labelColumns: [], flushMs: 10 })
  const second = await openCounting('limits', undefined, [both])
  closing.push(second.close)
  await appendCalls(log, [callRecord({ totalTokens: 11 })])
  await isStored(second.settler)
  await compared(second.deps)
  expect(await used(second.store, both, ['web'])).toBe(23)
})

test('quotas whose windows are always new do not take the turns of the others', async () => {
  const many = Array.from({ length: 250 }, (_, index) =>
    quota({ name: `q${index}`, window: { kind: 'fixed', everySeconds: 60 } }),
  )
  const all = [...many, quota({ name: 'week', window })]
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  let nowMs = Date.UTC(2026, 10, 21, 12) + 1_000
  const store = await openLimitStore(options, { dir: join(dir, 'turns'), log: silent, now: () => nowMs })
  closing.push(() => store.close())
  const asked: number[] = []
  const counted: RecordedCalls = {
    ...recorded,
    isUpTo: async () => true,
    costs: async ({ endMs, startMs }) => {
      asked.push(endMs - startMs)
      return []
    },
  }
  const deps = {
    log,
    store,
    policy: () => createPolicy(all),
    recorded: counted,
    everyMs: 3_600_000,
    logger: silent,
    insertMsMax: 1,
  }
  const reconciler = startReconciler(deps)
  closing.push(() => reconciler.close())
  for (let turn = 0; turn < 3; turn += 1) {
    await reconciler.reconcile()
    nowMs += 60_000
  }
  expect(asked.filter(lengthMs => lengthMs > 60_000).length).toBeGreaterThan(0)
})
