import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import type { CallLog } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { auditStore } from '../../../collector/store/audit.ts'
import { createWriter, type Writer } from '../../../collector/store/writer.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import { LOG_OPTIONS } from './log-options.ts'
import { makeCall, toEntry } from './make-call.ts'

const WAIT = { timeout: 30_000, interval: 25 }
const CALLS = 200
const NOTHING = { lost: 0, doubled: 0, misplaced: 0, projection: 0 }

let opened: TestStore
let logDir: string
let log: CallLog
let writer: Writer
let calls: CallRecord[]
const logger = pino({ level: 'silent' })

const command = (query: string) => opened.store.client.command({ query, clickhouse_settings: { mutations_sync: '2' } })
const audit = (entriesMax?: number) =>
  auditStore({ log, store: opened.store, logger, handledTo: writer.handledTo, ...(entriesMax && { entriesMax }) })

beforeAll(async () => {
  opened = await openTestStore()
  logDir = await mkdtemp(join(tmpdir(), 'quotacast-log-'))
  log = await openCallLog(LOG_OPTIONS, { dir: logDir, log: logger, onLoss: () => undefined })
  writer = createWriter({ log, store: opened.store, logger, labelColumns: [], flushMs: 20 })
})
afterAll(async () => {
  await writer?.close()
  await log?.close()
  await opened?.close()
  await rm(logDir, { recursive: true, force: true })
})
/** Fresh calls, one that came again, one entry that nobody can read: all of it in order. */
beforeEach(async () => {
  await command('TRUNCATE TABLE calls')
  await command('TRUNCATE TABLE rejections')
  const [before] = await log.partitions('calls')
  calls = Array.from({ length: CALLS }, (_, index) => makeCall({ startedAtMs: Date.now() - index * 60_000 }))
  await log.append('calls', [
    ...calls.map(toEntry),
    ...calls.slice(0, 1).map(toEntry),
    { key: 'x', value: 'unreadable' },
  ])
  const end = (before?.endOffset ?? 0) + CALLS + 2
  await vi.waitFor(async () => {
    const [partition] = await log.partitions('calls')
    expect(partition && writer.handledTo(partition)).toBe(end)
  }, WAIT)
})

test('a lost row is reported', async () => {
  const lost = calls[7]
  await command(`ALTER TABLE calls DELETE WHERE call_id = '${lost?.callId}'`)
  const report = await audit(CALLS + 2)
  expect(report.counts).toEqual({ ...NOTHING, lost: 1 })
  expect(report.differences).toMatchObject([{ kind: 'lost', topic: 'calls', id: lost?.callId }])
})

test('a lost rejection is reported', async () => {
  await command('ALTER TABLE rejections DELETE WHERE 1')
  expect((await audit(CALLS + 2)).counts).toMatchObject({ lost: 1 })
})

test('a doubled row is reported, as a position and as a call', async () => {
  const doubled = calls[7]
  await command(`INSERT INTO calls SELECT * FROM calls WHERE call_id = '${doubled?.callId}'`)
  const report = await audit(CALLS + 2)
  expect(report.counts).toEqual({ ...NOTHING, doubled: 2 })
  for (const difference of report.differences) expect(difference.id).toBe(doubled?.callId)
})

test('a call that is stored under two positions is reported', async () => {
  const doubled = calls[7]
  await command(
    `INSERT INTO calls SELECT * REPLACE ('elsewhere' AS log_id) FROM calls WHERE call_id = '${doubled?.callId}'`,
  )
  const report = await audit(CALLS + 2)
  expect(report.differences).toMatchObject([{ kind: 'doubled', id: doubled?.callId }])
})

test('a misplaced row is reported: another call at a position, and a position that the log does not have', async () => {
  const [wrong, beyond] = calls
  await command(`ALTER TABLE calls UPDATE log_offset = log_offset + 1000000 WHERE call_id = '${beyond?.callId}'`)
  await command(`ALTER TABLE calls UPDATE call_id = generateUUIDv4() WHERE call_id = '${wrong?.callId}'`)
  const report = await audit(CALLS + 2)
  // The first call is now nowhere: its own position and the one where it came again both lack it.
  expect(report.counts).toEqual({ ...NOTHING, misplaced: 2, lost: 2 })
})

test('an age at which rows may be gone is no loss', async () => {
  await command('TRUNCATE TABLE calls')
  const report = await auditStore({
    log,
    store: opened.store,
    logger,
    handledTo: writer.handledTo,
    entriesMax: CALLS,
    now: () => Date.now() + 31 * 86_400_000,
  })
  expect(report.counts).toMatchObject({ lost: 0 })
})

test('log and store agree about calls, calls that came again, and entries that nobody can read', async () => {
  await log.append('rejections', [{ key: 'r', value: 'unreadable' }])
  const [partition] = await log.partitions('rejections')
  await vi.waitFor(() => expect(partition && writer.handledTo(partition)).toBe(1), WAIT)
  const report = await audit(CALLS + 2)
  expect(report.differences).toEqual([])
  expect(report.counts).toEqual(NOTHING)
  expect(report.partitions).toMatchObject([
    { topic: 'calls', entries: CALLS + 2, rows: CALLS + 1, duplicates: 1 },
    { topic: 'rejections', entries: 1, rows: 1 },
    { topic: 'decisions', entries: 0 },
    { topic: 'control', entries: 0 },
  ])
})

test('what is trimmed while an audit looks is no difference', async () => {
  const [partition] = await log.partitions('calls')
  const handledTo = partition && writer.handledTo(partition)
  const trimmedTo = (handledTo ?? 0) - 100
  let hasRead = false
  const trimmed: CallLog = {
    ...log,
    partitions: async topic =>
      (await log.partitions(topic)).map(held => ({ ...held, beginOffset: hasRead ? trimmedTo : held.beginOffset })),
    read: async (topic, number, fromOffset, entriesMax) => {
      const batch = await log.read(topic, number, fromOffset, entriesMax)
      hasRead ||= topic === 'calls'
      return { ...batch, entries: batch.entries.filter(({ offset }) => topic !== 'calls' || offset >= trimmedTo) }
    },
  }
  const deps = { store: opened.store, logger, handledTo: writer.handledTo, entriesMax: CALLS + 2 }
  expect((await auditStore({ ...deps, log: trimmed })).counts).toEqual(NOTHING)
})

test('a change that has left the store by age is not lost, another is', async () => {
  const change = (days: number) => ({
    ...{ changeId: `${days}`, atMs: Date.now() - days * 86_400_000, by: 'test', kind: 'block', key: `${days}` },
    ...{ expectedVersion: 0, version: 1, value: {}, reason: null },
  })
  const entries = [29, 31].map(days => ({ key: `block:${days}`, value: JSON.stringify(change(days)) }))
  await log.append('control', entries)
  await vi.waitFor(async () => {
    const [partition] = await log.partitions('control')
    expect(partition && writer.handledTo(partition)).toBe(partition?.endOffset)
  }, WAIT)
  const lost = async () =>
    (await audit(CALLS + 2)).differences.flatMap(({ kind, topic, offset }) =>
      topic === 'control' ? [[kind, offset]] : [],
    )
  await command("ALTER TABLE audit DELETE WHERE change_id = '31'")
  expect(await lost()).toEqual([])
  await command("ALTER TABLE audit DELETE WHERE change_id = '29'")
  expect(await lost()).toEqual([['lost', 0]])
})
