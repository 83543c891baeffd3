import { existsSync } from 'node:fs'
import { appendFile, copyFile, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CallRecord } from '../../../collector/call-record.ts'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import type { MappingOptions } from '../../../collector/normalize/mapping.ts'
import { type ImportDeps, type ImportRequest, importFiles } from '../../../collector/receive/file.ts'
import type { ImportProgress, ImportRejection } from '../../../collector/receive/import-run.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import { CODE, CONVERSATION, hasTraces, MAPPINGS, TRACES } from '../../e2e/azure.ts'
import { normalizerFor } from '../normalize/normalizer.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'

const NOW_MS = 1_763_700_000_000
const mappings: MappingOptions = {
  ...(MAPPINGS as MappingOptions),
  plain: { format: 'csv', fields: { startedAtMs: { from: 'at', time: 'unix_ms' }, inputTokens: 'tokens' } },
  lenient: {
    format: 'csv',
    fields: { startedAtMs: { from: 'at', time: 'unix_ms' }, inputTokens: { from: 'tokens', values: { x: 0 } } },
  },
}
const normalizer = normalizerFor({ mappings })

let testLog: TestLog
beforeEach(async () => {
  testLog = await openTestLog()
})
afterEach(() => testLog.close())

/** Imports, and answers the reports with what was heard on the way. */
async function run(
  request: Partial<ImportRequest> & { paths: string[]; mapping?: string },
  more: Partial<ImportDeps> = {},
) {
  const { mapping = 'plain', ...rest } = request
  const dialect = normalizer.dialect(mapping)
  if (dialect === undefined) throw new Error(`no mapping ${mapping}`)
  const progress: ImportProgress[] = []
  const rejections: ImportRejection[] = []
  const waits: string[] = []
  const reports = await importFiles(
    { origin: plainSource(dialect), shiftToMs: null, isFromStart: false, ...rest },
    {
      log: testLog.log,
      logger,
      normalizer,
      dir: join(testLog.dir, 'imports'),
      now: () => NOW_MS,
      onProgress: come => progress.push(come),
      onRejection: rejection => rejections.push(rejection),
      onWait: reason => waits.push(reason),
      signal: new AbortController().signal,
      ...more,
    },
  )
  return { reports, progress, rejections, waits }
}

async function fileOf(name: string, content: string | Buffer): Promise<string> {
  const path = join(testLog.dir, name)
  await writeFile(path, content)
  return path
}
/** A file of calls, one a second from 1,000 s on. */
const rows = (count: number, from = 0) =>
  Array.from({ length: count }, (_, n) => `${(1000 + from + n) * 1000},${from + n}`)
const csv = (count: number) => `at,tokens\n${rows(count).join('\n')}\n`
const ids = (calls: readonly CallRecord[]) => new Set(calls.map(({ callId }) => callId))

