import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFile,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { importFiles } from '../../../collector/receive/file.ts'
import { FollowedFile } from '../../../collector/receive/followed-file.ts'
import type { FileReceive } from '../../../collector/receive/listen-options.ts'
import { followFiles, type TailDeps } from '../../../collector/receive/tail.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'
import {
  callLine,
  depsOf,
  type Listening,
  listen,
  normalizer,
  numbers,
  sourceOf,
  tokensOf,
  untilCalls,
} from './listening.ts'

let testLog: TestLog
let dir: string
let open: Listening[]
beforeEach(async () => {
  testLog = await openTestLog()
  dir = join(testLog.dir, 'gateway')
  await mkdir(dir)
  open = []
})
afterEach(async () => {
  for (const listening of open) await listening.stop().catch(() => undefined)
  await testLog.close()
})

const pathOf = (name = 'access.log') => join(dir, name)
const linesOf = (values: readonly number[]) => values.map(tokens => `${callLine(tokens)}\n`).join('')
const write = (values: readonly number[], name?: string) => appendFile(pathOf(name), linesOf(values))
const sorted = (values: readonly number[]) => values.toSorted((one, other) => one - other)
const HOUR_MS = 3_600_000
const WAIT = { timeout: 30_000, interval: 50 }
const DAY_MS = 24 * HOUR_MS
/** Long enough for new lines to be seen twice. */
const pass = () => sleep(700)

async function follow(options: Partial<FileReceive> = {}, changes: Partial<TailDeps> = {}, source = sourceOf()) {
  const listening = await listen(
    followFiles,
    { kind: 'file', paths: [pathOf('access.log*')], from: 'begin', ...options },
    source,
    await depsOf(testLog, changes),
  )
  open.push(listening)
  return listening
}

/** Every call is there, and in the log once. */
async function expectOnce(count: number) {
  const calls = await untilCalls(testLog, count)
  await pass()
  expect(sorted(tokensOf(await testLog.calls()))).toEqual(numbers(count))
  return calls
}

describe('a file that grows', () => {
  test('is read from its begin, and a line only when it is whole', async () => {
    await write(numbers(3))
    await follow()
    await untilCalls(testLog, 3)
    await appendFile(pathOf(), callLine(3))
    await pass()
    expect(await testLog.calls()).toHaveLength(3)
    await appendFile(pathOf(), `\n${callLine(4).slice(0, 5)}`)
    await untilCalls(testLog, 4)
    await appendFile(pathOf(), `${callLine(4).slice(5)}\n`)
    await expectOnce(5)
  })

  test('goes on where it was left, and from its end only at the very first start', async () => {
    await write([100, 101])
    await appendFile(pathOf(), callLine(0))
    const first = await follow({ from: 'end' })
    await appendFile(pathOf(), '\n')
    await untilCalls(testLog, 1)
    await first.stop()
    await write([1, 2])
    await write([3], 'access.log.new')
    await follow({ from: 'end' })
    await expectOnce(4)
  })

  test('is not read whole later because nothing came at first', async () => {
    await write([100, 101])
    const first = await follow({ from: 'end' })
    await pass()
    await first.stop()
    await write([0])
    await follow({ from: 'end' })
    await expectOnce(1)
  })

  test('has the ids that an import of it gives', async () => {
    await write(numbers(1000))
    await follow()
    const followed = new Set((await untilCalls(testLog, 1000)).map(({ callId }) => callId))
    const { log } = testLog
    const request = { paths: [pathOf()], origin: sourceOf(), shiftToMs: null, isFromStart: false }
    await importFiles(request, {
      ...{ log, logger, normalizer, dir: join(testLog.dir, 'imports'), now: Date.now },
      ...{ onProgress: () => undefined, onRejection: () => undefined, onWait: () => undefined },
      signal: new AbortController().signal,
    })
    const calls = await testLog.calls()
    expect(calls).toHaveLength(2000)
    expect(new Set(calls.map(({ callId }) => callId))).toEqual(followed)
  })

  test('may have the names of its columns in its first line, also after a restart', async () => {
    const source = sourceOf('plain')
    await writeFile(pathOf(), 'at,tokens\n1700000000000,0\n')
    const first = await follow({}, {}, source)
    await untilCalls(testLog, 1)
    await first.stop()
    await appendFile(pathOf(), '1700000000000,1\n')
    await follow({}, {}, source)
    await expectOnce(2)
  })

  test('holds others up by no line that is bad or too long', async () => {
    await appendFile(pathOf(), `bad\n${'x'.repeat(3 * 2 ** 20)}`)
    await follow()
    await write(numbers(2), 'access.log.2')
    await untilCalls(testLog, 2)
    await appendFile(pathOf(), `${'x'.repeat(2 ** 20)}\n`)
    await write([2])
    await expectOnce(3)
    const rejections = await testLog.rejections()
    expect(rejections.map(({ reason }) => reason)).toEqual(['unreadable', 'too_long'])
  })
})

