import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { constants, getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openCredentials } from '../../../collector/store/credentials.ts'
import { startEmbeddedStore } from '../../../collector/store/embedded.ts'
import { openStore } from '../../../collector/store/open.ts'
import { storeContract } from '../../contract/store.ts'
import { freePorts } from '../../free-ports.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'
import type { EngineParent } from './engine-parent.ts'

const WAIT = { timeout: 30_000, interval: 25 }

describe('the embedded store as a store', () => {
  storeContract(async () => {
    const opened = await openTestStore()
    const { quotacast } = await openCredentials(opened.dir)
    return {
      store: opened.store,
      headers: { 'X-ClickHouse-User': 'quotacast', 'X-ClickHouse-Key': quotacast },
      close: opened.close,
    }
  })
})

describe('the embedded engine', () => {
  let opened: TestStore
  const log = pino({ level: 'silent' })
  beforeAll(async () => {
    opened = await openTestStore()
  })
  afterAll(() => opened?.close())

  test('lets nobody in without a password, and grafana only read', async () => {
    const { grafana } = await openCredentials(opened.dir)
    const { url } = opened.store
    const ask = async (query: string, username: string, password: string) => {
      const client = createClient({ url, username, password, database: 'quotacast', log: { level: 127 } })
      try {
        return await (await client.query({ query, format: 'JSONEachRow' })).json()
      } finally {
        await client.close()
      }
    }
    expect(await ask('SELECT count() AS n FROM calls', 'grafana', grafana)).toEqual([{ n: 0 }])
    await expect(ask('SELECT count() FROM calls', 'default', '')).rejects.toThrow()
    await expect(ask('SELECT count() FROM calls', 'quotacast', 'guess')).rejects.toThrow()
    await expect(ask('SELECT * FROM system.processes', 'grafana', grafana)).rejects.toThrow(/privileges/)
    await expect(ask("SELECT * FROM file('/etc/passwd', 'LineAsString')", 'grafana', grafana)).rejects.toThrow()
    const client = createClient({
      url,
      username: 'grafana',
      password: grafana,
      database: 'quotacast',
      log: { level: 127 },
    })
    await expect(client.command({ query: 'TRUNCATE TABLE calls' })).rejects.toThrow()
    await client.close()
  })
  test('keeps its secrets from other users of the machine', async () => {
    const modes = ['credentials.json', 'users.xml', 'config.xml'].map(async name => {
      return (await stat(join(opened.dir, name))).mode & 0o777
    })
    expect(await Promise.all(modes)).toEqual([0o600, 0o600, 0o600])
    expect(readFileSync(join(opened.dir, 'users.xml'), 'utf8')).not.toContain(
      (await openCredentials(opened.dir)).quotacast,
    )
  })
  test('logs what goes wrong, and not what each query does', async () => {
    const refused = opened.store.client.command({ query: "SELECT throwIf(1, 'wrong')" })
    await expect(refused).rejects.toThrow('wrong')
    const logged = () => readFileSync(join(opened.dir, 'engine.log'), 'utf8')
    await vi.waitFor(() => expect(logged()).toContain('<Error>'), WAIT)
    expect(logged()).not.toMatch(/<(Trace|Debug|Information)>/)
  })
  test.runIf(process.platform === 'linux')('leaves the processor to others', () => {
    const pid = opened.engine.pid()
    const niceness = readdirSync(`/proc/${pid}/task`).map(thread => {
      const stats = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      return Number(stats.slice(stats.lastIndexOf(')')).split(' ')[17])
    })
    // Node's own threads were there first; all of the engine's follow its main thread.
    expect(niceness.filter(nice => nice === Math.max(getPriority(), 10)).length).toBeGreaterThan(10)
  })
  test('lives on after a Ctrl-C: the collector still has to write when it comes', async () => {
    const pid = opened.engine.pid()
    const slow = opened.rows('SELECT sleep(1) AS slept')
    for (let presses = 0; presses < 3; presses += 1) {
      process.kill(pid ?? Number.NaN, 'SIGINT')
      await sleep(200)
    }
    expect(await slow).toEqual([{ slept: 0 }])
    expect(opened.engine.pid()).toBe(pid)
  })
  test('fails a query that wants more memory than there is, and lives on', async () => {
    const greedy = opened.rows('SELECT length(groupArray(number)) FROM numbers(1000000000)')
    await expect(greedy).rejects.toThrow(/memory/i)
    expect(await opened.store.ping()).toBeNull()
  })
  test('comes back by itself when it is killed, with all that it had acknowledged', async () => {
    await opened.rows('SELECT 1')
    await opened.store.client.command({ query: 'CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n' })
    await opened.store.client.command({ query: 'INSERT INTO kept SELECT number FROM numbers(1000)' })
    const pid = opened.engine.pid()
    process.kill(pid ?? Number.NaN, 'SIGKILL')
    await vi.waitFor(() => expect(opened.engine.readiness()).toMatch(/SIGKILL/), WAIT)
    expect(await opened.store.ping()).not.toBeNull()
    await vi.waitFor(() => expect(opened.engine.readiness()).toBeNull(), WAIT)
    expect(opened.engine.pid()).not.toBe(pid)
    expect(await opened.rows('SELECT count() AS n FROM kept')).toEqual([{ n: 1000 }])
  })
  test('is not ready while it hangs', async () => {
    const pid = opened.engine.pid() ?? Number.NaN
    process.kill(pid, 'SIGSTOP')
    try {
      await vi.waitFor(() => expect(opened.engine.readiness()).toMatch(/does not answer/), WAIT)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await vi.waitFor(() => expect(opened.engine.readiness()).toBeNull(), WAIT)
  })
  test('is killed when it hangs for long, and comes back by itself', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
    const [port = 0] = await freePorts(1)
    const engine = await startEmbeddedStore({ ...opened.options, port }, { dir, log, probesMissedMax: 2 })
    const pid = engine.pid() ?? Number.NaN
    process.kill(pid, 'SIGSTOP')
    await vi.waitFor(() => expect(engine.pid()).not.toBe(pid), WAIT)
    await vi.waitFor(() => expect(engine.readiness()).toBeNull(), WAIT)
    await engine.stop()
    await rm(dir, { recursive: true, force: true })
  })
  test('refuses a folder that another engine uses, instead of crashing both', async () => {
    const [port = 0] = await freePorts(1)
    const second = startEmbeddedStore({ ...opened.options, port }, { dir: opened.dir, log })
    await expect(second).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    expect(await opened.store.ping()).toBeNull()
  })
  test('says so when its port is taken', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
    const second = startEmbeddedStore(opened.options, { dir, log })
    await expect(second).rejects.toThrow(/cannot listen on .*: stop what does, or set another `store.port`/)
    await rm(dir, { recursive: true, force: true })
  })
})

