/** The demo on free ports over a folder of its own. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../free-ports.ts'
import { isWell } from '../is-well.ts'

const MAIN = new URL('../../deploy/main.ts', import.meta.url).pathname
const START_DEADLINE_MS = 300_000
const PORTS = ['store', 'store.health', 'collector', 'collector.grpc', 'limiter', 'limiter.grpc', 'analyzer'] as const

export interface Demo {
  /** Of the console. */
  url: string
  storeUrl: string
  token: string
  /** Password of the store's user `grafana`. */
  grafana: string
  tokenFile: string
  /** Of the roles that have `/metrics`. */
  rolePorts: readonly number[]
  /** A folder that goes with it. */
  dir: string
  stop(): Promise<void>
}

/** Answers when it is ready. */
export async function startDemo(): Promise<Demo> {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-screenshots-'))
  const free = await freePorts(PORTS.length)
  const portOf = Object.fromEntries(PORTS.map((name, index) => [name, free[index] ?? 0])) as Record<
    (typeof PORTS)[number],
    number
  >
  const keyOf = (name: string) => (name === 'store.health' ? 'store.healthPort' : `${name}.port`)
  const settings = PORTS.flatMap(name => ['--set', `${keyOf(name)}=${portOf[name]}`])
  const args = [MAIN, 'up', '--demo', '--data', join(dir, 'demo'), ...settings]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  const stop = async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(dir, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${portOf.analyzer}`
  const deadlineMs = Date.now() + START_DEADLINE_MS
  while (!(await isWell(url))) {
    if (Date.now() > deadlineMs || child.exitCode !== null) {
      await stop()
      throw new Error('the demo did not become ready')
    }
    await sleep(500)
  }
  const read = (name: string) => readFileSync(join(dir, 'demo', name), 'utf8')
  return {
    ...{ url, dir, stop },
    storeUrl: `http://127.0.0.1:${portOf.store}`,
    token: read('token').trim(),
    tokenFile: join(dir, 'demo/token'),
    grafana: (JSON.parse(read('store/credentials.json')) as { grafana: string }).grafana,
    rolePorts: [portOf['store.health'], portOf.collector, portOf.limiter, portOf.analyzer],
  }
}