describe('a rotation', () => {
  test('by renaming loses nothing, while somebody goes on writing the old file', async () => {
    await write(numbers(2))
    await follow({ paths: [pathOf()] })
    await untilCalls(testLog, 2)
    await rename(pathOf(), pathOf('access.log.1'))
    await write([2], 'access.log.1')
    await write([3, 4])
    await untilCalls(testLog, 5)
    await write([5], 'access.log.1')
    await write([6])
    await rm(pathOf('access.log.1'))
    await expectOnce(7)
  })

  test('by copying and truncating loses nothing, the copy being followed too', async () => {
    await write(numbers(3))
    await follow()
    await untilCalls(testLog, 3)
    await write([3])
    await copyFile(pathOf(), pathOf('access.log.1'))
    await truncate(pathOf())
    await write(numbers(2, 4))
    const calls = await untilCalls(testLog, 6)
    expect(new Set(tokensOf(calls))).toEqual(new Set(numbers(6)))
    expect(new Set(calls.map(({ callId }) => callId)).size).toBe(6)
  })

  test('by truncating is seen when the file has grown beyond its old size', async () => {
    await write(numbers(2))
    const listening = await follow()
    await untilCalls(testLog, 2)
    await listening.stop()
    await follow()
    await pass()
    await writeFile(pathOf(), linesOf(numbers(50, 2)))
    await expectOnce(52)
  })

  test('by truncating is seen although all lines end alike and are equally long', async () => {
    const alike = (values: readonly number[]) =>
      values.map(tokens => `{"inputTokens":${tokens},"startedAtMs":1700000000000,"tenant":"${'x'.repeat(300)}"}\n`)
    await writeFile(pathOf(), alike(numbers(10, 10)).join(''))
    await follow()
    await untilCalls(testLog, 10)
    await writeFile(pathOf(), alike(numbers(20, 20)).join(''))
    expect(tokensOf(await untilCalls(testLog, 30))).toEqual(numbers(30, 10))
  })

  test('while we are away is followed under the new name', async () => {
    await write(numbers(3))
    const first = await follow()
    await untilCalls(testLog, 3)
    await first.stop()
    await write([3])
    await rename(pathOf(), pathOf('access.log.1'))
    await write([4])
    await follow()
    await expectOnce(5)
  })

  test('leaves a last line without a break behind, which counts when nobody writes any more', async () => {
    let hours: number | null = null
    // Then an hour passes from one look to the next, so that it does not matter when the last line was seen.
    const now = () => Date.now() + (hours === null ? 0 : HOUR_MS * ++hours)
    await write([0])
    await follow({ paths: [pathOf()] }, { now })
    await untilCalls(testLog, 1)
    await appendFile(pathOf(), callLine(1))
    await pass()
    await rename(pathOf(), pathOf('old'))
    await pass()
    expect(await testLog.calls()).toHaveLength(1)
    hours = 0
    await expectOnce(2)
  })
})

