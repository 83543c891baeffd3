/** `up --demo` in processes of its own: the past is there when it is ready, and more comes through the real doors. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../free-ports.ts'
import { isWell } from '../is-well.ts'
import { runCli } from './quotacast.ts'

const MAIN = new URL('../../deploy/main.ts', import.meta.url).pathname
const READY_MS = 360_000
/** In the evening most consumers have used up their day, and those left make a call or two a minute. */
const LIVE_MS = 360_000
const POLL_MS = 500

let dir: string
let data: string
let demo: ChildProcess
let output = ''
let urls: { collector: string; limiter: string; analyzer: string }
const startedAtMs = Date.now()

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-demo-'))
  data = join(dir, 'data')
  const [store, health, collector, collectorGrpc, limiter, limiterGrpc, analyzer] = await freePorts(7)
  const ports = {
    'store.port': store,
    'store.healthPort': health,
    'collector.port': collector,
    'collector.grpc.port': collectorGrpc,
    'limiter.port': limiter,
    'limiter.grpc.port': limiterGrpc,
    'analyzer.port': analyzer,
  }
  const at = (port: number | undefined) => `http://127.0.0.1:${port}`
  urls = { collector: at(collector), limiter: at(limiter), analyzer: at(analyzer) }
  const flags = Object.entries(ports).flatMap(([key, port]) => ['--set', `${key}=${port}`])
  demo = spawn(process.execPath, [MAIN, 'up', '--demo', '--data', data, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [demo.stdout, demo.stderr]) {
    stream?.on('data', chunk => {
      output += chunk
    })
  }
  // The analyzer comes when the past is there.
  const areWell = () => Promise.all(Object.values(urls).map(isWell))
  await until(async () => (await areWell()).every(Boolean), READY_MS)
}, READY_MS + 10_000)
afterAll(async () => {
  if (demo?.exitCode === null) {
    demo.kill('SIGTERM')
    await once(demo, 'exit')
  }
  rmSync(dir, { recursive: true, force: true })
}, 60_000)

async function until(claim: () => boolean | Promise<boolean>, deadlineMs: number): Promise<void> {
  const endMs = Date.now() + deadlineMs
  while (!(await claim())) {
    if (Date.now() > endMs || demo.exitCode !== null) throw new Error(`not within ${deadlineMs} ms:\n${output}`)
    await sleep(POLL_MS)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: each test asserts the shape it needs
async function get(role: keyof typeof urls, path: string): Promise<any> {
  const token = readFileSync(join(data, 'token'), 'utf8').trim()
  return (await fetch(`${urls[role]}${path}`, { headers: { authorization: `Bearer ${token}` } })).json()
}

describe('the demo', () => {
  test('has forecasts of every kind, and past ones that were right or not', async () => {
    await until(async () => (await get('analyzer', '/v1/status')).asOfMs !== null, LIVE_MS)
    const { forecasts } = await get('analyzer', '/v1/forecasts')
    expect(new Set(forecasts.map(({ quota }: { quota: string }) => quota)).size).toBe(6)
    expect(forecasts.some(({ probability }: { probability: number }) => probability > 0.8)).toBe(true)
    expect(forecasts.some(({ probability }: { probability: number }) => probability < 0.1)).toBe(true)
    const { all } = await get('analyzer', '/v1/forecasts/accuracy')
    expect(all.scores.forecasts).toBeGreaterThan(500)
    expect(all.scores.exhaustedShare).toBeGreaterThan(0.05)
  })

  test('goes on: calls, checks, denials and changes of limits', { timeout: 4 * LIVE_MS }, async () => {
    await until(async () => (await get('collector', '/v1/status')).received.accepted > 5, LIVE_MS)
    await until(async () => (await get('limiter', '/v1/status')).records.linked > 0, LIVE_MS)
    const decisions = async () => {
      const { series } = await get('analyzer', `/v1/usage?unit=requests&from=${startedAtMs}&step=1m&by=consumer`)
      return series.length
    }
    await until(async () => (await decisions()) > 2, LIVE_MS)
    await until(async () => (await get('analyzer', '/v1/overrides')).overrides.length > 0, LIVE_MS)
  })

  test('keeps to its folder, and nobody else to it', async () => {
    const real = await runCli(['up', '--data', data])
    expect(real).toMatchObject({ code: 1, stderr: expect.stringContaining('--demo') })
    const imported = await runCli(['import', MAIN, '--data', data])
    expect(imported).toMatchObject({ code: 1, stderr: expect.stringContaining('synthetic') })
    const mixed = await runCli(['up', '--demo', '--data', join(import.meta.dirname)])
    expect(mixed).toMatchObject({ code: 1, stderr: expect.stringContaining('holds other data') })
    expect((await runCli(['up', '--demo', '--config', 'x.yaml'])).code).toBe(2)
  })
})
