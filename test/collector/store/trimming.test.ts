import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type Control, openControl } from '../../../analyzer/control/control.ts'
import type { Wish } from '../../../analyzer/control/fold.ts'
import { type CallLog, type EmbeddedLogOptions, LogError } from '../../../collector/log/call-log.ts'
import { toSnapshotPieces } from '../../../collector/log/control-snapshot.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { auditStore } from '../../../collector/store/audit.ts'
import { createWriter, type Writer, type WriterDeps } from '../../../collector/store/writer.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import type { WriterProcess } from './writer-process.ts'

const WAIT = { timeout: 60_000, interval: 25 }
const FAST_MS = 20
const NEVER_MS = 3_600_000
const logger = pino({ level: 'silent' })

let opened: TestStore
let logDir: string
let log: CallLog
let nowMs: number
let closing: { close(): Promise<void> }[]

beforeAll(async () => {
  opened = await openTestStore()
})
afterAll(() => opened?.close())
beforeEach(async () => {
  logDir = await mkdtemp(join(tmpdir(), 'quotacast-log-'))
  nowMs = Date.now()
  closing = []
  for (const table of ['rejections', 'audit']) await opened.store.client.command({ query: `TRUNCATE TABLE ${table}` })
})
afterEach(async () => {
  for (const each of closing.toReversed()) await each.close()
  await rm(logDir, { recursive: true, force: true })
})

const openLog = async (options: Partial<EmbeddedLogOptions> = {}) => {
  const logOptions = { kind: 'embedded' as const, retentionSeconds: 60, sizeBytesMax: 2 ** 28, ...options }
  log = await openCallLog(logOptions, {
    ...{ dir: logDir, log: logger, now: () => nowMs },
    onLoss: loss => expect.fail(JSON.stringify(loss)),
  })
  closing.push(log)
  return logOptions
}
const startWriter = (deps: Partial<WriterDeps> = {}): Writer => {
  const writer = createWriter({
    ...{ log, store: opened.store, logger, labelColumns: [], flushMs: FAST_MS, trimMs: FAST_MS },
    ...deps,
  })
  closing.push(writer)
  return writer
}
const openRole = async (): Promise<Control> => {
  const control = await openControl({ log, logger })
  closing.push(control)
  return control
}
const partition = async () => {
  const [found] = await log.partitions('control')
  if (!found) throw new Error('control has a partition')
  return found
}
const handled = (writer: Writer) =>
  vi.waitFor(async () => expect(writer.handledTo(await partition())).toBe((await partition()).endOffset), WAIT)
const wish = (kind: Wish['kind'], key: string, version: number, value: unknown): Wish => ({
  ...{ kind, key, version, value },
  ...{ by: 'analyzer', reason: null },
})
const audited = async () => {
  const [row] = await opened.rows<{ rows: number; changes: number }>(
    'SELECT count() AS rows, uniqExact(change_id) AS changes FROM audit',
  )
  return row
}
/** Time for a writer to trim again, if it were wrong. */
const trimAgain = () => sleep(10 * FAST_MS)

test('of control goes only what a snapshot holds that is whole and handled, whoever has handled it', async () => {
  await openLog()
  const control = await openRole()
  for (let version = 0; version < 4; version++) await control.change(wish('grant', 'a', version, version))
  nowMs += NEVER_MS
  const early = startWriter()
  await handled(early)
  await trimAgain()
  expect(await partition()).toMatchObject({ beginOffset: 0, endOffset: 4 })

  const held = [
    { kind: 'grant' as const, key: 'a', version: 4, value: 3 },
    { kind: 'grant' as const, key: 'b', version: 1, value: 1 },
  ]
  const [first = '', second = ''] = await toSnapshotPieces({ asOfOffset: 3, held }, 1)
  await log.append('control', [{ key: 's', value: second }])
  await handled(early)
  await trimAgain()
  expect((await partition()).beginOffset).toBe(0)
  await early.close()

  // It dies before it trims, and what comes after it finds no pieces that are new.
  const killed = startWriter({ trimMs: NEVER_MS })
  await log.append('control', [{ key: 's', value: first }])
  await handled(killed)
  await killed.close()
  expect((await partition()).beginOffset).toBe(0)
  const late = startWriter()
  await vi.waitFor(async () => expect((await partition()).beginOffset).toBe(3), WAIT)
  await trimAgain()
  expect(await partition()).toMatchObject({ beginOffset: 3, endOffset: 6 })
  expect(await audited()).toEqual({ rows: 4, changes: 4 })
  expect(await opened.rows('SELECT * FROM rejections')).toEqual([])
  expect(late.readiness()).toEqual([])
  const { differences } = await auditStore({ log, store: opened.store, logger, handledTo: late.handledTo })
  expect(differences).toEqual([])
})