describe('files that are written no more', () => {
  test('make room for others: there may be ever more of them', async () => {
    let nowMs = 0
    for (const number of numbers(3)) await write([number], `access.log.${number}`)
    await writeFile(pathOf('access.log.4.gz'), gzipSync(linesOf([9])))
    const listening = await follow({}, { now: () => Date.now() + nowMs, filesMax: 4 })
    await untilCalls(testLog, 3)
    await write([3])
    await expect.poll(listening.problem, WAIT).toMatch(/access\.log waits: .* 4 files/)
    nowMs += HOUR_MS
    await untilCalls(testLog, 4)
    await expect.poll(listening.problem, WAIT).toBeNull()
    // Somebody has the old one open still.
    await write([4], 'access.log.1')
    await expectOnce(5)
  })

  test('make room without each of them being looked at for each one that waits', async () => {
    const old = new Date(Date.now() - HOUR_MS)
    for (const number of numbers(100)) {
      await write([number], `access.log.${number}`)
      await utimes(pathOf(`access.log.${number}`), old, old)
    }
    const looks = vi.spyOn(FollowedFile.prototype, 'restingState')
    await follow({}, { filesMax: 10 })
    await untilCalls(testLog, 100)
    expect(looks.mock.calls.length).toBeLessThan(200)
    looks.mockRestore()
  })

  test('keep others waiting, of whom the first are named and the further ones counted', async () => {
    for (const number of numbers(30)) await write([number], `access.log.${number}`)
    const listening = await follow({}, { filesMax: 1 })
    await expect.poll(listening.problem, WAIT).toMatch(/^(\S+ waits: [^;]+; ){10}and 19 more$/)
  })

  test('are not read whole when their turn comes, where only what is new was wanted', async () => {
    const old = new Date(Date.now() - HOUR_MS)
    for (const number of numbers(3)) {
      await write([100 + number], `access.log.${number}`)
      await utimes(pathOf(`access.log.${number}`), old, old)
    }
    const listening = await follow({ from: 'end' }, { filesMax: 2 })
    await expect.poll(listening.problem, WAIT).toBeNull()
    await pass()
    for (const number of numbers(3)) await write([number], `access.log.${number}`)
    await expectOnce(3)
  })

  test('keep one waiting, of which what was written meanwhile is new', async () => {
    for (const number of numbers(3)) await write([100 + number], `access.log.${number}`)
    await utimes(pathOf('access.log.2'), new Date(), new Date(Date.now() + HOUR_MS))
    const listening = await follow({ from: 'end' }, { filesMax: 2 })
    expect(listening.problem()).toContain('access.log.2 waits')
    await write([0], 'access.log.2')
    const old = new Date(Date.now() - HOUR_MS)
    await utimes(pathOf('access.log.0'), old, old)
    await expect.poll(listening.problem, WAIT).toBeNull()
    await write([1], 'access.log.2')
    await expectOnce(2)
  })

  test('are remembered as long as they are there', async () => {
    let nowMs = 0
    const later = { now: () => Date.now() + nowMs }
    await write([0], 'access.log.1')
    const first = await follow({}, { ...later, filesMax: 1 })
    await untilCalls(testLog, 1)
    nowMs += HOUR_MS
    for (const number of numbers(4, 1)) {
      await write([number])
      await untilCalls(testLog, number + 1)
      // What happens is remembered before the next days pass.
      await pass()
      nowMs += 11 * DAY_MS
    }
    await first.stop()
    await follow({}, later)
    await write([5])
    await expectOnce(6)
  })
})