describe.runIf(hasTraces)('the recorded hour', () => {
  test('becomes one record a line, with its numbers', async () => {
    const { reports, progress } = await run({ paths: TRACES.map(({ file }) => file), mapping: 'azure-llm' })
    expect(reports).toMatchObject([
      { accepted: CONVERSATION.calls, rejected: {}, isComplete: true },
      { accepted: CODE.calls, rejected: {}, isComplete: true },
    ])
    const calls = await testLog.calls()
    const sum = (consumer: string, field: 'inputTokens' | 'outputTokens') =>
      calls.filter(call => call.consumer === consumer).reduce((total, call) => total + (call[field] ?? 0), 0)
    for (const trace of TRACES) {
      expect(sum(trace.consumer, 'inputTokens')).toBe(trace.inputTokens)
      expect(sum(trace.consumer, 'outputTokens')).toBe(trace.outputTokens)
    }
    expect(ids(calls).size).toBe(CONVERSATION.calls + CODE.calls)
    const last = progress.at(-1)
    expect(last).toMatchObject({ accepted: CONVERSATION.calls + CODE.calls })
    expect(last?.bytesRead).toBe(last?.bytes)
  })

  test('moves together, so that its last call is then, and keeps distances', async () => {
    const paths = TRACES.map(({ file }) => file)
    await run({ paths, mapping: 'azure-llm' })
    const recorded = (await testLog.calls()).map(({ startedAtMs }) => startedAtMs)
    await testLog.close()
    testLog = await openTestLog()
    const { reports } = await run({ paths, mapping: 'azure-llm', shiftToMs: NOW_MS })
    const moved = (await testLog.calls()).map(({ startedAtMs }) => startedAtMs)
    expect(Math.max(...moved)).toBe(NOW_MS)
    const shiftMs = NOW_MS - Math.max(...recorded)
    expect(moved).toEqual(recorded.map(startedAtMs => startedAtMs + shiftMs))
    expect(reports.map(report => report.shiftMs)).toEqual([shiftMs, shiftMs])
  })

  test('is the same compressed', async () => {
    const plain = await readFile(CODE.file)
    await run({ paths: [CODE.file], mapping: 'azure-llm' })
    const before = ids(await testLog.calls())
    for (const [name, content] of [
      [`${CODE.consumer}.csv.gz`, gzipSync(plain)],
      [`${CODE.consumer}.csv.zst`, zstdCompressSync(plain)],
      [`${CODE.consumer}.csv.zstd`, Buffer.concat([plain.subarray(0, 999), plain.subarray(999)].map(inFrame))],
    ] as const) {
      await run({ paths: [await fileOf(name, content)], mapping: 'azure-llm', isFromStart: true })
    }
    const calls = await testLog.calls()
    expect(calls).toHaveLength(4 * CODE.calls)
    expect(ids(calls)).toEqual(before)
    expect(new Set(calls.map(({ consumer }) => consumer))).toEqual(new Set([CODE.consumer]))
  })
})

/** One frame of zstd: several of them follow each other in a file that was written piece by piece. */
const inFrame = (bytes: Buffer) => zstdCompressSync(bytes)

