import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { open } from 'lmdb'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { CallLog, LogLoss, LogPartition, LogReader } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { auditStore } from '../../../collector/store/audit.ts'
import { lookUpIds } from '../../../collector/store/duplicates.ts'
import { takeFence } from '../../../collector/store/fence.ts'
import type { Store } from '../../../collector/store/open.ts'
import { createWriter, type Writer } from '../../../collector/store/writer.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { LOG_OPTIONS } from './log-options.ts'
import { makeCall, toEntry } from './make-call.ts'
import type { WriterProcess } from './writer-process.ts'

const WAIT = { timeout: 60_000, interval: 25 }
const FLUSH_MS = 20

let opened: TestStore
let log: CallLog
let logDir: string
let writer: Writer | null
const children: ChildProcess[] = []
const logger = pino({ level: 'silent' })

beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened?.close())
beforeEach(async () => {
  logDir = await mkdtemp(join(tmpdir(), 'quotacast-log-'))
  log = await openCallLog(LOG_OPTIONS, { dir: logDir, log: logger, onLoss: () => undefined })
  writer = null
  for (const table of ['calls', 'rejections', 'decisions', 'audit']) {
    await opened.store.client.command({ query: `TRUNCATE TABLE ${table}` })
  }
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await writer?.close()
  await log.close()
  await rm(logDir, { recursive: true, force: true })
})

const startWriter = (): Writer => {
  writer = createWriter({ log, store: opened.store, logger, labelColumns: ['team'], flushMs: FLUSH_MS })
  return writer
}
const stopWriter = async () => {
  await writer?.close()
  writer = null
}
const forkWriter = async (): Promise<ChildProcess> => {
  const task: WriterProcess = {
    logDir,
    logOptions: LOG_OPTIONS,
    storeDir: opened.dir,
    storeOptions: opened.options,
    flushMs: FLUSH_MS,
  }
  const child = fork(join(import.meta.dirname, 'writer-process.ts'), [JSON.stringify(task)], { execArgv: [] })
  children.push(child)
  await once(child, 'message')
  return child
}
const append = (calls: CallRecord[]) => log.append('calls', calls.map(toEntry))
const countCalls = async () => {
  const [row] = await opened.rows<{ rows: number; ids: number; positions: number }>(
    'SELECT count() AS rows, uniqExact(call_id) AS ids, uniqExact(log_id, log_offset) AS positions FROM calls',
  )
  return row
}
/** Every call is there, once, under one position. */
const expectExactly = (calls: number) =>
  vi.waitFor(async () => expect(await countCalls()).toEqual({ rows: calls, ids: calls, positions: calls }), WAIT)

test('a single call becomes a row without waiting for others, with the labels that have columns', async () => {
  startWriter()
  const call = makeCall({ labels: { team: 'search', other: 'x' } })
  await append([call])
  await expectExactly(1)
  const [row] = await opened.rows('SELECT call_id, label_1, label_2, labels, log_offset FROM calls')
  const labels = { team: 'search', other: 'x' }
  expect(row).toEqual({ call_id: call.callId, label_1: 'search', label_2: '', labels, log_offset: 0 })
})

