import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { LogLoss, LogOptions } from '../../../collector/log/call-log.ts'
import { openCallLog } from '../../../collector/log/open.ts'
import { type LogUnderTest, testCallLog } from '../../contract/call-log.ts'
import { testControlLog } from '../../contract/control-log.ts'
import { setBack } from './set-back.ts'

const defaults: LogOptions = { kind: 'embedded', retentionSeconds: 3_600, sizeBytesMax: 2 ** 30 }

const underTest = async (): Promise<LogUnderTest> => {
  const root = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const dir = join(root, 'log')
  const topic = join(dir, 'calls')
  const copy = join(root, 'copy')
  return {
    dir,
    options: changes => ({ ...defaults, ...changes }),
    mortalOptions: () => defaults,
    // Its users go on writing meanwhile.
    wipe: () => rm(dir, { recursive: true, maxRetries: 10 }),
    backup: () => cp(topic, copy, { recursive: true }),
    async restore() {
      await rm(topic, { recursive: true })
      await cp(copy, topic, { recursive: true })
    },
    remove: () => rm(root, { recursive: true }),
  }
}

testCallLog('embedded', underTest, { isBounded: true, comparesAtOnce: true })
testControlLog('embedded', underTest)

test('a damaged block is lost, loudly, and its neighbours are not', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const losses: LogLoss[] = []
  const deps = { dir, log: pino({ level: 'silent' }), onLoss: (loss: LogLoss) => losses.push(loss) }
  const before = await openCallLog(defaults, deps)
  for (const value of ['"first"', '"damaged"', '"third"']) await before.append('calls', [{ key: value, value }])
  await before.close()
  const file = join(dir, 'calls', 'data.mdb')
  const bytes = await readFile(file)
  for (let at = bytes.indexOf('damaged'); at !== -1; at = bytes.indexOf('damaged', at)) bytes.write('DAMAGED', at)
  await writeFile(file, bytes)

  const log = await openCallLog(defaults, deps)
  const values: string[] = []
  log.subscribe(['calls'], 'writer', {
    assigned: async () => null,
    handle: async batch => void values.push(...batch.entries.map(entry => entry.value)),
    revoked: async () => undefined,
  })
  await expect.poll(() => values).toEqual(['"first"', '"third"'])
  const [partition] = await log.partitions('calls')
  const lost = {
    logId: partition?.logId,
    topic: 'calls',
    partition: 0,
    reason: 'unreadable',
    fromOffset: 1,
    toOffset: 2,
  }
  expect(losses).toEqual([{ ...lost, reader: 'writer' }])
  expect((await log.read('calls', 0, 1, 1)).entries).toEqual([])
  expect(losses.at(-1)).toEqual({ ...lost, reader: 'read' })
  await log.close()
  await rm(dir, { recursive: true })
})

test('a folder that cannot be opened is a retryable failure, and heals', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const log = await openCallLog(defaults, { dir, log: pino({ level: 'silent' }), onLoss: () => undefined })
  await appendFile(join(dir, 'calls'), 'a file where the folder should be')
  const entries = [{ key: '1', value: '1' }]
  await expect(log.append('calls', entries)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE', retryable: true })
  expect(log.unavailable()).toMatch(/calls/)
  await rm(join(dir, 'calls'))
  await log.append('calls', entries)
  expect(log.unavailable()).toBeNull()
  await log.close()
  await rm(dir, { recursive: true })
})

test('a folder that this process has open is refused, by any of its names, until it is closed', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const [dir, alias] = [join(root, 'log'), join(root, 'alias')]
  await symlink(dir, alias)
  const deps = { log: pino({ level: 'silent' }), onLoss: () => undefined }
  const first = await openCallLog(defaults, { ...deps, dir })
  for (const path of [dir, alias]) {
    const second = openCallLog(defaults, { ...deps, dir: path })
    await expect(second).rejects.toMatchObject({ code: 'LOG_OPEN_TWICE', retryable: false })
  }
  await first.append('calls', [{ key: '1', value: '1' }])
  await first.close()
  const later = await openCallLog(defaults, { ...deps, dir: alias })
  const [partition] = await later.partitions('calls')
  expect(partition?.endOffset).toBe(1)
  await first.close()
  await expect(openCallLog(defaults, { ...deps, dir })).rejects.toMatchObject({ code: 'LOG_OPEN_TWICE' })
  await later.close()
  await rm(root, { recursive: true })
})

test('a commit that another process has hidden by opening the log is not lost', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const log = await openCallLog(defaults, { dir, log: pino({ level: 'silent' }), onLoss: () => undefined })
  const values = Array.from({ length: 5 }, (_, index) => JSON.stringify(`${index}`))
  for (const value of values) {
    await log.append('calls', [{ key: value, value }])
    setBack(join(dir, 'calls'))
  }
  await log.append('calls', [{ key: 'last', value: '"last"' }])
  const { entries } = await log.read('calls', 0, 0, 100)
  expect(entries.map(({ value }) => value)).toEqual([...values, '"last"'])
  await log.close()
  await rm(dir, { recursive: true })
})

test('a reader that sees less than it has handled, as another process opens the log, goes on where it was', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
  const losses: LogLoss[] = []
  const deps = { dir, log: pino({ level: 'silent' }), onLoss: (loss: LogLoss) => losses.push(loss) }
  const log = await openCallLog(defaults, deps)
  const lives: string[] = []
  const values: string[] = []
  log.subscribe(['calls'], 'writer', {
    assigned: async ({ logId }) => {
      lives.push(logId)
      return null
    },
    handle: async batch => void values.push(...batch.entries.map(entry => entry.value)),
    revoked: async () => undefined,
  })
  for (const value of ['"first"', '"second"']) {
    await log.append('calls', [{ key: value, value }])
    await expect.poll(() => values.at(-1)).toBe(value)
  }
  setBack(join(dir, 'calls'))
  // It looks again, and is assigned the same life of the log.
  await expect.poll(() => lives.length).toBe(2)
  await log.append('calls', [{ key: 'third', value: '"third"' }])
  await expect.poll(() => values.length).toBeGreaterThanOrEqual(3)
  expect(values).toEqual(['"first"', '"second"', '"third"'])
  expect(new Set(lives).size).toBe(1)
  expect(losses).toEqual([])
  await log.close()
  await rm(dir, { recursive: true })
})
