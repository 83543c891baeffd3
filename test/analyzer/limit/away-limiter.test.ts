/** A limiter that was away for so long that the log has dropped what it had not applied: only the store knows it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { startReconciler } from '../../../analyzer/limit/reconcile.ts'
import { SETTLE_HORIZON_MS } from '../../../analyzer/limit/settled-bits.ts'
import { startSettler } from '../../../analyzer/limit/settler.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { subjectKey } from '../../../analyzer/policy/subject.ts'
import { isRecordedUpTo, readRecorded, recordedSinceMs } from '../../../analyzer/usage/recorded.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { LogOptions } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { createWriter } from '../../../collector/store/writer.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { type KafkaServers, kafkaChecks, startKafka } from '../../servers/kafka.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { appendCalls, callRecord, quota, silent } from './call-records.ts'

const TEST_MS = 120_000
const WAIT = { timeout: 60_000 }
const DAY_MS = 86_400_000
const RETENTION_SECONDS = 3_600
/** Longer than the horizon of decisions and the retention of the log; within that of the store, and within the window. */
const AWAY_MS = SETTLE_HORIZON_MS + DAY_MS
const window = { kind: 'fixed', everySeconds: 30 * 86_400, anchor: new Date(Date.now() - DAY_MS).toISOString() }
const both = quota({ name: 'both', window })
const records = quota({ name: 'records', window, counts: 'records' })

const calls = (count: number) => Array.from({ length: count }, (_, index) => callRecord({ totalTokens: index + 1 }))
const tokensOf = (all: readonly CallRecord[]) => all.reduce((sum, { totalTokens }) => sum + (totalTokens ?? 0), 0)

const rebuildsUse = (optionsOf: () => LogOptions) =>
  test('learns what was used from the store, exactly, and says what it missed', { timeout: TEST_MS }, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
    const opened = await openTestStore()
    let logMs = Date.now
    const deps = { dir: join(dir, 'log'), log: silent, onLoss: () => undefined, now: () => logMs() }
    const log = await openCallLog(optionsOf(), deps)
    const writer = createWriter({ log, store: opened.store, logger: silent, labelColumns: [], flushMs: 10 })
    const isStored = async () =>
      expect.poll(async () => (await writer.lag()).every(({ entries }) => entries === 0), WAIT).toBe(true)
    try {
      const before = await openLimiter({ dir, log, opened }, Date.now)
      const all = calls(20)
      await appendCalls(log, all)
      await before.isSettled()
      expect(await before.used()).toEqual([tokensOf(all), tokensOf(all)])
      await before.close()

      const missed = calls(30)
      await appendCalls(log, missed)
      await isStored()
      logMs = () => Date.now() + AWAY_MS
      for (const partition of await log.partitions('calls')) await log.trim(partition, partition.endOffset)
      logMs = Date.now
      await expect
        .poll(async () => (await log.partitions('calls')).every(each => each.beginOffset === each.endOffset), WAIT)
        .toBe(true)

      const after = await openLimiter({ dir, log, opened }, () => Date.now() + AWAY_MS)
      const truth = tokensOf([...all, ...missed])
      await expect.poll(after.usedWhenCompared, WAIT).toEqual([truth, truth])
      const gaps = after.said.filter(({ msg }) => msg.includes('gone from the log'))
      expect(gaps.reduce((sum, { fromOffset, toOffset }) => sum + toOffset - fromOffset, 0)).toBe(missed.length)

      const more = calls(5)
      await appendCalls(log, more)
      await after.isSettled()
      await isStored()
      expect(await after.usedWhenCompared()).toEqual([truth + tokensOf(more), truth + tokensOf(more)])
      expect(after.said.filter(({ msg }) => msg.includes('gone from the log'))).toEqual(gaps)
      await after.close()
    } finally {
      await writer.close()
      await log.close()
      await opened.close()
      await rm(dir, { recursive: true, force: true })
    }
  })

/** The counting half of a limiter whose clock shows `now`. */
async function openLimiter(
  { dir, log, opened }: { dir: string; log: Awaited<ReturnType<typeof openCallLog>>; opened: TestStore },
  now: () => number,
) {
  const { client } = opened.store
  const said: { msg: string; fromOffset: number; toOffset: number }[] = []
  const logger = pino({ level: 'error' }, { write: line => said.push(JSON.parse(line)) })
  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir: join(dir, 'limits'), log: silent, now })
  const quotas = [both, records]
  const settler = startSettler({
    ...{ log, store, policy: () => createPolicy(quotas), logger },
    labelColumns: [],
    decisionIds: createDecisionIds(['k'.repeat(32)]),
    callIdBytesMax: 2 ** 22,
    onRecordWithoutId: () => undefined,
    onApplied: () => undefined,
  })
  const recorded = {
    costs: (query: Parameters<typeof readRecorded>[1]) => readRecorded(client, query),
    isUpTo: (position: Parameters<typeof isRecordedUpTo>[1]) => isRecordedUpTo(client, position),
    keptSinceMs: recordedSinceMs,
  }
  const reconciler = startReconciler({
    log,
    store,
    policy: () => createPolicy(quotas),
    recorded,
    everyMs: DAY_MS,
    logger,
    insertMsMax: 50,
  })
  const used = () =>
    Promise.all(
      quotas.map(async one => {
        const bucket = { series: one.series, subject: subjectKey(['web']), ...bucketAt(one.window, now()) }
        const { standings } = await store.decide(request([claim({ ...bucket, cost: 0 })], { isDryRun: true }))
        return standings[0]?.used
      }),
    )
  return {
    said,
    used,
    isSettled: () => expect.poll(() => settler.lagEntries(), WAIT).toBe(0),
    async usedWhenCompared() {
      await reconciler.reconcile()
      return used()
    },
    async close() {
      await reconciler.close()
      await settler.close()
      await store.close()
    },
  }
}

describe('a limiter that was away longer than the log keeps records and decisions are known', () => {
  rebuildsUse(() => ({ kind: 'embedded', retentionSeconds: RETENTION_SECONDS, sizeBytesMax: 2 ** 28 }))
})

describeWith(kafkaChecks, 'the same on Kafka', () => {
  let kafka: KafkaServers
  beforeAll(async () => {
    kafka = await startKafka()
  })
  afterAll(() => kafka?.stop())
  rebuildsUse(() => ({
    kind: 'kafka',
    brokers: kafka.addresses,
    clientId: 'test',
    topicPrefix: 'away.',
    groupPrefix: 'away.',
    partitions: 2,
    replicationFactor: 1,
    minInsyncReplicas: 1,
    retentionSeconds: RETENTION_SECONDS,
    appendTimeoutMs: 10_000,
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 6_000,
  }))
})