describe('a call that comes again is stored once', () => {
  test('within a batch, in a later batch, and after a restart of the writer', async () => {
    const calls = [makeCall(), makeCall()]
    startWriter()
    await append([...calls, ...calls])
    await expectExactly(2)
    await append(calls)
    await append([makeCall()])
    await expectExactly(3)
    await expect.poll(() => writer?.status()).toMatchObject({ rows: 3, duplicates: 4 })
    await stopWriter()
    startWriter()
    await append([...calls, makeCall()])
    await expectExactly(4)
    await expect.poll(() => writer?.status()).toMatchObject({ rows: 1, duplicates: 2 })
  })
  test('even if it began long before what the writer remembers', async () => {
    const old = Array.from({ length: 50 }, (_, index) =>
      makeCall({ startedAtMs: Date.now() - (20 + (index % 5)) * 86_400_000, consumer: `app-${index}` }),
    )
    await append(old)
    startWriter()
    await expectExactly(50)
    await stopWriter()
    // Room for a thousand ids: the newer calls push the older ones out.
    writer = createWriter({
      log,
      store: opened.store,
      logger,
      labelColumns: [],
      flushMs: FLUSH_MS,
      duplicatesBytesMax: 40_000,
    })
    await append(Array.from({ length: 3_000 }, (_, index) => makeCall({ startedAtMs: Date.now() - index * 1_000 })))
    await expectExactly(3_050)
    await append([...old, makeCall({ startedAtMs: old[0]?.startedAtMs ?? 0 })])
    await expectExactly(3_051)
  })
  test('even if the log was wiped and begins anew', async () => {
    const calls = [makeCall(), makeCall()]
    await append(calls)
    startWriter()
    await expectExactly(2)
    await stopWriter()
    await log.close()
    await rm(logDir, { recursive: true, force: true })
    log = await openCallLog(LOG_OPTIONS, { dir: logDir, log: logger, onLoss: () => undefined })
    await append([...calls, makeCall()])
    startWriter()
    await expectExactly(3)
  })
})

test('sums of decisions that were appended twice are stored once', async () => {
  const sums = (sumId: string, spent: number) => ({
    key: sumId,
    value: JSON.stringify({
      sumId,
      minuteMs: Date.now() - (Date.now() % 60_000),
      quota: 'q',
      subject: {},
      tenant: null,
      consumer: null,
      unit: 'requests',
      allowed: 1,
      denied: 0,
      spent,
      deniedCost: 0,
    }),
  })
  const [first, second] = [sums(randomUUID(), 1), sums(randomUUID(), 10)]
  const expectSpent = (rows: number, spent: number) =>
    vi.waitFor(async () => {
      const sql = 'SELECT count() AS rows, sum(spent) AS spent FROM decisions'
      expect(await opened.rows(sql)).toEqual([{ rows, spent }])
    }, WAIT)
  startWriter()
  await log.append('decisions', [first, first])
  await expectSpent(1, 1)
  await stopWriter()
  await log.append('decisions', [first, second])
  startWriter()
  await expectSpent(2, 11)
  const [partition] = await log.partitions('decisions')
  await vi.waitFor(() => expect(partition && writer?.handledTo(partition)).toBe(4), WAIT)
  const handledTo: Writer['handledTo'] = at => writer?.handledTo(at) ?? null
  const audit = await auditStore({ log, store: opened.store, logger, handledTo })
  expect(audit.counts).toMatchObject({ lost: 0, doubled: 0, misplaced: 0 })
  expect(audit.partitions.find(({ topic }) => topic === 'decisions')).toMatchObject({ rows: 2, duplicates: 2 })
})

test('a partition that was given up is no reason not to be ready', async () => {
  const readers: LogReader[] = []
  const subscription = { lag: async () => [], close: async () => undefined }
  const subscribe: CallLog['subscribe'] = (_topics, _name, reader) => {
    readers.push(reader)
    return subscription
  }
  const away = { ...opened.store, client: { ...opened.store.client, query: () => Promise.reject(new Error('away')) } }
  const deps = { store: away as unknown as Store, logger, labelColumns: [], flushMs: FLUSH_MS }
  writer = createWriter({ ...deps, log: { ...log, subscribe } })
  const partition: LogPartition = { topic: 'calls', logId: randomUUID(), partition: 3 }
  const bounds = { beginOffset: 0, endOffset: 1, committedOffset: null, partitions: 4 }
  await expect(readers[0]?.assigned({ ...partition, ...bounds })).rejects.toThrow('away')
  expect(writer.readiness()).toEqual(['calls/3 is not being stored: away'])
  await readers[0]?.revoked(partition)
  expect(writer.readiness()).toEqual([])
})

test('names of any characters can be looked up', async () => {
  const names = [`'`, '"', '\\', '\n\t\0', '{id:String}', '\ud83d', "\\' OR 1=1 --", '[]', '😀']
  const calls = names.map(name => makeCall({ tenant: name, consumer: name }))
  startWriter()
  await append(calls)
  await expectExactly(calls.length)
  const keys = calls.map(({ callId, ...call }) => ({ id: callId, ...call }))
  for (const key of keys) expect([...(await lookUpIds(opened.store, 'calls', [key]))]).toEqual([key.id])
  expect((await lookUpIds(opened.store, 'calls', keys)).size).toBe(calls.length)
})

