import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DialectError } from '../../../collector/normalize/draft.ts'
import { BEGIN, FollowedFile } from '../../../collector/receive/followed-file.ts'
import { callLine, numbers, sourceOf } from './listening.ts'

const FILES = 200
const BYTES_A_FILE_MAX = 8_000
/** What Node cuts small buffers out of, in some pieces. */
const OTHERS_BYTES = 30_000

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')
function heldBytes(): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

test('a file that is followed holds the few bytes that it was recognized by, and not what was read beside them', async () => {
  const before = heldBytes()
  const files: FollowedFile[] = []
  for (const number of numbers(FILES)) {
    const path = join(dir, `${number}.log`)
    await writeFile(path, `${callLine(number)}\n${callLine(number).slice(0, -1)}`)
    const deps = { source: sourceOf(), begin: BEGIN, find: async () => null, take: async () => undefined }
    const file = new FollowedFile(
      await open(path),
      { path, identity: path },
      { ...deps, onCompressed: () => undefined },
    )
    expect(await file.advance()).toBe(false)
    for (let other = 0; other < 3; other++) Buffer.allocUnsafe(OTHERS_BYTES)
    files.push(file)
  }
  // What is collected is given back by another thread, soon after.
  await expect.poll(() => heldBytes() - before).toBeLessThan(FILES * BYTES_A_FILE_MAX)
  expect(files.map(file => file.position()?.number)).toEqual(files.map(() => 2))
  for (const file of files) await file.close()
})

test('what begins anew is read whole, also where only what is new was wanted of what stood there', async () => {
  const path = join(dir, 'calls.csv')
  const taken: string[] = []
  await writeFile(path, `what\n${'x\n'.repeat(10)}`)
  const file = new FollowedFile(
    await open(path),
    { path, identity: path },
    {
      source: sourceOf('plain'),
      begin: { offset: 25, number: 1 },
      find: async () => null,
      take: async batch => {
        for (const position of numbers(batch.size)) taken.push(batch.inputAt(position))
      },
      onCompressed: () => undefined,
    },
  )
  await expect(file.advance()).rejects.toThrow(DialectError)
  await truncate(path)
  expect(await file.advance()).toBe(false)
  const lines = numbers(5).map(number => `1700000000000,${number}`)
  await writeFile(path, `at,tokens\n${lines.map(line => `${line}\n`).join('')}`)
  while (await file.advance());
  await file.close()
  expect(taken).toEqual(lines)
})