test('the more files there were in a month, the less often all of them are written down', async () => {
  await write([0])
  const first = await follow()
  await untilCalls(testLog, 1)
  await first.stop()
  const path = join(testLog.dir, 'tails', 'edge.json')
  const state = JSON.parse(await readFile(path, 'utf8'))
  const [position] = state.positions
  const gone = numbers(4_000).map(inode => ({ ...position, identity: `1:${inode}` }))
  await writeFile(path, JSON.stringify({ ...state, positions: [...gone, position] }))
  const second = await follow()
  const beganMs = performance.now()
  const written = new Set<number>()
  for (const number of numbers(30, 1)) {
    await write([number])
    await sleep(100)
    written.add((await stat(path)).mtimeMs)
  }
  const seconds = (performance.now() - beganMs) / 1000
  await expectOnce(31)
  expect(written.size).toBeLessThanOrEqual(2 + seconds / 8)
  await second.stop()
  expect(JSON.parse(await readFile(path, 'utf8')).positions[0].number).toBe(32)
})

test('a file that was not seen for a month is forgotten, also by who was never started anew', async () => {
  let months = 0
  const later = { now: () => Date.now() + 31 * DAY_MS * months }
  await write([0, 1])
  await follow({}, later)
  await untilCalls(testLog, 2)
  // What happens in each is remembered before the next.
  const next = async (act: () => Promise<unknown>) => {
    await pass()
    await act()
    months++
    await pass()
  }
  await next(() => rm(pathOf()))
  await next(() => write([2], 'access.log.2'))
  await next(() => write([3], 'access.log.3'))
  await write([0, 1])
  await untilCalls(testLog, 6)
  expect(sorted(tokensOf(await testLog.calls()))).toEqual([0, 0, 1, 1, 2, 3])
})

test('files that come after the clock was set back are found as soon as others', async () => {
  let skewMs = 0
  await write([0])
  await follow({}, { now: () => Date.now() + skewMs })
  await untilCalls(testLog, 1)
  skewMs = -3_600_000
  await write([1], 'access.log.new')
  await expectOnce(2)
})

test('a compressed file is left to be imported', async () => {
  await writeFile(pathOf('access.log.2.gz'), gzipSync(linesOf(numbers(10))))
  await write([0])
  await follow()
  await expectOnce(1)
  expect(await testLog.rejections()).toEqual([])
})

test('says that there is no file, and begins when there is one', async () => {
  const listening = await follow()
  expect(listening.problem()).toMatch(/^No file is there: .*access\.log\*$/)
  await write([0])
  await expectOnce(1)
  expect(listening.problem()).toBeNull()
})

test('names a file that its dialect cannot read, and reads the others', async () => {
  await writeFile(pathOf('access.log.1'), 'when,tokens\n1,1\n')
  await writeFile(pathOf(), 'at,tokens\n1700000000000,0\n')
  const listening = await follow({}, {}, sourceOf('plain'))
  await expectOnce(1)
  await expect.poll(() => listening.problem()).toMatch(/access\.log\.1: .*at/)
  await truncate(pathOf('access.log.1'))
  await pass()
  await appendFile(pathOf('access.log.1'), 'at,tokens\n1700000000000,1\n')
  await expectOnce(2)
  await expect.poll(() => listening.problem()).toBeNull()
})

test('kill -9 between a call and its position costs nothing', async () => {
  const count = 10_000
  await write(numbers(count))
  for (let round = 0; round < 3; round++) {
    const child = spawn(
      process.execPath,
      [new URL('tail-process.ts', import.meta.url).pathname, testLog.dir, pathOf('access.log*')],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    await once(child.stdout, 'data')
    await sleep(50 * round)
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await rename(pathOf(), pathOf('access.log.1'))
  await write(numbers(10, count))
  await follow()
  await expect.poll(async () => new Set((await testLog.calls()).map(({ callId }) => callId)).size).toBe(count + 10)
  expect(new Set(tokensOf(await testLog.calls())).size).toBe(count + 10)
  expect(await readdir(join(testLog.dir, 'tails'))).toContain('edge.json')
  expect(JSON.parse(await readFile(join(testLog.dir, 'tails', 'edge.json'), 'utf8')).positions.length).toBeGreaterThan(
    0,
  )
})