test('a snapshot that is not wholly handled yet frees nothing', async () => {
  await openLog()
  const control = await openRole()
  for (let version = 0; version < 4; version++) await control.change(wish('grant', 'a', version, version))
  nowMs += NEVER_MS
  const trimmed = vi.fn(log.trim)
  let insertable = Promise.resolve()
  const insert: typeof opened.store.client.exec = async params => {
    await insertable
    return opened.store.client.exec(params)
  }
  const client = new Proxy(opened.store.client, {
    get: (target, name) => (name === 'exec' ? insert : Reflect.get(target, name).bind?.(target)),
  })
  const writer = startWriter({ store: { ...opened.store, client }, log: { ...log, trim: trimmed } })
  const held = ['a', 'b'].map(key => ({ kind: 'grant' as const, key, version: 4, value: 3 }))
  const [first = '', second = ''] = await toSnapshotPieces({ asOfOffset: 4, held }, 1)
  await log.append('control', [{ key: 's', value: first }])
  await handled(writer)

  const { promise, resolve: goOn } = Promise.withResolvers<void>()
  insertable = promise
  const change = { ...wish('grant', 'a', 4, 4), changeId: 'late', atMs: nowMs, expectedVersion: 4, version: 5 }
  const values = [second, JSON.stringify(change)]
  await log.append(
    'control',
    values.map(value => ({ key: 's', value })),
  )
  const before = trimmed.mock.calls.length
  await vi.waitFor(() => expect(trimmed.mock.calls.length).toBeGreaterThan(before + 40), WAIT)
  expect(trimmed.mock.calls.filter(([{ topic }, belowOffset]) => topic === 'control' && belowOffset > 0)).toEqual([])
  goOn()
  await vi.waitFor(async () => expect((await partition()).beginOffset).toBe(4), WAIT)
})

/** Control's tenth of it is 1.7 MB: a third of what is written. */
const SMALL = { retentionSeconds: 7 * 86_400, sizeBytesMax: 16 * 2 ** 20 }
const ROUNDS = 200
const PACES = 40
const OVERRIDES = 200
const KILL_EVERY_ROUNDS = 40
/** Not to be compressed much, so that little of it is a lot. */
const filler = () => randomBytes(450).toString('base64')

test('paces never fill the log, however many; who starts then knows the rest, and each change is audited once, though the writer is killed', async () => {
  const logOptions = await openLog(SMALL)
  const task: WriterProcess = {
    ...{ logDir, logOptions, storeDir: opened.dir, storeOptions: opened.options },
    ...{ flushMs: FAST_MS, trimMs: FAST_MS },
  }
  const startProcess = async (): Promise<ChildProcess> => {
    const child = fork(join(import.meta.dirname, 'writer-process.ts'), [JSON.stringify(task)], { execArgv: [] })
    closing.push({ close: async () => void child.kill('SIGKILL') })
    await once(child, 'message')
    return child
  }
  const analyzer = await openRole()
  const writings = [analyzer, await openRole()].map(control => control.writeSnapshots({ checkMs: FAST_MS }))
  let changes = 0
  const change = async (asked: Wish): Promise<void> => {
    await vi.waitFor(
      () =>
        analyzer.change(asked).catch((error: unknown) => {
          // Full for a moment, while the writer is gone: nothing of it was taken.
          if (error instanceof LogError && error.code === 'LOG_FULL') throw error
          expect.fail(String(error))
        }),
      WAIT,
    )
    changes++
  }
  const secret = await analyzer.createToken({ name: 'kong', scopes: ['check'], tenant: null, by: 'admin' })
  changes++
  await change(wish('quota', 'hourly', 0, { limit: 7 }))
  await change(wish('grant', 'more', 0, { amount: 1 }))
  await change(wish('grant', 'more', 1, null))
  for (let index = 0; index < OVERRIDES; index++) await change(wish('override', `o${index}`, 0, filler()))
  let child = await startProcess()
  for (let round = 0; round < ROUNDS; round++) {
    const round40 = Array.from({ length: PACES }, (_, key) => change(wish('pace', `p${key}`, round, filler())))
    if (round % KILL_EVERY_ROUNDS === KILL_EVERY_ROUNDS - 1) {
      child.kill('SIGKILL')
      child = await startProcess()
    }
    await Promise.all(round40)
  }
  for (const writing of writings) await writing.stop()
  child.kill('SIGKILL')
  await once(child, 'exit')
  const writer = startWriter()
  await handled(writer)

  const late = await openRole()
  expect(late.unavailable()).toBeNull()
  expect(late.verifyToken(secret)).toMatchObject({ name: 'kong' })
  expect(late.current('quota', 'hourly')).toEqual({ version: 1, value: { limit: 7 } })
  expect(late.current('grant', 'more')).toEqual({ version: 2, value: null })
  expect(late.keys('override')).toHaveLength(OVERRIDES)
  expect(late.current('pace', 'p0')).toEqual(analyzer.current('pace', 'p0'))
  expect(late.current('pace', 'p0').version).toBe(ROUNDS)
  expect((await partition()).beginOffset).toBeGreaterThan(ROUNDS * PACES * 0.5)
  expect(await audited()).toEqual({ rows: changes, changes })
  expect(await opened.rows('SELECT * FROM rejections')).toEqual([])
  const { differences } = await auditStore({ log, store: opened.store, logger, handledTo: writer.handledTo })
  expect(differences).toEqual([])
}, 300_000)