/** Copies the log as it is now. What is answered goes back to that, and answers the losses that are told from then on. */
async function copyLog(): Promise<() => Promise<LogLoss[]>> {
  await log.close()
  const restored = await mkdtemp(join(tmpdir(), 'quotacast-log-'))
  await cp(logDir, restored, { recursive: true })
  log = await openCallLog(LOG_OPTIONS, { dir: logDir, log: logger, onLoss: () => undefined })
  return async () => {
    await log.close()
    await rm(logDir, { recursive: true })
    logDir = restored
    const losses: LogLoss[] = []
    log = await openCallLog(LOG_OPTIONS, { dir: logDir, log: logger, onLoss: loss => losses.push(loss) })
    return losses
  }
}

test('a log that was restored to an earlier state loses nothing that comes after', async () => {
  startWriter()
  await append([makeCall(), makeCall()])
  await expectExactly(2)
  await stopWriter()
  const restore = await copyLog()
  startWriter()
  await append([makeCall(), makeCall(), makeCall()])
  await expectExactly(5)
  await stopWriter()
  const losses = await restore()
  startWriter()
  await vi.waitFor(() => expect(losses[0]).toMatchObject({ topic: 'calls', reason: 'beyond_end' }), WAIT)
  await append([makeCall(), makeCall()])
  await expectExactly(7)
})

test('a log that was restored and has grown beyond what is stored loses nothing either', async () => {
  await append([makeCall()])
  const restore = await copyLog()
  startWriter()
  await append([makeCall(), makeCall()])
  await expectExactly(3)
  await stopWriter()
  const losses = await restore()
  await append([makeCall(), makeCall(), makeCall()])
  startWriter()
  await expectExactly(6)
  expect(losses[0]).toMatchObject({ topic: 'calls', reason: 'beyond_end', fromOffset: 4, toOffset: 4 })
})

test('a log that is full of what is stored gets room though nothing arrives', async () => {
  await log.close()
  const options = { ...LOG_OPTIONS, sizeBytesMax: 1_000_000 }
  log = await openCallLog(options, { dir: logDir, log: logger, onLoss: () => undefined })
  const big = () => ({ ...makeCall(), decisionId: randomBytes(1_000).toString('hex') })
  const fill = async (): Promise<number> => {
    for (let calls = 0; ; calls += 50) {
      const appended = await append(Array.from({ length: 50 }, big)).catch(() => null)
      if (appended === null) return calls
    }
  }
  const calls = await fill()
  expect(log.unavailable('calls')).toMatch(/full/)
  expect(log.unavailable('control')).toBeNull()
  writer = createWriter({ log, store: opened.store, logger, labelColumns: [], flushMs: FLUSH_MS, trimMs: 50 })
  await vi.waitFor(() => expect(log.unavailable('calls')).toBeNull(), WAIT)
  await append(Array.from({ length: 50 }, big))
  await expectExactly(calls + 50)
})

test('an entry that nobody can read becomes a rejection and stops nobody', async () => {
  const broken = ['{', '"text"', JSON.stringify({ ...makeCall(), outcome: 'surprise' })]
  const entries = broken.map(value => ({ key: 'x', value }))
  await log.append('calls', [...entries, toEntry(makeCall())])
  await log.append('decisions', [{ key: 'x', value: '{"quota":1}' }])
  await log.append('control', [{ key: 'x', value: '{"tokenHash":"secret"}' }])
  startWriter()
  await expectExactly(1)
  const sql = 'SELECT log_topic, reason, input, log_offset FROM rejections ORDER BY log_topic, log_offset'
  const reason = 'unreadable_log_entry'
  await vi.waitFor(async () => {
    expect(await opened.rows(sql)).toEqual([
      ...broken.map((input, log_offset) => ({ log_topic: 'calls', reason, input, log_offset })),
      { log_topic: 'control', reason, input: '', log_offset: 0 },
      { log_topic: 'decisions', reason, input: '{"quota":1}', log_offset: 0 },
    ])
  }, WAIT)
})