describe('the first answer of an engine', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await rm(dir, { recursive: true, force: true })
  })
  const start = async () => {
    const [port = 0] = await freePorts(1)
    const options = { kind: 'embedded', host: '127.0.0.1', port, memoryBytesMax: 2 ** 30 } as const
    return startEmbeddedStore(options, { dir, log: pino({ level: 'silent' }) })
  }
  /** Answers the first query that is sent to it. */
  const answerOnce = (answer: () => Promise<Response>) => {
    const send = globalThis.fetch
    let queries = 0
    vi.spyOn(globalThis, 'fetch').mockImplementation((url, init) => {
      if (String(url).includes('?query=') && ++queries === 1) return answer()
      return send(url, init)
    })
  }

  test('may come late, on a machine that does other things', async () => {
    answerOnce(() => Promise.reject(new DOMException('The operation was aborted due to timeout', 'TimeoutError')))
    const engine = await start()
    expect(engine.readiness()).toBeNull()
    await engine.stop()
  })

  test('says whether it is ours', async () => {
    answerOnce(async () => new Response('somebody else'))
    await expect(start()).rejects.toMatchObject({
      code: 'STORE_UNSUPPORTED',
      message: expect.stringMatching(/what serves at .* is not our engine: somebody else$/),
    })
  })
})

test('a role may open the store before there is one, and use it later', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
  const log = pino({ level: 'silent' })
  const [port = 0] = await freePorts(1)
  const options = { kind: 'embedded', host: '127.0.0.1', port, memoryBytesMax: 2 ** 30 } as const
  const [store, other] = await Promise.all([openStore(options, { dir, log }), openStore(options, { dir, log })])
  expect(await store.ping()).toMatch(/does not answer/)
  const engine = await startEmbeddedStore(options, { dir, log })
  await store.createDatabase()
  expect([await store.ping(), await other.ping()]).toEqual([null, null])
  await Promise.all([store.close(), other.close(), engine.stop()])
  await rm(dir, { recursive: true, force: true })
})

describe('the engine of a process that starts it', () => {
  let dir: string
  let parent: ChildProcess
  let pid: number
  const start = async (options: ForkOptions = {}) => {
    dir = await mkdtemp(join(tmpdir(), 'quotacast-store-'))
    const [port = 0] = await freePorts(1)
    const task: EngineParent = { dir, port }
    const script = join(import.meta.dirname, 'engine-parent.ts')
    parent = fork(script, [JSON.stringify(task)], { execArgv: [], ...options })
    pid = await new Promise<number>(resolve => parent.once('message', message => resolve(Number(message))))
  }
  const end = async () => {
    parent.kill('SIGKILL')
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(), WAIT)
  }
  afterEach(async () => {
    await end()
    await rm(dir, { recursive: true, force: true })
  })

  test('dies with it', async () => {
    await start()
    process.kill(pid, 0)
    await end()
  })

  // Only root may have less of it: for anybody else the engine would not start.
  test('is no less nice than it', async () => {
    await start({ execPath: 'nice', execArgv: ['-n', '15', process.execPath] })
    expect(getPriority(pid)).toBe(Math.min(getPriority() + 15, constants.priority.PRIORITY_LOW))
  })
})
