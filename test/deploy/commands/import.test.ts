import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../../e2e/quotacast.ts'

const CONFIG = `
sources:
  edge: { dialect: canonical }
mappings:
  plain:
    format: csv
    fields: { startedAtMs: { from: at, time: iso }, inputTokens: tokens }
    constants: { consumer: "{fileStem}" }
`
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-import-'))
  await writeFile(join(dir, 'quotacast.yaml'), CONFIG)
  await writeFile(
    join(dir, 'calls.csv'),
    'at,tokens\n2023-11-16 10:00:00,1\n2023-11-16 10:00:01,x\n2023-11-16 10:00:02,3\n',
  )
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const run = (...args: string[]) =>
  runCli(['import', ...args, '--config', join(dir, 'quotacast.yaml'), '--data', join(dir, 'data')])

test('imports, names what is bad, and tells a machine the same', async () => {
  const file = join(dir, 'calls.csv')
  const first = await run(file, '--mapping', 'plain', '--shift-to', '2026-11-21T12:00:00Z')
  expect(first.code).toBe(0)
  expect(first.stderr).toBe(`${file}:3: invalid_field: inputTokens (tokens): "x" is not a whole number.\n`)
  expect(first.stdout).toContain(`${file}: 2 calls imported; rejected: 1 invalid_field; moved by`)
  const again = await run(file, '--mapping', 'plain', '--shift-to-now', '--json')
  expect(again).toMatchObject({ code: 0, stderr: '' })
  const shiftMs = Date.UTC(2026, 10, 21, 12) - Date.UTC(2023, 10, 16, 10, 0, 2)
  expect(JSON.parse(again.stdout)).toEqual({
    isComplete: true,
    files: [{ path: file, accepted: 0, rejected: {}, before: 3, rejectedBefore: 1, shiftMs, isComplete: true }],
  })
})

test('a file of which nothing is good is none the better for a second import', async () => {
  const file = join(dir, 'bad.jsonl')
  await writeFile(file, 'bad\nworse\n')
  const first = await run(file)
  expect(first).toMatchObject({ code: 1, stdout: `${file}: 0 calls imported; rejected: 2 unreadable\n` })
  const again = await run(file)
  expect(again).toMatchObject({
    code: 1,
    stdout: `${file}: 0 calls imported; 2 were there before, 2 of them rejected\n`,
  })
})

const CALL = '{"startedAtMs":1700000000000,"consumer":"acme"}'

test('an array of calls is imported as try reads it, and importing it again changes nothing', async () => {
  const file = join(dir, 'calls.json')
  const call = (consumer: string) => ({ startedAtMs: 1_700_000_000_000, consumer })
  await writeFile(file, `${JSON.stringify([call('a'), call('b'), 'bad'], null, 2)}\n`)
  expect(await run(file)).toMatchObject({ code: 0, stdout: `${file}: 2 calls imported; rejected: 1 unreadable\n` })
  expect((await run(file)).stdout).toBe(`${file}: 0 calls imported; 3 were there before, 1 of them rejected\n`)
})

test('standard input is read as a source, each time as new calls', async () => {
  const { code, stdout } = await runCli(
    ['import', '-', '--source', 'edge', '--json', '--config', join(dir, 'quotacast.yaml'), '--data', join(dir, 'data')],
    undefined,
    `${CALL}\nbad\n${CALL}\n`,
  )
  expect(code).toBe(0)
  expect(JSON.parse(stdout).files).toMatchObject([{ path: '-', accepted: 2, rejected: { unreadable: 1 } }])
})

test('files are followed through a rotation until it is stopped', async () => {
  const [path, rotated] = [join(dir, 'access.log'), join(dir, 'access.log.1')]
  await writeFile(path, `${CALL}\n`)
  const followed = await runCli(
    [
      'import',
      join(dir, 'access.log*'),
      '--follow',
      '--source',
      'edge',
      '--config',
      join(dir, 'quotacast.yaml'),
      '--data',
      join(dir, 'data'),
    ],
    async child => {
      const positions = join(dir, 'data/imports/followed/edge.json')
      const untilAt = (offset: number) =>
        expect
          .poll(() => existsSync(positions) && readFileSync(positions, 'utf8').includes(`"offset": ${offset}`))
          .toBe(true)
      await untilAt(CALL.length + 1)
      await rename(path, rotated)
      await writeFile(path, `bad\n${CALL}\n${CALL}\n`)
      await untilAt(2 * CALL.length + 6)
      child.kill('SIGINT')
    },
  )
  expect(followed.code).toBe(0)
  expect(followed.stderr).toContain(`${path}:1: unreadable: This is not JSON.`)
  expect(followed.stdout).toContain(`${path}: 3 calls imported; rejected: 1 unreadable`)
})

test.each([
  [['-', 'x.csv'], /- stands alone/],
  [['-', '--shift-to-now'], /--shift-to-now is for files that have an end/],
  [['x.csv', '--follow', '--from-start'], /--from-start is for files that have an end/],
  [['x.csv', '--source', 'edge', '--mapping', 'plain'], /--source and --mapping exclude each other/],
  [['x.csv', '--source', 'other'], /there is no source "other"; there are edge, .*nginx/],
])('%j makes no sense', async (args, message) => {
  expect(await run(...args)).toMatchObject({ code: 2, stderr: expect.stringMatching(message) })
})

test.each([
  [[], 2, /no file was given/],
  [['x.csv', '--mapping', 'other'], 2, /there is no mapping "other"; the config has plain/],
  [['x.csv', '--shift-to', 'soon'], 2, /"soon" is not an ISO 8601 instant/],
  [['x.csv', '--shift-to', '2026-01-01', '--shift-to-now'], 2, /exclude each other/],
  [['missing.csv'], 1, /missing\.csv: .*no such file/],
])('%j ends with %i', async (args, code, message) => {
  const { code: actual, stderr } = await run(...args)
  expect(actual).toBe(code)
  expect(stderr).toMatch(message)
})