test('of an entry of a newer version counts what is known', async () => {
  const upstreamLimits = {
    units: { requests: { limit: 9, remaining: 0, resetAtMs: null, burst: 3 } },
    retryAfterMs: null,
  }
  const call = { ...makeCall({ inputTokens: 7 }), upstreamLimits, surprise: 1 }
  await log.append('calls', [{ key: call.callId, value: JSON.stringify(call) }])
  startWriter()
  await expectExactly(1)
  const known = JSON.stringify({ units: { requests: { limit: 9, remaining: 0, resetAtMs: null } }, retryAfterMs: null })
  expect(await opened.rows('SELECT input_tokens, upstream_limits FROM calls')).toEqual([
    { input_tokens: 7, upstream_limits: known },
  ])
  expect(await opened.rows('SELECT reason FROM rejections')).toEqual([])
})

test('text that UTF-8 cannot hold is mended, not refused for ever', async () => {
  startWriter()
  await append([makeCall({ consumer: 'half a \ud83d pair', labels: { team: '\udc00' } })])
  await expectExactly(1)
  expect(await opened.rows('SELECT consumer, label_1 FROM calls')).toEqual([
    { consumer: 'half a \ufffd pair', label_1: '\ufffd' },
  ])
})

test('rejections, decisions and changes get their tables, and secrets are masked', async () => {
  const atMs = Date.UTC(2026, 4, 1, 12)
  await log.append('rejections', [
    {
      key: 'r',
      value: JSON.stringify({
        callId: 'r-1',
        arrivedAtMs: Date.now(),
        tenant: 'acme',
        gateway: null,
        dialect: 'canonical',
        reason: 'missing_field',
        message: 'startedAtMs is missing',
        input: '{}',
      }),
    },
  ])
  const sums = { sumId: randomUUID(), allowed: 3, denied: 1, spent: 30, deniedCost: 12.5 }
  const bucket = { quota: 'q', subject: { tenant: 'acme' }, tenant: 'acme', consumer: null, unit: 'total_tokens' }
  const minuteMs = Date.now() - (Date.now() % 60_000)
  await log.append('decisions', [{ key: 'd', value: JSON.stringify({ minuteMs, ...bucket, ...sums }) }])
  const change = { changeId: 'c-1', atMs, by: 'admin', kind: 'token', key: 'ci', expectedVersion: 0, version: 1 }
  const value = { sha256Hash: 'abc', scopes: ['read'], nested: { password: 'x' } }
  await log.append('control', [{ key: 'c', value: JSON.stringify({ ...change, value, reason: 'new pipeline' }) }])
  startWriter()
  await vi.waitFor(async () => {
    expect(await opened.rows('SELECT call_id, tenant, gateway, reason, log_topic FROM rejections')).toEqual([
      { call_id: 'r-1', tenant: 'acme', gateway: '', reason: 'missing_field', log_topic: 'rejections' },
    ])
    expect(await opened.rows('SELECT subject, consumer, allowed, denied, spent, demanded FROM decisions')).toEqual([
      { subject: '{"tenant":"acme"}', consumer: '', allowed: 3, denied: 1, spent: 30, demanded: 42.5 },
    ])
    const [row] = await opened.rows<{ value: string; at: string }>('SELECT value, at, by, key, version FROM audit')
    expect(row).toMatchObject({ at: '2026-05-01 12:00:00.000', by: 'admin', key: 'ci', version: 1 })
    expect(JSON.parse(row?.value ?? '')).toEqual({
      sha256Hash: '***',
      scopes: ['read'],
      nested: { password: '***' },
    })
  }, WAIT)
})