describe('importing again', () => {
  test('adds nothing, under another name neither', async () => {
    const path = await fileOf('calls.csv', csv(100))
    await run({ paths: [path] })
    expect((await run({ paths: [path] })).reports).toMatchObject([{ accepted: 0, before: 100, isComplete: true }])
    const renamed = join(testLog.dir, 'calls.csv.1')
    await rename(path, renamed)
    expect((await run({ paths: [renamed] })).reports).toMatchObject([{ accepted: 0, before: 100 }])
    expect(await testLog.calls()).toHaveLength(100)
  })

  test('takes what was added to the file', async () => {
    const path = await fileOf('calls.csv', csv(100))
    await run({ paths: [path] })
    await appendFile(path, `${rows(50, 100).join('\n')}\n`)
    expect((await run({ paths: [path] })).reports).toMatchObject([{ accepted: 50, before: 100 }])
    expect(ids(await testLog.calls()).size).toBe(150)
  })

  test('takes a line whole that was being written the last time', async () => {
    const [first, second] = [1, 2].map(n => JSON.stringify({ startedAtMs: n * 1000, inputTokens: n }))
    const path = await fileOf('calls.jsonl', `${first}\n${second?.slice(0, 20)}`)
    const { reports } = await run({ paths: [path], mapping: 'canonical' })
    expect(reports).toMatchObject([{ accepted: 1, rejected: { unreadable: 1 }, before: 0 }])
    await appendFile(path, `${second?.slice(20)}\n`)
    expect((await run({ paths: [path], mapping: 'canonical' })).reports).toMatchObject([{ accepted: 1, rejected: {} }])
    expect((await run({ paths: [path], mapping: 'canonical' })).reports).toMatchObject([{ accepted: 0, rejected: {} }])
    expect((await testLog.calls()).map(({ inputTokens }) => inputTokens)).toEqual([1, 2])
  })

  test('from the start finds the same ids', async () => {
    const path = await fileOf('calls.csv', csv(100))
    await run({ paths: [path] })
    await run({ paths: [path], isFromStart: true })
    const calls = await testLog.calls()
    expect(calls).toHaveLength(200)
    expect(ids(calls).size).toBe(100)
  })

  test('begins anew when the file, the mapping or the log is another', async () => {
    const path = await fileOf('calls.csv', csv(100).replace(',7\n', ',x\n'))
    expect((await run({ paths: [path] })).reports).toMatchObject([{ accepted: 99, rejected: { invalid_field: 1 } }])
    expect((await run({ paths: [path], mapping: 'lenient' })).reports).toMatchObject([{ accepted: 100 }])
    await fileOf('calls.csv', csv(100))
    expect((await run({ paths: [path], mapping: 'lenient' })).reports).toMatchObject([{ accepted: 100 }])
    expect(ids(await testLog.calls()).size).toBe(101)
    const other = await openTestLog()
    try {
      expect((await run({ paths: [path], mapping: 'lenient' }, { log: other.log })).reports).toMatchObject([
        { accepted: 100 },
      ])
    } finally {
      await other.close()
    }
  })

  test('keeps the shift of the first time, and others join it', async () => {
    const [one, two] = [
      await fileOf('one.csv', csv(10)),
      await fileOf('two.csv', csv(20).replace('1000000,', '1000500,')),
    ]
    const first = await run({ paths: [one], shiftToMs: NOW_MS })
    const shiftMs = first.reports[0]?.shiftMs
    expect(shiftMs).toBe(NOW_MS - 1_009_000)
    const both = await run({ paths: [one, two], shiftToMs: NOW_MS + 5000, isFromStart: true })
    expect(both.reports.map(report => report.shiftMs)).toEqual([shiftMs, shiftMs])
    expect((await run({ paths: [one], isFromStart: true })).reports).toMatchObject([{ shiftMs }])
    expect(ids(await testLog.calls()).size).toBe(30)
  })

  test('of files with different shifts does not guess that of a third', async () => {
    const paths = [
      await fileOf('one.csv', csv(2)),
      await fileOf('two.csv', csv(2).replace('1000000,', '1000001,')),
      await fileOf('three.csv', csv(2).replace('1000000,', '1000002,')),
    ]
    await run({ paths: paths.slice(0, 1), shiftToMs: NOW_MS })
    await run({ paths: paths.slice(1, 2), shiftToMs: NOW_MS + 1 })
    await expect(run({ paths, shiftToMs: NOW_MS })).rejects.toMatchObject({ code: 'SHIFTS_DIFFER' })
    await run({ paths: paths.slice(0, 2), shiftToMs: NOW_MS })
  })

  test('refuses a damaged state instead of forgetting the shift', async () => {
    const path = await fileOf('calls.csv', csv(10))
    await run({ paths: [path] })
    const [state = ''] = await readdir(join(testLog.dir, 'imports'))
    await writeFile(join(testLog.dir, 'imports', state), '{')
    await expect(run({ paths: [path] })).rejects.toMatchObject({ code: 'IMPORT_STATE_UNREADABLE' })
  })
})

describe('an interrupted import', () => {
  /** Some blocks of 256 KiB. */
  const CALLS = 100_000

  test('that was stopped goes on where it was', async () => {
    const path = await fileOf('calls.csv', csv(CALLS))
    const stop = new AbortController()
    const first = await run({ paths: [path] }, { signal: stop.signal, onProgress: () => stop.abort() })
    const [report] = first.reports
    expect(report).toMatchObject({ isComplete: false })
    expect(report?.accepted).toBeLessThan(CALLS)
    const second = await run({ paths: [path] })
    expect(second.reports).toMatchObject([{ before: report?.accepted, isComplete: true }])
    const calls = await testLog.calls()
    expect(calls).toHaveLength(CALLS)
    expect(ids(calls).size).toBe(CALLS)
  })

  test('that died between append and state finds the same ids', async () => {
    const path = await fileOf('calls.csv.gz', gzipSync(csv(CALLS)))
    let appends = 0
    const dying: CallLog = {
      ...testLog.log,
      async append(topic, entries) {
        if (++appends > 3) throw new LogError('LOG_CORRUPT', 'died')
        return testLog.log.append(topic, entries)
      },
    }
    await expect(run({ paths: [path] }, { log: dying })).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    await run({ paths: [path] })
    expect(ids(await testLog.calls()).size).toBe(CALLS)
  })

  test('waits while the log is full', async () => {
    const path = await fileOf('calls.csv', csv(10))
    let failures = 2
    const full: CallLog = {
      ...testLog.log,
      async append(topic, entries) {
        if (failures-- > 0) throw new LogError('LOG_FULL', 'the log is full')
        return testLog.log.append(topic, entries)
      },
    }
    const { reports, waits } = await run({ paths: [path] }, { log: full })
    expect(waits).toEqual(['the log is full', 'the log is full'])
    expect(reports).toMatchObject([{ accepted: 10 }])
  })
})

