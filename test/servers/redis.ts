/** A real Redis for tests and for trying out, on a free loopback port, durable (append-only file), gone after `stop`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../free-ports.ts'
import { whatIsMissing } from './missing.ts'
import { type ServerProcess, startProcess } from './process.ts'
import { programCheck } from './program.ts'

const START_DEADLINE_MS = 60_000
const POLL_MS = 25

export const redisChecks = [programCheck('Redis', 'redis-server', ['--version'], 'apt-get install redis-server')]

export interface RedisServer {
  /** Where its files are. */
  dir: string
  url: string
  pid(): number
  /** kill -9. */
  kill(): Promise<void>
  signal(name: NodeJS.Signals): void
  start(): Promise<void>
  stop(): Promise<void>
}

const answers = (port: number) =>
  new Promise<boolean>(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1000, () => end(false))
    socket.once('data', data => end(data.toString().startsWith('+PONG')))
    socket.once('error', () => end(false))
  })

/** Every write, synced before it is answered, or nothing but the snapshots that it is told to make (`dump.rdb` in its folder). */
export type RedisKeeps = 'writes' | 'snapshots'

/** Throws when `redis-server` is not installed, naming the command that installs it. */
export async function startRedis(keeps: RedisKeeps = 'writes'): Promise<RedisServer> {
  const missing = whatIsMissing(redisChecks)
  if (missing !== null) throw new Error(missing)
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-redis-'))
  const [port = 0] = await freePorts(1)
  const logFile = join(dir, 'output.log')
  const launch = () =>
    startProcess(
      'redis-server',
      [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--appendonly',
        keeps === 'writes' ? 'yes' : 'no',
        '--appendfsync',
        'always',
        '--save',
        '',
      ],
      { cwd: dir, logFile },
    )
  const answering = async () => {
    const endMs = Date.now() + START_DEADLINE_MS
    while (!(await answers(port))) {
      if (server.ended() !== null || Date.now() > endMs)
        throw new Error(`Redis does not answer:\n${readFileSync(logFile, 'utf8').slice(-2000)}`)
      await sleep(POLL_MS)
    }
  }
  let server: ServerProcess = launch()
  await answering()
  return {
    dir,
    url: `redis://127.0.0.1:${port}`,
    pid: () => server.pid,
    kill: () => server.kill(),
    signal: name => server.signal(name),
    async start() {
      server = launch()
      await answering()
    },
    async stop() {
      await server.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
