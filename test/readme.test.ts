/** What the README has to be pasted, pasted as it stands into shells in a fresh copy of the tree. */
import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isWell } from './is-well.ts'
import { describeWith } from './servers/describe-with.ts'
import { kafkaChecks } from './servers/kafka.ts'
import { redisChecks } from './servers/redis.ts'

const REPOSITORY = new URL('..', import.meta.url).pathname
const COPIED = [
  'package.json',
  'package-lock.json',
  '.npmrc',
  'tsconfig.json',
  'collector',
  'analyzer',
  'dashboards',
  'deploy',
  'test',
]
const run = promisify(execFile)

/** The `sh` blocks of one section, in order. */
function blocks(section: string): string[] {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8')
  const text = readme.split(/^## /m).find(part => part.startsWith(section)) ?? ''
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(match => match[1] ?? '')
}

/** A shell that goes on running; `stop` ends it and what it started. */
function startShell(block: string, dir: string): () => Promise<void> {
  const { pid } = spawn('bash', ['-c', block], { cwd: dir, detached: true, stdio: 'ignore' })
  if (pid === undefined) throw new Error('there is no bash')
  const signal = (name: NodeJS.Signals | 0) => {
    try {
      return process.kill(-pid, name)
    } catch {
      return false
    }
  }
  return async () => {
    // The shell goes at once, what it started takes its time.
    signal('SIGTERM')
    while (signal(0)) await sleep(50)
  }
}

async function untilWell(): Promise<void> {
  for (const port of [7411, 7412, 7414]) while (!(await isWell(`http://127.0.0.1:${port}`))) await sleep(200)
}

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-readme-'))
  for (const name of COPIED)
    cpSync(join(REPOSITORY, name), join(dir, name), { recursive: true, preserveTimestamps: true })
  symlinkSync(join(REPOSITORY, 'node_modules'), join(dir, 'node_modules'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const paste = async (block: string) => (await run('bash', ['-c', block], { cwd: dir })).stdout

describe('the first minute', () => {
  const [start = '', send = '', ask = ''] = blocks('60 seconds')
  let stop: () => Promise<void>
  beforeAll(async () => {
    stop = startShell(start, dir)
    await untilWell()
  })
  afterAll(() => stop())

  test('works as written', async () => {
    expect(JSON.parse(await paste(send))).toEqual({ accepted: 1200, rejected: [] })
    const commands = ask.split(/\n(?=curl|npm)/)
    expect(commands).toHaveLength(3)
    const [forecast = '', check = '', status = ''] = commands
    const read = async () => JSON.parse(await paste(forecast)).forecasts[0]
    await expect
      .poll(async () => (await read())?.subject, { interval: 500 })
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
})

describeWith([...kafkaChecks, ...redisChecks], 'Kafka and Redis', () => {
  const [servers = '', start = '', send = ''] = blocks('Kafka, ClickHouse, Redis')
  const stops: (() => Promise<void>)[] = []
  beforeAll(async () => {
    stops.push(startShell(servers, dir), startShell(start, dir))
    await untilWell()
  })
  afterAll(async () => {
    for (const stop of stops.toReversed()) await stop()
    expect(existsSync(join(dir, 'servers.yaml')), 'nothing is left behind').toBe(false)
  })

  test('work as written', async () => {
    const [call = '', status = ''] = send.split(/\n(?=npm)/)
    expect(JSON.parse(await paste(call))).toEqual({ accepted: 1, rejected: [] })
    await expect.poll(() => paste(status), { interval: 500 }).toMatch(/collector +ready[\s\S]*calls: 1\n/)
    expect(existsSync(join(dir, 'servers-data/log'))).toBe(false)
  })
})