describe('errors', () => {
  test('name file, line, field and value, and nothing secret', async () => {
    const path = await fileOf('calls.csv', 'at,tokens\n\n1000,1\n"2000\n",Bearer abcdef1234567\n3000\n4000,4\n')
    const { rejections, reports } = await run({ paths: [path] })
    expect(rejections).toEqual([
      {
        path,
        lineNumber: 4,
        reason: 'invalid_field',
        message: 'inputTokens (tokens): "(credential)" is not a whole number.',
      },
      { path, lineNumber: 6, reason: 'unreadable', message: 'The line has 1 fields, the header 2.' },
    ])
    expect(reports).toMatchObject([{ accepted: 2, rejected: { invalid_field: 1, unreadable: 1 } }])
    const kept = await testLog.rejections()
    expect(JSON.stringify(kept)).not.toContain('abcdef1234567')
  })

  test('of a file that does not fit come before anything is imported', async () => {
    const paths = [await fileOf('good.csv', csv(5)), await fileOf('bad.csv', 'a,b\n1,2\n')]
    await expect(run({ paths })).rejects.toMatchObject({ code: 'COLUMN_MISSING' })
    expect(await testLog.calls()).toEqual([])
    expect(existsSync(join(testLog.dir, 'imports'))).toBe(false)
  })

  test('of a file that is not there, or is cut off', async () => {
    const missing = join(testLog.dir, 'missing.csv')
    await expect(run({ paths: [missing] })).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining(missing),
    })
    const whole = gzipSync(csv(1000))
    const cut = await fileOf('cut.csv.gz', whole.subarray(0, whole.length - 20))
    await expect(run({ paths: [cut] })).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test('do not come of a file without calls', async () => {
    const paths = [await fileOf('empty.csv', ''), await fileOf('header.csv', 'at,tokens\n')]
    const nothing = { accepted: 0, isComplete: true }
    await expect(run({ paths, shiftToMs: NOW_MS })).resolves.toMatchObject({ reports: [nothing, nothing] })
  })
})

test('equal lines of a file are calls of their own, copies of the file are the same calls', async () => {
  const path = await fileOf('calls.csv', 'at,tokens\n1000,1\n1000,1\n1000,1\n')
  const copy = join(testLog.dir, 'copy.csv')
  await copyFile(path, copy)
  await run({ paths: [path, copy], isFromStart: true })
  const calls = await testLog.calls()
  expect(calls).toHaveLength(6)
  expect(ids(calls).size).toBe(3)
})

test('lines of JSON need no mapping', async () => {
  const lines = [
    { startedAtMs: 1, consumer: 'a' },
    { startedAtMs: 2, consumer: 'b' },
  ]
  const path = await fileOf('calls.jsonl', lines.map(line => JSON.stringify(line)).join('\n'))
  const { reports } = await run({ paths: [path], mapping: 'canonical' })
  expect(reports).toMatchObject([{ accepted: 2 }])
  expect((await testLog.calls()).map(({ consumer }) => consumer)).toEqual(['a', 'b'])
})
