import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { startSettler } from '../../../analyzer/limit/settler.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import type { CallRecord } from '../../../collector/call-record.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { appendCalls, callRecord, openLog, quota, silent } from './call-records.ts'
import type { LimiterProcess } from './limiter-process.ts'

const KILLS = 8
const ESTIMATE = 10
const APPEND_RECORDS = 50

test('killed at any moment, the limiter counts every call once: its check, its record, resent or not', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const task: LimiterProcess = {
    logDir: join(dir, 'log'),
    limitsDir: join(dir, 'limits'),
    key: 'k'.repeat(32),
    estimate: ESTIMATE,
  }
  const log = await openLog(task.logDir)
  let truth = 0
  let sequence = 0
  let waiting: CallRecord[] = []
  const append = async () => {
    const batch = waiting
    waiting = []
    // Every third record comes twice, and another gateway only writes records.
    const resent = batch.filter((_, index) => index % 3 === 0)
    const others = batch.slice(0, 5).map(() => callRecord({ gateway: 'nginx', totalTokens: 4 }))
    truth += others.length * 4
    if (batch.length > 0) await appendCalls(log, [...batch, ...others, ...resent])
  }
  for (let kill = 0; kill < KILLS; kill += 1) {
    const path = join(import.meta.dirname, 'limiter-process.ts')
    const child = spawn(process.execPath, [path, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    const lines = createInterface({ input: child.stdout })
    const read = once(lines, 'close')
    let appending = Promise.resolve()
    lines.on('line', decisionId => {
      sequence += 1
      const totalTokens = sequence % 17
      truth += totalTokens
      waiting.push(callRecord({ decisionId, totalTokens }))
      if (waiting.length >= APPEND_RECORDS) appending = appending.then(append)
    })
    await once(lines, 'line')
    await sleep(Math.random() * 300)
    child.kill('SIGKILL')
    await exited
    await read
    await appending
  }
  await append()

  const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
  const store = await openLimitStore(options, { dir: task.limitsDir, log: silent })
  const one = quota({ limit: 1e12, window: { kind: 'fixed', everySeconds: 10 * 365 * 86_400 } })
  const settler = startSettler({
    log,
    store,
    policy: () => createPolicy([one]),
    labelColumns: [],
    decisionIds: createDecisionIds([task.key]),
    callIdBytesMax: 2 ** 22,
    onRecordWithoutId: () => undefined,
    onApplied: () => undefined,
    logger: silent,
  })
  await expect.poll(() => settler.lagEntries()).toBe(0)
  const bucket = { series: one.series, subject: 'web', ...bucketAt(one.window, Date.now()), limit: 1e12, cost: 0 }
  const { standings } = await store.decide(request([claim(bucket)], { isDryRun: true }))
  const used = standings[0]?.used ?? 0
  await settler.close()
  await store.close()
  await log.close()
  await rm(dir, { recursive: true, force: true })
  expect(sequence).toBeGreaterThan(KILLS)
  // A decision that was killed before it could be said has no record: its estimate stands.
  expect(used).toBeGreaterThanOrEqual(truth)
  expect(used).toBeLessThanOrEqual(truth + KILLS * ESTIMATE)
  expect((used - truth) % ESTIMATE).toBe(0)
})
