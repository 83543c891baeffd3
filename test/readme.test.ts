/** The README's first minute, pasted as it stands into a shell in a fresh copy of the tree. */
import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const REPOSITORY = new URL('..', import.meta.url).pathname
const COPIED = ['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'collector', 'analyzer', 'deploy']
const START_MS = 60_000
const run = promisify(execFile)

/** The `sh` blocks of one section, in order. */
function blocks(section: string): string[] {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8')
  const text = readme.split(/^## /m).find(part => part.startsWith(section)) ?? ''
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(match => match[1] ?? '')
}

const [start = '', send = '', ask = ''] = blocks('60 seconds')
let dir: string
let stop: () => Promise<void>

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-readme-'))
  for (const name of COPIED)
    cpSync(join(REPOSITORY, name), join(dir, name), { recursive: true, preserveTimestamps: true })
  symlinkSync(join(REPOSITORY, 'node_modules'), join(dir, 'node_modules'))
  const shell = spawn('bash', ['-c', start], { cwd: dir, detached: true, stdio: 'ignore' })
  const ended = new Promise<void>(resolve => shell.once('exit', () => resolve()))
  stop = async () => {
    if (shell.exitCode === null && shell.pid !== undefined) process.kill(-shell.pid, 'SIGTERM')
    await ended
  }
  const ready = (port: number) =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      response => response.ok,
      () => false,
    )
  for (const port of [7411, 7412, 7414]) while (!(await ready(port))) await sleep(200)
}, START_MS)

afterAll(async () => {
  await stop()
  rmSync(dir, { recursive: true, force: true })
})

const paste = async (block: string) => (await run('bash', ['-c', block], { cwd: dir })).stdout

test('the first minute works as written', { timeout: 60_000 }, async () => {
  expect(JSON.parse(await paste(send))).toEqual({ accepted: 1200, rejected: [] })
  const commands = ask.split(/\n(?=curl|npm)/)
  expect(commands).toHaveLength(3)
  const [forecast = '', check = '', status = ''] = commands
  const read = async () => JSON.parse(await paste(forecast)).forecasts[0]
  await expect
    .poll(async () => (await read())?.subject, { timeout: 30_000, interval: 500 })
    .toEqual({ tenant: 'acme', consumer: 'chat-app' })
  expect(await read()).toMatchObject({
    quota: 'tokens-per-hour',
    limit: 300_000,
    confidence: expect.any(String),
    why: expect.any(String),
  })
  expect(JSON.parse(await paste(check))).toMatchObject({
    allowed: expect.any(Boolean),
    quotas: [{ quota: 'tokens-per-hour', unit: 'total_tokens' }],
  })
  expect(await paste(status)).toMatch(/collector[\s\S]*limiter[\s\S]*analyzer[\s\S]*tokens-per-hour/)
})
