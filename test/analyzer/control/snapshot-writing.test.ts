import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { type Fold, startFold } from '../../../analyzer/control/fold.ts'
import { startSnapshotWriting } from '../../../analyzer/control/snapshot-writing.ts'
import { LogError } from '../../../collector/log/call-log.ts'
import { type ControlKind, isSnapshotPiece, parseSnapshotPiece } from '../../../collector/log/control-change.ts'
import { silent } from '../limit/call-records.ts'
import { type MemoryLog, openMemoryLog } from './control-log.ts'

const CHECKED = { timeout: 30_000, interval: 20 }

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close()
  vi.restoreAllMocks()
})

async function open(log: MemoryLog): Promise<Fold> {
  const fold = await startFold({ log, logger: silent, onChange: () => undefined })
  opened.push(fold)
  return fold
}
const write = (log: MemoryLog, fold: Fold, logger = silent) => {
  const writing = startSnapshotWriting({ fold, log, logger, checkMs: 50 })
  opened.push({ close: writing.stop })
}
let changes = 0
const change = (kind: ControlKind, key: string, expectedVersion: number, value: unknown) => {
  const asked = { changeId: `c${changes++}`, atMs: 0, by: 'test', reason: null }
  return JSON.stringify({ kind, key, expectedVersion, version: expectedVersion + 1, value, ...asked })
}
/** `count` changes of one thing. */
const fill = (log: MemoryLog, count: number) => {
  for (let version = 0; version < count; version++) log.put(change('quota_config', 'a', version, { limit: version }))
}
const pieces = (log: MemoryLog) => log.entries().flatMap(entry => parseSnapshotPiece(entry) ?? [])
/** Lines of the log, as the events write them. */
function capture() {
  const lines: { msg: string; level: number }[] = []
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  return { logger, saying: (text: string) => lines.filter(({ msg }) => msg.includes(text)) }
}

test('one is written at the start when much has changed, and not again before as much has', async () => {
  const log = openMemoryLog(1_000)
  fill(log, 1_001)
  write(log, await open(log))
  await vi.waitFor(() => expect(pieces(log)).toHaveLength(1), CHECKED)
  const held = [{ kind: 'quota_config', key: 'a', version: 1_001, value: { limit: 1_000 } }]
  expect(pieces(log)).toMatchObject([{ asOfOffset: 1_001, part: 0, parts: 1, held }])
  write(log, await open(log))
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(pieces(log)).toHaveLength(1)
})

test('the more there is to hold, the less often', async () => {
  const log = openMemoryLog(1_000)
  for (let key = 0; key < 700; key++) log.put(change('override', `o${key}`, 0, { amount: key }))
  fill(log, 690)
  const fold = await open(log)
  write(log, fold)
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(pieces(log)).toEqual([])
  for (let version = 690; version < 720; version++) log.put(change('quota_config', 'a', version, null))
  write(log, fold)
  await vi.waitFor(() => expect(pieces(log)[0]?.held).toHaveLength(701), CHECKED)
})

test('what is gone does not put it off: of things that come and go there may be ten thousand of each kind', async () => {
  const log = openMemoryLog(2_000)
  for (let key = 0; key < 600; key++) {
    log.put(change('grant', `g${key}`, 0, { amount: key }))
    log.put(change('grant', `g${key}`, 1, null))
  }
  write(log, await open(log))
  await vi.waitFor(() => expect(pieces(log)[0]?.held).toHaveLength(600), CHECKED)
})

test('what was removed keeps its version, except of what comes and goes', async () => {
  const log = openMemoryLog(2_000)
  for (const kind of ['token', 'pace', 'upstream'] as const) {
    log.put(change(kind, 'x', 0, { a: 1 }))
    log.put(change(kind, 'x', 1, null))
  }
  fill(log, 1_000)
  const fold = await open(log)
  write(log, fold)
  await vi.waitFor(() => expect(pieces(log)).toHaveLength(1), CHECKED)
  expect(pieces(log)[0]?.held.map(({ kind, version }) => [kind, version])).toEqual([
    ['token', 2],
    ['quota_config', 1_000],
  ])
  expect(fold.current('pace', 'x').version).toBe(0)
})

test('what fails is said once, and tried again', async () => {
  const log = openMemoryLog(1_000)
  fill(log, 1_500)
  const append = vi.spyOn(log, 'append')
  append.mockRejectedValueOnce(new LogError('LOG_FULL', 'The log is full'))
  append.mockRejectedValueOnce(new LogError('LOG_FULL', 'The log is full'))
  const { logger, saying } = capture()
  write(log, await open(log), logger)
  await vi.waitFor(() => expect(append).toHaveBeenCalledTimes(1), CHECKED)
  await vi.waitFor(() => expect(pieces(log)).toHaveLength(1), CHECKED)
  expect(saying('no snapshot is written')).toHaveLength(1)
  expect(saying('a snapshot was written')).toHaveLength(1)
})

test('who cannot read what a later version has changed writes none', async () => {
  const log = openMemoryLog(1_000)
  log.put('{"no":"change"}')
  log.put(change('spell' as never, 'x', 0, 1))
  fill(log, 1_500)
  const { logger, saying } = capture()
  write(log, await open(log), logger)
  await vi.waitFor(() => expect(saying('no snapshot is written')).toHaveLength(1), CHECKED)
  expect(pieces(log)).toEqual([])
})

test('a log that was restored to an earlier state gets none of what it has lost', async () => {
  const log = openMemoryLog(2_000)
  fill(log, 1_500)
  const fold = await open(log)
  const partitions = vi.spyOn(log, 'partitions')
  partitions.mockResolvedValue([{ topic: 'control', logId: 'log', partition: 0, beginOffset: 0, endOffset: 1_400 }])
  write(log, fold)
  await vi.waitFor(() => expect(partitions).toHaveBeenCalled(), CHECKED)
  await new Promise(resolve => setTimeout(resolve, 100))
  expect(log.entries().some(({ value }) => isSnapshotPiece(value))).toBe(false)
})

test('where changes are gone that no snapshot holds, who knows them writes them down, and who does not says so until then', async () => {
  const log = openMemoryLog(1_000)
  fill(log, 3)
  const old = await open(log)
  log.trim(2)
  const { logger, saying } = capture()
  const fresh = await startFold({ log, logger, onChange: () => undefined })
  opened.push(fresh)
  await fresh.refresh()
  expect(fresh.unavailable()).toMatch(/changes 0 to 2 are gone.*what held stays in force/)
  expect(saying('changes are not known')).toHaveLength(1)
  expect(old.unavailable()).toBeNull()
  write(log, old)
  await vi.waitFor(() => expect(fresh.unavailable()).toBeNull(), CHECKED)
  expect(fresh.entries()).toEqual(old.entries())
  expect(saying('changes are not known')).toHaveLength(1)
})

test('what held stays in force while it is not known what holds now, be all of the log gone', async () => {
  const log = openMemoryLog(1_000)
  fill(log, 3)
  const told: unknown[] = []
  const fold = await startFold({ log, logger: silent, onChange: ({ value }) => void told.push(value) })
  opened.push(fold)
  fill(log, 2)
  log.trim(5)
  await fold.refresh()
  expect(fold.unavailable()).toMatch(/changes 3 to 5 are gone/)
  expect(fold.current('quota_config', 'a')).toEqual({ version: 3, value: { limit: 2 } })
  expect(told).toHaveLength(3)
})
