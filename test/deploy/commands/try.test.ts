import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../../e2e/quotacast.ts'

const KEY = 'a-raw-key-of-somebody'
const CONFIG = `
mappings:
  plain:
    format: csv
    fields: { startedAtMs: { from: at, time: iso }, credential: who, inputTokens: tokens }
sources:
  edge: { dialect: plain, tenant: acme }
`
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-try-'))
  await writeFile(join(dir, 'quotacast.yaml'), CONFIG)
  const lines = ['at,who,tokens', `2023-11-16 10:00:00,${KEY},1`, `2023-11-16 10:00:01,${KEY},x`, '']
  await writeFile(join(dir, 'calls.csv.gz'), gzipSync(lines.join('\n')))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const run = (...args: string[]) =>
  runCli(['try', ...args, '--config', join(dir, 'quotacast.yaml'), '--data', join(dir, 'data')])

test('shows what would become of a file, and leaves nothing behind', async () => {
  const { code, stdout } = await run(join(dir, 'calls.csv.gz'), '--source', 'edge')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^Inputs: 2; calls: 1 \(plain\); rejected: 1; /)
  expect(stdout).toMatch(/\n {2}tenant +100 % {2}acme\n/)
  expect(stdout).toMatch(/\n {2}consumer +100 % {2}key:[0-9a-f]{24}\n/)
  expect(stdout).toMatch(/Not kept.*\n {2}credential +50 %\n/)
  expect(stdout).toMatch(
    /\n {2}1 invalid_field: inputTokens \(tokens\): "x" is not a whole number\.\n {4}no\. 2: 2023.*,key:/,
  )
  expect(stdout).toMatch(/Empty, and how to fill it:\n[\s\S]*\n {2}model +AI calls/)
  expect(stdout).not.toContain(KEY)
  expect(existsSync(join(dir, 'data'))).toBe(false)
})

test('the shape of a log is recognized, where nobody says it', async () => {
  const line = '203.0.113.9 - jane [21/Nov/2026:12:00:01 +0000] "GET /users/42 HTTP/1.1" 200 512 "-" "curl/8"\n'
  await writeFile(join(dir, 'access.log'), line)
  const { code, stdout } = await run(join(dir, 'access.log'), '--json')
  expect(code).toBe(0)
  const { dialects, fields } = JSON.parse(stdout)
  expect(dialects).toEqual({ clf: 1 })
  expect(fields).toContainEqual({ field: 'consumer', count: 1, example: 'jane' })
  expect(fields).toContainEqual({ field: 'gateway', count: 0, example: null })
})

test.each([
  [[], 2, /one FILE is needed/],
  [['x.log', '--source', 'other'], 2, /there is no source "other", only edge, /],
  [['missing.log', '--source', 'edge'], 1, /missing\.log: .*no such file/],
])('%j ends with %i', async (args, code, message) => {
  const { code: actual, stderr } = await run(...args)
  expect(stderr).toMatch(message)
  expect(actual).toBe(code)
})