describe('every call is stored exactly once', () => {
  let appended = 0
  /** Appends calls, every tenth of them twice, until told to stop; answers how many different ones there were. */
  const appendForAWhile = () => {
    let isStopped = false
    const run = async (): Promise<number> => {
      let calls = 0
      for (let last: CallRecord[] = []; !isStopped; ) {
        const fresh = Array.from({ length: 200 }, () => makeCall())
        await append([...fresh, ...last])
        last = fresh.slice(0, 20)
        calls += fresh.length
        appended += fresh.length
        // A busy machine takes minutes for all this, and has to store what was appended within one in the end.
        await sleep(20)
      }
      return calls
    }
    const done = run()
    return () => {
      isStopped = true
      return done
    }
  }

  /**
   * One that is stopped while it writes to the embedded log, or its place in it, keeps everybody from writing there; that
   * is not what is asked.
   */
  const stopBetweenWrites = async (child: ChildProcess): Promise<void> => {
    const path = join(logDir, 'positions', 'writer')
    const positions = open({ path, mapSize: 2 ** 20, overlappingSync: false, maxDbs: 2, encoding: 'binary' })
    try {
      for (;;) {
        child.kill('SIGSTOP')
        const before = appended
        let isWritable = false
        const written = positions.transaction(() => {
          isWritable = true
        })
        await sleep(300)
        const isBetween = isWritable && appended > before
        if (!isBetween) child.kill('SIGCONT')
        await written
        if (isBetween) return
        await sleep(50)
      }
    } finally {
      await positions.close()
    }
  }

  // So many processes, one after the other, take their time on a busy machine.
  test('though the writer is killed again and again', { timeout: 240_000 }, async () => {
    const stop = appendForAWhile()
    for (let round = 0; round < 8; round++) {
      const child = await forkWriter()
      await sleep(50 + Math.random() * 500)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    const calls = await stop()
    startWriter()
    await expectExactly(calls)
  })

  test('though the engine is killed again and again', { timeout: 240_000 }, async () => {
    startWriter()
    const stop = appendForAWhile()
    for (let round = 0; round < 5; round++) {
      await sleep(200 + Math.random() * 500)
      process.kill(opened.engine.pid() ?? Number.NaN, 'SIGKILL')
      await vi.waitFor(() => expect(opened.engine.readiness()).not.toBeNull(), WAIT)
      await vi.waitFor(() => expect(opened.engine.readiness()).toBeNull(), WAIT)
    }
    const calls = await stop()
    await expectExactly(calls)
    await vi.waitFor(() => expect(writer?.readiness()).toEqual([]), WAIT)
  })

  test('though a stalled writer comes back after another took its place', { timeout: 240_000 }, async () => {
    const stop = appendForAWhile()
    const stalled = await forkWriter()
    await vi.waitFor(async () => expect((await countCalls())?.rows).toBeGreaterThan(1_000), WAIT)
    await stopBetweenWrites(stalled)
    const successor = await forkWriter()
    await sleep(1_500)
    const before = (await countCalls())?.rows ?? 0
    await vi.waitFor(async () => expect((await countCalls())?.rows).toBeGreaterThan(before), WAIT)
    stalled.kill('SIGCONT')
    await sleep(1_500)
    // The one that came back stands by, and takes over when it is needed again.
    successor.kill('SIGKILL')
    await once(successor, 'exit')
    const calls = await stop()
    await expectExactly(calls)
  })
})

test('a writer whose fence is gone says so and writes nothing', async () => {
  startWriter()
  await append([makeCall()])
  await expectExactly(1)
  await takeFence(opened.store, { topic: 'calls', partition: 0 })
  await append([makeCall()])
  await vi.waitFor(() => expect(writer?.readiness()).toEqual([expect.stringMatching(/^calls\/0 .*taken over/)]), WAIT)
  await expectExactly(1)
})

test('an outage of the store is said, waited for, and forgotten', async () => {
  startWriter()
  await append([makeCall()])
  await expectExactly(1)
  // Once is not enough: it may be back before a slow disk has taken the call.
  const killing = setInterval(() => {
    const pid = opened.engine.pid()
    if (pid !== null) process.kill(pid, 'SIGKILL')
  }, 10)
  try {
    await append([makeCall()])
    await vi.waitFor(() => expect(writer?.readiness()).toHaveLength(1), WAIT)
  } finally {
    clearInterval(killing)
  }
  await expectExactly(2)
  await vi.waitFor(() => expect(writer?.readiness()).toEqual([]), WAIT)
})
