import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../../e2e/quotacast.ts'

const CONFIG = `
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
    files: [{ path: file, accepted: 0, rejected: {}, before: 3, shiftMs, isComplete: true }],
  })
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
